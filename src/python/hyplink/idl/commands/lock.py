"""``hyplink idl lock``."""

# ruff: noqa: T201 - printing is what a command does
from __future__ import annotations

import argparse
import sys
from pathlib import Path

from hyplink.idl.commands.common import FAILED, FINE

__all__ = ["add_command"]

_HELP = """\
Write FILE.lock: what peers and programs rely on, with a hash for each procedure, one line for each
thing, to be checked in next to FILE. A lock is not overwritten by an interface that breaks running
programs, unless --accept says that this is meant or the major version went up.

exit status: 0 fine, 1 a lock is not up to date (--check) or would break, 2 wrong usage
"""


def add_command(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    lock = subparsers.add_parser(
        "lock",
        help="write down what others rely on",
        description=_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    lock.add_argument("files", nargs="+", metavar="FILE")
    lock.add_argument("--check", action="store_true", help="write nothing, exit 1 if it would")
    lock.add_argument("--accept", action="store_true", help="overwrite although peers break")
    lock.set_defaults(run=_lock)


def _lock(args: argparse.Namespace) -> int:
    status = FINE
    for name in args.files:
        status = max(status, _one(name, check=args.check, accept=args.accept))
    return status


def _one(name: str, *, check: bool, accept: bool) -> int:
    from hyplink.idl.compat import Class, compare, lock_text, read_contract, read_lock
    from hyplink.idl.writer import write_if_changed

    lock = f"{name}.lock"
    try:
        contract, compiled = read_contract(name)
        if contract is None:
            assert compiled is not None
            print(compiled.findings.text(), file=sys.stderr)
            return FAILED
        before = Path(lock).read_text(encoding="utf-8") if Path(lock).exists() else ""
        text = lock_text(contract)
        if text == before:
            return FINE
        if check:
            print(f"{lock} is not up to date" if before else f"{lock} does not exist")
            return FAILED
        if before and not accept:
            changes = compare(read_lock(before, lock), contract)
            broken = [c for c in changes if c.kind is Class.WIRE]
            for change in broken:
                print(f"{change.new or change.old}: {change.subject}: {change.message}")
            if broken:
                print(f"{lock} stays: running programs would break (--accept if that is meant)")
                return FAILED
        write_if_changed(lock, text)
        print(f"wrote {lock}")
    except (OSError, ValueError) as error:
        print(f"hyplink idl lock: {error}", file=sys.stderr)
        return FAILED
    return FINE
