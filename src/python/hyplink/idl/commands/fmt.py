"""``hyplink idl fmt``."""

# ruff: noqa: T201 - printing is what a command does
from __future__ import annotations

import argparse
import difflib
import json
import sys
from pathlib import Path

from hyplink.idl.commands.common import FAILED, FINE, USAGE

__all__ = ["add_command"]

_HELP = """\
Lay out interface files; words and comments stay as they are, so the meaning does, too.
A file that does not parse is left alone. '-' reads standard input and writes standard output.

exit status: 0 fine, 1 --check found a file to lay out or a file does not parse, 2 wrong usage
"""


def add_command(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    fmt = subparsers.add_parser(
        "fmt",
        help="lay out interface files",
        description=_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    fmt.add_argument("files", nargs="+", metavar="FILE")
    fmt.add_argument("--check", action="store_true", help="change nothing, exit 1 if it would")
    fmt.add_argument("--diff", action="store_true", help="change nothing, print what would change")
    fmt.add_argument("--json", action="store_true", help="list the files that (would) change")
    fmt.set_defaults(run=_fmt)


def _fmt(args: argparse.Namespace) -> int:
    from hyplink.errors import IdlError
    from hyplink.idl.format import format_text
    from hyplink.idl.writer import write_if_changed

    if "-" in args.files and len(args.files) > 1:
        print("hyplink idl fmt: '-' stands alone", file=sys.stderr)
        return USAGE
    changed: list[str] = []
    failed = False
    for name in args.files:
        try:
            text = sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8")
            result = format_text(text, name)
        except (OSError, UnicodeDecodeError) as error:
            print(f"hyplink idl fmt: cannot read {name}: {error}", file=sys.stderr)
            failed = True
            continue
        except IdlError as error:
            print(str(error).strip(), file=sys.stderr)
            failed = True
            continue
        if result != text:
            changed.append(name)
        if args.diff:
            if not args.json:
                print(_diff(name, text, result), end="")
        elif args.check:
            if result != text and not args.json:
                print(f"would lay out {name}")
        elif name == "-":
            print(result, end="")
        elif write_if_changed(name, result) and not args.json:
            print(f"laid out {name}")
    if args.json:
        print(json.dumps({"ok": not failed, "changed": changed}, indent=1))
    return FAILED if failed or (changed and args.check) else FINE


def _diff(name: str, before: str, after: str) -> str:
    lines = difflib.unified_diff(
        before.splitlines(keepends=True),
        after.splitlines(keepends=True),
        name,
        f"{name} (laid out)",
    )
    return "".join(line if line.endswith("\n") else line + "\n" for line in lines)
