"""``hyplink board``: check boards, show them.

Exit status: 0 fine, 1 something is wrong with a board, 2 wrong usage.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from hyplink.board.board import Board
from hyplink.board.draw import draw_svg, draw_text
from hyplink.board.loader import BUILTIN, check
from hyplink.diagnostics import render_all

__all__ = ["add_commands", "main"]


def _platform(text: str) -> tuple[int, Path]:
    number, equals, path = text.partition("=")
    if not equals or not number.isdecimal() or not path:
        raise argparse.ArgumentTypeError(f"{text!r} is not ID=FILE, such as 2=vm2.dts")
    return int(number), Path(path)


def add_commands(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``check`` and ``show`` to a parser's commands."""
    boards = f"a .dts or .dtb file, or a board of the package ({', '.join(BUILTIN)})"
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "-I", dest="include", metavar="DIR", action="append", default=[], help="search for #include"
    )
    common.add_argument(
        "--vplatform",
        metavar="ID=FILE",
        action="append",
        type=_platform,
        default=[],
        help="the platform tree of a VM",
    )
    common.add_argument("--json", action="store_true", help="one JSON object on standard output")
    checker = subparsers.add_parser("check", parents=[common], help="report every error of boards")
    checker.add_argument("files", metavar="FILE", nargs="+", help=boards)
    checker.set_defaults(run=_check)
    shower = subparsers.add_parser("show", parents=[common], help="draw a board")
    shower.add_argument("file", metavar="FILE", help=boards)
    shower.add_argument("--svg", metavar="OUT", help="write the picture to a file; - for stdout")
    shower.set_defaults(run=_show)


def _out(text: str) -> None:
    sys.stdout.write(text + "\n")


def _check(options: argparse.Namespace) -> int:
    results: list[dict[str, Any]] = []
    bad = False
    for name in options.files:
        board, findings = check(name, options.include, dict(options.vplatform))
        bad = bad or board is None
        results.append(
            {
                "file": name,
                "ok": board is not None,
                "vms": len(board.vms) if board else 0,
                "links": len(board.links) if board else 0,
                "diagnostics": [finding.to_json() for finding in sorted(findings.found)],
            }
        )
        if options.json:
            continue
        if findings.found:
            _out(render_all(findings.found, findings.sources))
        if board is None:
            _out(f"{name}: {len(findings.errors)} error{'s' * (len(findings.errors) != 1)}")
        else:
            _out(f"{name}: ok, {len(board.vms)} VMs, {len(board.links)} links")
    if options.json:
        _out(json.dumps({"ok": not bad, "boards": results}, indent=2))
    return int(bad)


def _show(options: argparse.Namespace) -> int:
    board, findings = check(options.file, options.include, dict(options.vplatform))
    if findings.found:
        sys.stderr.write(render_all(findings.found, findings.sources) + "\n")
    if board is None:
        return 1
    if options.svg == "-":
        _out(draw_svg(board))
        return 0
    if options.svg:
        try:
            Path(options.svg).write_text(draw_svg(board), encoding="utf-8")
        except OSError as error:
            sys.stderr.write(f"{options.svg}: {error.strerror}\n")
            return 1
    _out(json.dumps(_plain(board), indent=2) if options.json else draw_text(board))
    return 0


def _plain(board: Board) -> dict[str, Any]:
    return {"name": board.name, **board.to_spec()}


def main(arguments: list[str] | None = None) -> int:
    """``python -m hyplink.board``."""
    parser = argparse.ArgumentParser(prog="hyplink board", description="Check and draw boards.")
    add_commands(parser.add_subparsers(metavar="COMMAND", required=True))
    options = parser.parse_args(arguments)
    return int(options.run(options))
