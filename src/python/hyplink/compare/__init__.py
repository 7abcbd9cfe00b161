"""The mechanisms beside each other: the table of spec 001, section 6, filled in by measurement.

Example:
    table = compare(["vRPQ", "vION"], kills=100)
    table                                   # in Jupyter: measured, and below it what the document claims
    table["vRPQ"].asleep_ns

Two VMs are two processes; each measurement is code in both of them, through the Python face. What Python itself and the
machine's wake-up cost is measured in the same run and taken off: see `Row`.
"""

from __future__ import annotations

from hyplink.compare.claims import CLAIMS, Claim
from hyplink.compare.rows import Row
from hyplink.compare.run import compare, deaths
from hyplink.compare.table import Table

__all__ = ["CLAIMS", "Claim", "Row", "Table", "compare", "deaths"]
