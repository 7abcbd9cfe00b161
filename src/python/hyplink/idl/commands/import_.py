"""``hyplink idl import``."""

# ruff: noqa: T201 - printing is what a command does
from __future__ import annotations

import argparse
import json
import sys

from hyplink.idl.commands.common import FAILED, FINE

__all__ = ["add_command"]


def add_command(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = subparsers.add_parser(
        "import", help="a first draft from a Khronos registry, a Wayland protocol or a C header"
    )
    command.add_argument("file", metavar="FILE", help="gl.xml, egl.xml, wayland.xml, OMX_Core.h, …")
    command.add_argument("-o", "--output", metavar="FILE", help="default: standard output")
    command.add_argument("--api", default="", help="registry: gles2, egl, …")
    command.add_argument("--version", default="", help="registry: up to this version of the API")
    command.add_argument(
        "--overlay", metavar="TOML", help="registry: facts instead of the shipped ones"
    )
    command.add_argument("--module", default="", help="name of the VIDL module")
    command.add_argument("--group", type=int, help="vRPQ group of the first interface")
    command.add_argument("-I", dest="include", action="append", default=[], metavar="DIR")
    command.add_argument(
        "--report", action="store_true", help="which procedures need a hook, and why"
    )
    command.add_argument("--json", action="store_true", help="the report as JSON")
    command.set_defaults(run=_import)


def _import(args: argparse.Namespace) -> int:
    from hyplink.idl.importers import import_file
    from hyplink.idl.importers.report import report_json, report_text
    from hyplink.idl.writer import write_if_changed

    try:
        made = import_file(
            args.file,
            api=args.api,
            version=args.version,
            module=args.module,
            overlay=args.overlay,
            group=args.group,
            include=args.include,
        )
        if args.output:
            write_if_changed(args.output, made.text)
    except OSError as error:
        print(f"hyplink idl import: {error.filename}: {error.strerror}", file=sys.stderr)
        return FAILED
    except ValueError as error:
        print(f"hyplink idl import: {args.file}: {error}", file=sys.stderr)
        return FAILED
    if args.json:
        print(json.dumps(report_json(made), indent=1))
    elif args.report:
        print(report_text(made))
    elif not args.output:
        print(made.text, end="")
    return FINE
