"""Findings as SARIF 2.1.0, which code review sites and editors read."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from hyplink.diagnostics import Diagnostic
from hyplink.idl.explanations import EXPLANATIONS

__all__ = ["to_sarif"]

_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def to_sarif(findings: Iterable[Diagnostic]) -> dict[str, Any]:
    """One run with its results, and the rules that they speak of."""
    results = list(findings)
    codes = sorted({d.code for d in results})
    return {
        "$schema": _SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "hyplink idl",
                        "rules": [_rule(code) for code in codes],
                    }
                },
                "columnKind": "unicodeCodePoints",
                "results": [_result(d, codes) for d in results],
            }
        ],
    }


def _rule(code: str) -> dict[str, Any]:
    rule: dict[str, Any] = {"id": code}
    known = EXPLANATIONS.get(int(code[4:])) if code.startswith("VIDL") else None
    if known is not None:
        rule["shortDescription"] = {"text": known[0]}
        rule["fullDescription"] = {"text": known[1]}
    return rule


def _result(finding: Diagnostic, codes: list[str]) -> dict[str, Any]:
    text = f"{finding.message}; {finding.hint}" if finding.hint else finding.message
    place = (finding.file, finding.line, finding.column, finding.length)
    result: dict[str, Any] = {
        "ruleId": finding.code,
        "ruleIndex": codes.index(finding.code),
        "level": finding.severity,
        "message": {"text": text},
        "locations": [_location(*place)],
    }
    if finding.notes:
        result["relatedLocations"] = [
            _location(n.file, n.line, n.column, n.length) | {"message": {"text": n.message}}
            for n in finding.notes
        ]
    return result


def _location(file: str, line: int, column: int, length: int) -> dict[str, Any]:
    where: dict[str, Any] = {"artifactLocation": {"uri": file.replace("\\", "/")}}
    if line:
        where["region"] = {
            "startLine": line,
            "startColumn": column,
            "endColumn": column + max(1, length),
        }
    return {"physicalLocation": where}
