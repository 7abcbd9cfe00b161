"""What one channel end counted of one procedure, and what procedures are called."""

from __future__ import annotations

import dataclasses
import os
import struct
from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["ProcedureStats", "name_of", "procedure_names", "read_procedures", "sum_procedures"]

_ROW = struct.Struct("<I4xII5Q")
assert _ROW.size == 56


@dataclasses.dataclass(frozen=True, slots=True)
class ProcedureStats:
    """One procedure: the server's end counts requests and their bytes, the client's times calls."""

    proc: int
    requests: int = 0
    bytes: int = 0
    latency_count: int = 0
    latency_sum_ns: int = 0
    latency_max_ns: int = 0

    @property
    def group(self) -> int:
        """The interface's group."""
        return self.proc >> 16

    @property
    def ordinal(self) -> int:
        """The number within the interface."""
        return self.proc & 0xFFFF

    @property
    def latency_mean_ns(self) -> float:
        """Mean time of a call; 0 when none was timed."""
        return self.latency_sum_ns / self.latency_count if self.latency_count else 0.0

    def since(self, earlier: ProcedureStats | None) -> ProcedureStats:
        """What came after an earlier moment; the maximum stays what it is."""
        if earlier is None:
            return self
        counted = ("requests", "bytes", "latency_count", "latency_sum_ns")
        less = {name: max(0, getattr(self, name) - getattr(earlier, name)) for name in counted}
        return dataclasses.replace(self, **less)

    def to_json(self) -> dict[str, Any]:
        """Plain data with the derived figures."""
        return {**dataclasses.asdict(self), "latency_mean_ns": self.latency_mean_ns}


def read_procedures(data: bytes) -> dict[int, list[ProcedureStats]]:
    """By the number of the channel end in the same look."""
    found: dict[int, list[ProcedureStats]] = {}
    for channel, _used, proc, *numbers in _ROW.iter_unpack(data):
        found.setdefault(channel, []).append(ProcedureStats(proc, *numbers))
    return found


def sum_procedures(rows: Iterable[ProcedureStats]) -> list[ProcedureStats]:
    """One row a procedure, the busiest first."""
    found: dict[int, ProcedureStats] = {}
    for row in rows:
        other = found.get(row.proc, ProcedureStats(row.proc))
        found[row.proc] = ProcedureStats(
            row.proc,
            row.requests + other.requests,
            row.bytes + other.bytes,
            row.latency_count + other.latency_count,
            row.latency_sum_ns + other.latency_sum_ns,
            max(row.latency_max_ns, other.latency_max_ns),
        )
    return sorted(found.values(), key=lambda row: (-row.requests, row.proc))


def procedure_names(*files: str | os.PathLike[str]) -> dict[int, str]:
    """What the procedures of interface files are called, by their number.

    Raises:
        IdlError: a file has mistakes.
    """
    from hyplink.idl.front import compile_file

    names = {}
    for file in files:
        for interface in compile_file(file).require().interfaces:
            for proc in interface.procedures:
                names[interface.group << 16 | proc.ordinal] = f"{interface.name}.{proc.name}"
    return names


def name_of(proc: int, names: Mapping[int, str]) -> str:
    """A procedure's name, or its numbers."""
    return names.get(proc, f"{proc >> 16}.{proc & 0xFFFF}")
