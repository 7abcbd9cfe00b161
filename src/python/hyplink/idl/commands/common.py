"""What the commands share: exit statuses, compiling, reporting."""

# ruff: noqa: T201 - printing is what a command does
from __future__ import annotations

import gc
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hyplink.idl.front import Compiled

__all__ = ["FAILED", "FINE", "USAGE", "compile_files", "report"]

FINE, FAILED, USAGE = 0, 1, 2


def compile_files(files: list[str]) -> list[Compiled]:
    from hyplink.idl.front import compile_file

    # Trees and models live until the end: looking for garbage among them is a fifth of the time.
    was = gc.isenabled()
    gc.disable()
    try:
        return [compile_file(name) for name in files]
    finally:
        if was:
            gc.enable()


def report(results: list[Compiled], form: str, written: list[str] | None = None) -> int:
    """Print every finding in the format asked for; the exit status."""
    findings = [d for result in results for d in result.diagnostics]
    if form == "json":
        import json

        data: dict[str, object] = {"ok": not findings, "findings": [d.to_json() for d in findings]}
        if written is not None:
            data["written"] = written
        print(json.dumps(data, indent=1))
    elif form == "sarif":
        import json

        from hyplink.idl.sarif import to_sarif

        print(json.dumps(to_sarif(findings), indent=1))
    else:
        for result in results:
            if not result.ok:
                print(result.findings.text(), file=sys.stderr)
        if findings:
            word = "finding" if len(findings) == 1 else "findings"
            print(f"{len(findings)} {word}", file=sys.stderr)
    return FAILED if findings else FINE
