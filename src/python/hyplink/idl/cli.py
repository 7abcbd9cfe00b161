"""``hyplink idl check`` and ``hyplink idl gen``."""

# ruff: noqa: T201 - printing is what a command does
from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hyplink.idl.front import Compiled

__all__ = ["add_commands", "main"]

_FINE, _FAILED, _USAGE = 0, 1, 2


def add_commands(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``check`` and ``gen``; each sets ``run``, a function from arguments to exit status."""
    check = subparsers.add_parser("check", help="find every mistake in interface files")
    check.add_argument("files", nargs="+", metavar="FILE")
    check.add_argument("--format", choices=("text", "json"), default="text")
    check.set_defaults(run=_check)
    gen = subparsers.add_parser("gen", help="write stubs")
    gen.add_argument("files", nargs="+", metavar="FILE")
    gen.add_argument("-o", "--output", required=True, metavar="DIR")
    gen.add_argument("--lang", default="cpp,py", metavar="LIST", help="of cpp, py, json")
    gen.add_argument("--depfile", metavar="FILE", help="write what the output depends on, for make")
    gen.add_argument("--depfile-target", metavar="FILE", help="what the depfile speaks of")
    gen.add_argument("--format", choices=("text", "json"), default="text")
    gen.set_defaults(run=_gen)


def main(argv: Sequence[str] | None = None) -> int:
    """Run with ``argv``; the exit status is 0 fine, 1 findings, 2 usage."""
    parser = argparse.ArgumentParser(prog="python -m hyplink.idl", description=__doc__)
    add_commands(parser.add_subparsers(required=True, metavar="COMMAND"))
    args = parser.parse_args(argv)
    status: int = args.run(args)
    return status


def _compile(files: list[str]) -> list[Compiled]:
    from hyplink.idl.front import compile_file

    return [compile_file(name) for name in files]


def _report(results: list[Compiled], form: str, written: list[str] | None = None) -> int:
    findings = [d for result in results for d in result.diagnostics]
    if form == "json":
        data: dict[str, object] = {"ok": not findings, "findings": [d.to_json() for d in findings]}
        if written is not None:
            data["written"] = written
        print(json.dumps(data, indent=1))
    else:
        for result in results:
            if not result.ok:
                print(result.findings.text(), file=sys.stderr)
        if findings:
            word = "finding" if len(findings) == 1 else "findings"
            print(f"{len(findings)} {word}", file=sys.stderr)
    return _FAILED if findings else _FINE


def _check(args: argparse.Namespace) -> int:
    return _report(_compile(args.files), args.format)


def _gen(args: argparse.Namespace) -> int:
    from hyplink.idl.backends import LANGUAGES, generate
    from hyplink.idl.writer import write_if_changed

    languages = [word for word in args.lang.split(",") if word]
    unknown = [word for word in languages if word not in LANGUAGES]
    if unknown or not languages:
        print(
            f"hyplink idl gen: no language {', '.join(unknown) or '(none given)'}; "
            f"there are {', '.join(LANGUAGES)}",
            file=sys.stderr,
        )
        return _USAGE
    results = _compile(args.files)
    if not all(result.ok for result in results):
        return _report(results, args.format, [])
    texts: dict[str, str] = {}
    origin: dict[str, str] = {}
    for file, result in zip(args.files, results, strict=True):
        for language in languages:
            for name, text in generate(result.require(), language).items():
                if texts.setdefault(name, text) != text:
                    print(
                        f"hyplink idl gen: {origin[name]} and {file} would both write {name}",
                        file=sys.stderr,
                    )
                    return _FAILED
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
        return _FAILED
    return _report(results, args.format, written)


def _depfile(outputs: list[str], inputs: list[str]) -> str:
    def escape(path: str) -> str:
        return path.replace("\\", "\\\\").replace(" ", "\\ ").replace("$", "$$").replace("#", "\\#")

    left = " ".join(escape(p) for p in outputs)
    right = " ".join(escape(p) for p in inputs)
    return f"{left}: {right}\n"
