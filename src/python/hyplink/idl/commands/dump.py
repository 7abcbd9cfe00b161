"""``hyplink idl dump``."""

# ruff: noqa: T201 - printing is what a command does
from __future__ import annotations

import argparse
import sys

from hyplink.idl.commands.common import FAILED, FINE, USAGE, compile_files, report

__all__ = ["add_command"]


def add_command(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    dump = subparsers.add_parser("dump", help="show a block with the names of its fields")
    dump.add_argument("file", metavar="FILE")
    dump.add_argument("--proc", required=True, metavar="NAME", help="interface.procedure")
    dump.add_argument("--reply", action="store_true", help="the block is an answer")
    dump.add_argument("--hex", metavar="DIGITS", help="the block, instead of standard input")
    dump.add_argument(
        "--state",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="what a state variable is (default: as declared)",
    )
    dump.set_defaults(run=_dump)


def _dump(args: argparse.Namespace) -> int:
    results = compile_files([args.file])
    if not results[0].ok:
        return report(results, "text")
    from hyplink.idl.dumping import dump

    try:
        data = sys.stdin.buffer.read() if args.hex is None else bytes.fromhex(args.hex)
        pairs = (word.partition("=") for word in args.state)
        state = {name: int(value, 0) for name, _, value in pairs}
        found = dump(results[0].require(), args.proc, data, reply=args.reply, state=state)
    except (LookupError, ValueError) as error:
        print(f"hyplink idl dump: {error.args[0]}", file=sys.stderr)
        return USAGE
    print(found.text(), end="")
    for row in found.broken:
        where = row.name or row.meaning
        print(f"rule {row.rule} is broken at {where} (offset {row.offset:#x})", file=sys.stderr)
    return FAILED if found.broken else FINE
