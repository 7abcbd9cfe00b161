"""``hyplink idl call``."""

# ruff: noqa: T201 - printing is what a command does
from __future__ import annotations

import argparse
import contextlib
import inspect
import sys
from typing import Any

from hyplink.errors import LinkError
from hyplink.idl.commands.common import FAILED, FINE, USAGE, compile_files, report
from hyplink.idl.names import python_name

__all__ = ["add_command"]


def add_command(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    from hyplink.idl.commands.served import add_options

    call = subparsers.add_parser(
        "call",
        help="call a procedure of a server on a fresh bench",
        epilog="VALUE is a Python literal, an enumerator, Struct(…), @file, or text.",
    )
    call.add_argument("file", metavar="FILE")
    call.add_argument("procedures", nargs="+", metavar="PROC", help="interface.procedure")
    call.add_argument(
        "--arg",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="of every procedure that has a parameter of this name",
    )
    call.add_argument("--record", metavar="FILE", help="keep what was asked and answered")
    add_options(call)
    call.set_defaults(run=_call)


def _call(args: argparse.Namespace) -> int:
    results = compile_files([args.file])
    if not results[0].ok:
        return report(results, "text")
    from hyplink.idl.commands.served import UsageError, serving

    spaces = {name.rpartition(".")[0] for name in args.procedures} - {""}
    if not args.interface and len(spaces) == 1:
        args.interface = spaces.pop()
    try:
        with serving(args) as served, contextlib.ExitStack() as stack:
            channel = served.channel
            if args.record:
                from hyplink.idl.recording import record

                channel = stack.enter_context(record(channel, args.record, served.module))
            client = served.info.client(channel)
            status = FINE
            for name in args.procedures:
                status = max(status, _one(client, served.module, name.rpartition(".")[2], args.arg))
            channel.notify()
            return status
    except (UsageError, LookupError, OSError) as error:
        if isinstance(error, LinkError):
            raise
        print(f"hyplink idl call: {error}", file=sys.stderr)
        return USAGE


def _one(client: Any, module: Any, name: str, words: list[str]) -> int:
    from hyplink.idl.commands.served import UsageError, parse_pairs

    method = getattr(client, python_name(name), None)
    if method is None:
        known = ", ".join(n for n in dir(client) if not n.startswith("_"))
        raise UsageError(f"no procedure {name}; there are {known}")
    wanted = inspect.signature(method).parameters
    given = {k: v for k, v in parse_pairs(words, module).items() if k in wanted}
    missing = [
        n for n, p in wanted.items() if n not in given and p.default is inspect.Parameter.empty
    ]
    if missing:
        raise UsageError(f"{name} also takes {', '.join(f'--arg {n}=…' for n in missing)}")
    try:
        answer = method(**given)
    except LinkError as error:
        print(f"{name}: {type(error).__name__}: {error.strerror}")
        return FAILED
    print(f"{name} -> {answer!r}")
    return FINE
