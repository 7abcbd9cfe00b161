"""``hyplink idl check``."""

from __future__ import annotations

import argparse

from hyplink.idl.commands.common import compile_files, report

__all__ = ["add_command"]


def add_command(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    check = subparsers.add_parser("check", help="find every mistake in interface files")
    check.add_argument("files", nargs="+", metavar="FILE")
    check.add_argument("--format", choices=("text", "json", "sarif"), default="text")
    check.set_defaults(run=_check)


def _check(args: argparse.Namespace) -> int:
    return report(compile_files(args.files), args.format)
