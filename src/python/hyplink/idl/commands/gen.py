"""``hyplink idl gen``."""

# ruff: noqa: T201 - printing is what a command does
from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from hyplink.idl.commands.common import FAILED, FINE, USAGE, compile_files, report

if TYPE_CHECKING:
    from hyplink.idl.front import Compiled

__all__ = ["LANGUAGE_NAMES", "add_command"]

#: For the help; a test compares it with what there is.
LANGUAGE_NAMES = "c, cpp, fuzz, json, md, mock, py, pyi"


def add_command(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    gen = subparsers.add_parser("gen", help="write stubs")
    gen.add_argument("files", nargs="*", metavar="FILE")
    gen.add_argument("-o", "--output", metavar="DIR")
    gen.add_argument("--lang", metavar="LIST", help=f"of {LANGUAGE_NAMES} (default: cpp,py)")
    gen.add_argument(
        "--backend",
        action="append",
        default=[],
        metavar="PROGRAM",
        help="a generator of your own, an executable or a module: JSON model in, JSON files out",
    )
    gen.add_argument("--list", action="store_true", help="print what would be written, and stop")
    gen.add_argument("--model-doc", action="store_true", help="describe the JSON model")
    gen.add_argument("--depfile", metavar="FILE", help="write what the output depends on, for make")
    gen.add_argument("--depfile-target", metavar="FILE", help="what the depfile speaks of")
    gen.add_argument("--format", choices=("text", "json"), default="text")
    gen.set_defaults(run=_gen, parser=gen)


def _gen(args: argparse.Namespace) -> int:
    from hyplink.idl.backend_process import BackendError
    from hyplink.idl.backends import LANGUAGES
    from hyplink.idl.support import Unsupported
    from hyplink.idl.writer import write_if_changed

    if args.model_doc:
        from hyplink.idl.model_doc import model_doc

        print(model_doc(), end="")
        return FINE
    if not args.files or not args.output:
        args.parser.error("FILE and -o DIR are needed")
    # Whoever brings a back end of their own gets the others only by name.
    chosen = ("" if args.backend else "cpp,py") if args.lang is None else args.lang
    languages = [word for word in chosen.split(",") if word]
    unknown = [word for word in languages if word not in LANGUAGES]
    if unknown or not (languages or args.backend):
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
        try:
            made = _made(result, languages, args.backend)
        except (BackendError, Unsupported) as error:
            print(f"hyplink idl gen: {error}", file=sys.stderr)
            return FAILED
        for files in made:
            for name, text in files.items():
                if texts.setdefault(name, text) != text:
                    print(
                        f"hyplink idl gen: {origin[name]} and {file} would both write {name}",
                        file=sys.stderr,
                    )
                    return FAILED
                origin[name] = file
    if args.list:
        print("\n".join(str(Path(args.output) / name) for name in texts))
        return FINE
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


def _made(result: Compiled, languages: list[str], backends: list[str]) -> list[dict[str, str]]:
    from hyplink.idl.backend_process import run_backend
    from hyplink.idl.backends import generate

    model = result.require()
    return [
        *(generate(model, language) for language in languages),
        *(run_backend(backend, model) for backend in backends),
    ]


def _depfile(outputs: list[str], inputs: list[str]) -> str:
    def escape(path: str) -> str:
        return path.replace("\\", "\\\\").replace(" ", "\\ ").replace("$", "$$").replace("#", "\\#")

    left = " ".join(escape(p) for p in outputs)
    right = " ".join(escape(p) for p in inputs)
    return f"{left}: {right}\n"
