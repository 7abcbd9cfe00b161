"""``hyplink idl replay``."""

# ruff: noqa: T201 - printing is what a command does
from __future__ import annotations

import argparse
import sys

from hyplink.idl.commands.common import FAILED, FINE, USAGE, compile_files, report

__all__ = ["add_command"]


def add_command(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    from hyplink.idl.commands.served import add_options

    replay = subparsers.add_parser("replay", help="send a recorded session again and compare")
    replay.add_argument("file", metavar="FILE", help="the interface")
    replay.add_argument("recording", metavar="RECORDING", help="from idl call --record")
    replay.add_argument("--list", action="store_true", help="show every block, and send nothing")
    add_options(replay)
    replay.set_defaults(run=_replay)


def _replay(args: argparse.Namespace) -> int:
    results = compile_files([args.file])
    if not results[0].ok:
        return report(results, "text")
    from hyplink.idl.commands.served import UsageError, serving
    from hyplink.idl.recording import replay

    model = results[0].require()
    if args.list:
        return _list(model, args.recording)
    try:
        with serving(args) as served:
            found = replay(args.recording, served.channel, served.module)
    except (UsageError, LookupError) as error:
        print(f"hyplink idl replay: {error}", file=sys.stderr)
        return USAGE
    for difference in found.differences:
        print(difference)
    print(f"{found.posts} posts, {found.calls} calls, {len(found.differences)} differences")
    return FINE if found.same else FAILED


def _list(model: object, path: str) -> int:
    from hyplink.idl.dumping import dump
    from hyplink.idl.model import Model
    from hyplink.idl.recording import read

    assert isinstance(model, Model)
    names = {
        i.group << 16 | p.ordinal: f"{i.name}.{p.name}"
        for i in model.interfaces
        for p in i.procedures
    }
    for number, entry in enumerate(read(path)[1]):
        name = names.get(entry.proc)
        kind = f"call -> {entry.status}" if entry.is_call else "post"
        print(f"{number}: {name or hex(entry.proc)} ({kind})")
        if name:
            print(dump(model, name, entry.block).text(), end="")
            if entry.answer:
                print("answer")
                print(dump(model, name, entry.answer, reply=True).text(), end="")
    return FINE
