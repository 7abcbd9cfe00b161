"""``hyplink idl lint``."""

# ruff: noqa: T201 - printing is what a command does
from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from hyplink.idl.commands.common import FAILED, FINE, USAGE

__all__ = ["add_command"]

_HELP = """\
Advice on interface files that are correct: names, docs, ranges, copies, round trips, leftovers.

  // lint: allow(missing-doc)        silences a rule on this line, or from the line above
  // lint: allow-file(naming)        silences it in the whole file

exit status: 0 nothing to say, 1 findings (or mistakes that check would show), 2 wrong usage
"""


def add_command(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    lint = subparsers.add_parser(
        "lint",
        help="advice on interfaces that are correct",
        description=_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    lint.add_argument("files", nargs="*", metavar="FILE")
    lint.add_argument("--only", metavar="RULES", help="names or codes, with commas between")
    lint.add_argument("--rules", action="store_true", help="list the rules")
    lint.add_argument("--explain", metavar="RULE", help="why a rule is there, and what to do")
    lint.add_argument("--json", action="store_true")
    lint.set_defaults(run=_lint)


def _lint(args: argparse.Namespace) -> int:
    from hyplink.diagnostics import render
    from hyplink.idl.front import compile_file
    from hyplink.idl.lint import RULES, lint_compiled, rule_of

    if args.rules:
        for rule in RULES.values():
            print(f"{rule.code}  {rule.name:20} {rule.explanation.splitlines()[0]}")
        return FINE
    words = [args.explain] if args.explain else (args.only or "").split(",")
    rules = [rule_of(word.strip()) for word in words if word.strip()]
    if None in rules or not (args.explain or args.files):
        known = ", ".join(RULES)
        message = f"there are {known}" if args.files or args.explain else "no file given"
        print(f"hyplink idl lint: {message}", file=sys.stderr)
        return USAGE
    chosen = [rule for rule in rules if rule is not None]
    if args.explain:
        print(f"{chosen[0].code} {chosen[0].name}\n\n{chosen[0].explanation}")
        return FINE
    found = []
    for name in args.files:
        compiled = compile_file(name)
        sources = compiled.findings.sources
        if compiled.ok:
            only = [rule.name for rule in chosen] if chosen else None
            text = Path(name).read_text(encoding="utf-8", errors="replace")
            sources = {name: text}
            new = lint_compiled(compiled, name, text, only)
        else:
            new = compiled.diagnostics
        found += new
        if not args.json:
            for finding in new:
                print(render(finding, sources), file=sys.stderr)
    if args.json:
        print(json.dumps({"ok": not found, "findings": [d.to_json() for d in found]}, indent=1))
    elif found:
        print(f"{len(found)} finding{'s' if len(found) > 1 else ''}", file=sys.stderr)
    return FAILED if found else FINE
