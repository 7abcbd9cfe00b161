"""``hyplink idl lsp``."""

from __future__ import annotations

import argparse
import sys

__all__ = ["add_command"]


def add_command(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    lsp = subparsers.add_parser(
        "lsp",
        help="language server on standard input and output, for editors",
        description="A language server: diagnostics, hover, go to definition, formatting. Have your "
        "editor start 'hyplink idl lsp' for *.vidl files.",
    )
    lsp.set_defaults(run=_lsp)


def _lsp(_: argparse.Namespace) -> int:
    from hyplink.idl.lsp import serve

    return serve(sys.stdin.buffer, sys.stdout.buffer)
