"""The mechanisms beside each other: the table of spec 001, section 6, filled in by measurement.

Example:
    table = compare(["vRPQ", "vION"], kills=100)
    table                                   # in Jupyter: measured, and below it what the document claims
    table["vRPQ"].asleep_ns

Two VMs are two processes; each measurement is code in both of them, through the Python face. What Python itself and the
machine's wake-up cost is measured in the same run and taken off: see `Row`. Names are loaded when first used: a VM that
runs one mechanism's code does not pay for the harness.
"""

from __future__ import annotations

import importlib

#: As in ``typing``.
TYPE_CHECKING = False

if TYPE_CHECKING:
    from typing import Any

    from hyplink.compare.claims import CLAIMS, Claim
    from hyplink.compare.rows import Row
    from hyplink.compare.run import compare, deaths
    from hyplink.compare.table import Table

__all__ = ["CLAIMS", "Claim", "Row", "Table", "compare", "deaths"]

_HOME = {
    "CLAIMS": "claims",
    "Claim": "claims",
    "Row": "rows",
    "Table": "table",
    "compare": "run",
    "deaths": "run",
}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(f"hyplink.compare.{_HOME[name]}"), name)
    raise AttributeError(f"module 'hyplink.compare' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
