"""``hyplink idl gen``."""

# ruff: noqa: T201 - printing is what a command does
from __future__ import annotations

import argparse
import sys
from pathlib import Path

from hyplink.idl.commands.common import FAILED, USAGE, compile_files, report

__all__ = ["add_command"]


def add_command(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    gen = subparsers.add_parser("gen", help="write stubs")
    gen.add_argument("files", nargs="+", metavar="FILE")
    gen.add_argument("-o", "--output", required=True, metavar="DIR")
    gen.add_argument("--lang", default="cpp,py", metavar="LIST", help="of cpp, py, json")
    gen.add_argument("--depfile", metavar="FILE", help="write what the output depends on, for make")
    gen.add_argument("--depfile-target", metavar="FILE", help="what the depfile speaks of")
    gen.add_argument("--format", choices=("text", "json"), default="text")
    gen.set_defaults(run=_gen)


def _gen(args: argparse.Namespace) -> int:
    from hyplink.idl.backends import LANGUAGES, generate
    from hyplink.idl.support import Unsupported
    from hyplink.idl.writer import write_if_changed

    languages = [word for word in args.lang.split(",") if word]
    unknown = [word for word in languages if word not in LANGUAGES]
    if unknown or not languages:
        print(
            f"hyplink idl gen: no language {', '.join(unknown) or '(none given)'}; "
            f"there are {', '.join(LANGUAGES)}",
            file=sys.stderr,
        )
        return USAGE
    results = compile_files(args.files)
    if not all(result.ok for result in results):
        return report(results, args.format, [])
    texts: dict[str, str] = {}
    origin: dict[str, str] = {}
    for file, result in zip(args.files, results, strict=True):
        for language in languages:
            try:
                made = generate(result.require(), language)
            except Unsupported as error:
                print(f"hyplink idl gen: {error}", file=sys.stderr)
                return FAILED
            for name, text in made.items():
                if texts.setdefault(name, text) != text:
                    print(
                        f"hyplink idl gen: {origin[name]} and {file} would both write {name}",
                        file=sys.stderr,
                    )
                    return FAILED
                origin[name] = file
    written = []
    try:
        for name, text in texts.items():
            path = str(Path(args.output) / name)
            if write_if_changed(path, text):
                written.append(path)
        if args.depfile:
            outputs = [str(Path(args.output) / name) for name in texts]
            if args.depfile_target:
                outputs = [args.depfile_target]
            inputs = sorted({file for result in results for file in result.files})
            write_if_changed(args.depfile, _depfile(outputs, inputs))
    except OSError as error:
        print(f"hyplink idl gen: cannot write {error.filename}: {error.strerror}", file=sys.stderr)
        return FAILED
    return report(results, args.format, written)


def _depfile(outputs: list[str], inputs: list[str]) -> str:
    def escape(path: str) -> str:
        return path.replace("\\", "\\\\").replace(" ", "\\ ").replace("$", "$$").replace("#", "\\#")

    left = " ".join(escape(p) for p in outputs)
    right = " ".join(escape(p) for p in inputs)
    return f"{left}: {right}\n"
