"""What the commands share: exit statuses, compiling, reporting."""

# ruff: noqa: T201 - printing is what a command does
from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hyplink.idl.front import Compiled

__all__ = ["FAILED", "FINE", "USAGE", "compile_files", "report"]

FINE, FAILED, USAGE = 0, 1, 2


def compile_files(files: list[str]) -> list[Compiled]:
    from hyplink.idl.front import compile_file

    return [compile_file(name) for name in files]


def report(results: list[Compiled], form: str, written: list[str] | None = None) -> int:
    """Print every finding in the format asked for; the exit status."""
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
    return FAILED if findings else FINE
