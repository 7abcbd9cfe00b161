"""``hyplink idl breaking``."""

# ruff: noqa: T201 - printing is what a command does
from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING

from hyplink.idl.commands.common import FAILED, FINE

if TYPE_CHECKING:
    from hyplink.idl.compat import Change

__all__ = ["add_command"]

_HELP = """\
Compare two versions of an interface (.vidl or .lock files); with one file, against its lock.

classes of changes:
  wire    one of two running versions refuses or misreads the other
  source  programs must be changed when they are built anew
  note    nobody notices, as long as servers are renewed first

exit status: 0 compatible as far as --strict asks, 1 not, or a file has mistakes, 2 wrong usage
"""


def add_command(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    breaking = subparsers.add_parser(
        "breaking",
        help="does a new version break anybody?",
        description=_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    breaking.add_argument("files", nargs="+", metavar="OLD NEW", help="or one FILE with a lock")
    breaking.add_argument("--strict", choices=("wire", "source"), default="wire")
    breaking.add_argument("--all", action="store_true", help="show the harmless changes, too")
    breaking.add_argument("--json", action="store_true")
    breaking.set_defaults(run=_breaking, parser=breaking)


def _breaking(args: argparse.Namespace) -> int:
    from hyplink.idl.compat import Class, compare, read_contract

    if len(args.files) > 2:
        args.parser.error("two files, OLD and NEW, or one with a lock")
    old_name, new_name = (
        args.files if len(args.files) == 2 else (f"{args.files[0]}.lock", args.files[0])
    )
    contracts = []
    for name in (old_name, new_name):
        try:
            contract, compiled = read_contract(name)
        except (OSError, ValueError) as error:
            print(f"hyplink idl breaking: {error}", file=sys.stderr)
            return FAILED
        if contract is None:
            assert compiled is not None
            print(compiled.findings.text(), file=sys.stderr)
            return FAILED
        contracts.append(contract)
    changes = compare(contracts[0], contracts[1])
    asked = {Class.WIRE} if args.strict == "wire" else {Class.WIRE, Class.SOURCE}
    breaks = [c for c in changes if c.kind in asked]
    if args.json:
        data = {
            "ok": not breaks,
            "strict": args.strict,
            "changes": [c.to_json() for c in changes],
        }
        print(json.dumps(data, indent=1))
    else:
        for change in changes if args.all else breaks:
            _show(change, contracts[0].spot, contracts[1].spot)
        if breaks:
            word = "change" if len(breaks) == 1 else "changes"
            print(f"{len(breaks)} breaking {word}")
    return FAILED if breaks else FINE


def _show(change: Change, old_top: object, new_top: object) -> None:
    print(f"{change.kind.value}[{change.rule}] {change.subject}: {change.message}")
    print(f"    old: {change.old or f'{old_top} (not there)'}")
    print(f"    new: {change.new or f'{new_top} (not there)'}")
