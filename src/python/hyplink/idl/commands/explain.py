"""``hyplink idl explain``."""

# ruff: noqa: T201 - printing is what a command does
from __future__ import annotations

import argparse
import sys

from hyplink.idl.commands.common import FINE, USAGE

__all__ = ["add_command"]


def add_command(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    explain = subparsers.add_parser("explain", help="what a code of a finding means")
    explain.add_argument("code", nargs="?", metavar="CODE", help="VIDL0042, or 42; LINT10")
    explain.add_argument("--json", action="store_true")
    explain.set_defaults(run=_explain)


def _explain(args: argparse.Namespace) -> int:
    from hyplink.idl.explanations import EXPLANATIONS, whole_text

    if args.code is None:
        if args.json:
            _json([_data(code) for code in EXPLANATIONS])
        else:
            for code, (title, *_) in EXPLANATIONS.items():
                print(f"VIDL{code:04d}  {title}")
        return FINE
    digits = args.code.upper().removeprefix("VIDL")
    code = int(digits) if digits.isascii() and digits.isdigit() else -1
    if args.code.upper().startswith("LINT"):
        from hyplink.idl.lint import rule_of

        rule = rule_of(args.code)
        if rule is not None:
            text = {"code": rule.code, "title": rule.name, "why": rule.explanation}
            if args.json:
                _json(text)
            else:
                print(f"{rule.code}: {rule.name}\n\n{rule.explanation}")
            return FINE
    if code not in EXPLANATIONS:
        print(
            f"hyplink idl explain: no code {args.code}; 'hyplink idl explain' lists them",
            file=sys.stderr,
        )
        return USAGE
    if args.json:
        _json(_data(code))
        return FINE
    title, why, bad, good = EXPLANATIONS[code]
    print(f"VIDL{code:04d}: {title}\n\n{why}\n\nWrong:\n")
    print(_indented(bad))
    print("\nWhat the compiler says:\n")
    from hyplink.idl.front import compile_text

    print(_indented(compile_text(whole_text(bad), "bad.vidl").findings.text()))
    print("\nRight:\n")
    print(_indented(good))
    return FINE


def _data(code: int) -> dict[str, str]:
    from hyplink.idl.explanations import EXPLANATIONS

    title, why, bad, good = EXPLANATIONS[code]
    return {"code": f"VIDL{code:04d}", "title": title, "why": why, "bad": bad, "good": good}


def _json(data: object) -> None:
    import json

    print(json.dumps(data, indent=1))


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" if line else "" for line in text.split("\n"))
