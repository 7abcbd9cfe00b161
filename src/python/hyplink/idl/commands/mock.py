"""``hyplink idl mock``."""

# ruff: noqa: T201 - printing is what a command does
from __future__ import annotations

import argparse
import runpy
import sys

from hyplink.idl.commands.common import FINE, USAGE, compile_files, report

__all__ = ["add_command"]


def add_command(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    from hyplink.idl.commands.served import add_options

    mock = subparsers.add_parser(
        "mock",
        help="run a client script against a server that answers zeros, or what you say",
        epilog="The script has main(client, module); without one every call's answer is listed.",
    )
    mock.add_argument("file", metavar="FILE")
    mock.add_argument("script", nargs="?", metavar="CLIENT.py")
    add_options(mock)
    mock.set_defaults(run=_mock)


def _mock(args: argparse.Namespace) -> int:
    results = compile_files([args.file])
    if not results[0].ok:
        return report(results, "text")
    from hyplink.idl.commands.served import UsageError, serving

    try:
        if args.script is None:
            return _list(args)
        main = runpy.run_path(args.script).get("main")
        if not callable(main):
            raise UsageError(f"{args.script} has no main(client, module)")
        with serving(args) as served:
            main(served.info.client(served.channel), served.module)
            served.channel.notify()
        if args.backend == "thread" and args.server is None:
            for name, arguments in served.handler.calls:
                print(f"{name}{arguments!r}")
    except (UsageError, LookupError) as error:
        print(f"hyplink idl mock: {error}", file=sys.stderr)
        return USAGE
    return FINE


def _list(args: argparse.Namespace) -> int:
    """What the mock would answer where no argument matters."""
    from hyplink.idl.commands.served import UsageError, parse_pairs
    from hyplink.idl.loader import load
    from hyplink.idl.mocking import mock, model_of

    module = load(args.file)
    for interface in model_of(module).interfaces:
        if args.interface not in ("", interface.name):
            continue
        found = mock(module, parse_pairs(args.answer, module), interface=interface.name)
        for line in found.listing():
            print(f"{interface.name}.{line}")
        if not interface.procedures:
            raise UsageError(f"{interface.name} has no procedures")
    return FINE
