"""``hyplink idl``: everything that is done to interface files.

Each command is a module of ``hyplink.idl.commands``; this file only collects them.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence

from hyplink.idl.commands import COMMANDS

__all__ = ["add_commands", "main"]


def add_commands(
    subparsers: argparse._SubParsersAction[argparse.ArgumentParser],
    only: Sequence[str] = (),
) -> None:
    """Add every command, or ``only`` those; each sets ``run``, a function from arguments to exit status."""
    for name in only or COMMANDS:
        importlib.import_module(f"hyplink.idl.commands.{name}").add_command(subparsers)


def chosen(words: Sequence[str]) -> list[str]:
    """The command that ``words`` begin with: the others need not be imported. Else none."""
    return [name for name in COMMANDS if words and words[0] == name]


def main(argv: Sequence[str] | None = None) -> int:
    """Run with ``argv``; the exit status is 0 fine, 1 findings, 2 usage."""
    argv = sys.argv[1:] if argv is None else list(argv)
    parser = argparse.ArgumentParser(prog="python -m hyplink.idl", description=__doc__)
    add_commands(parser.add_subparsers(required=True, metavar="COMMAND"), chosen(argv))
    args = parser.parse_args(argv)
    status: int = args.run(args)
    return status
