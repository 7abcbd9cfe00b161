"""A mix against an interface: what ``vrpq-reqs`` and ``vrpq-pmem`` should be, and why."""

from __future__ import annotations

from dataclasses import dataclass, field

from hyplink.idl.expr_text import size_text
from hyplink.idl.findings import nearest
from hyplink.idl.layout import align_up, beside
from hyplink.idl.model import Block, Model, Procedure
from hyplink.idl.sizing.accounting import (
    HEADER,
    port_bytes,
    record_bytes,
    requests_for,
    ring_bytes,
)
from hyplink.idl.sizing.mix import Mix, MixItem

__all__ = ["Row", "Suggestion", "suggest"]

_STEP = 4096
_FEWEST = 256
_LARGEST_PORT = 1 << 30


@dataclass(slots=True)
class Row:
    """One procedure of the mix: blocks of one request, bytes in the ring of all of a batch."""

    procedure: str
    count: int
    request: int
    answer: int
    total: int


@dataclass(slots=True)
class Suggestion:
    """``requests`` and ``pmem`` go into the info string, ``port`` into ``Session.channel``."""

    requests: int
    pmem: int
    port: int
    rows: list[Row]
    channels: int
    in_flight: int
    reasons: list[str] = field(default_factory=list)

    @property
    def info(self) -> str:
        """What to write into the device tree."""
        return f"vrpq-reqs={self.requests},vrpq-pmem={size_text(self.pmem)}"

    @property
    def default_info(self) -> str:
        """The same for channels that ask for no size: they get an eighth of everything."""
        each = self.requests // self.channels
        requests = self.requests if self.channels >= 8 else 1 << (8 * each - 1).bit_length()
        return f"vrpq-reqs={requests},vrpq-pmem={size_text(max(8, self.channels) * self.port)}"

    def to_json(self) -> dict[str, object]:
        """Plain data."""
        return {
            "vrpq-reqs": self.requests,
            "vrpq-pmem": self.pmem,
            "parameter_bytes": self.port,
            "channels": self.channels,
            "in_flight": self.in_flight,
            "info": self.info,
            "default_info": self.default_info,
            "procedures": [
                {
                    "procedure": row.procedure,
                    "count": row.count,
                    "request": row.request,
                    "answer": row.answer,
                    "total": row.total,
                }
                for row in self.rows
            ],
            "reasons": self.reasons,
        }


def suggest(model: Model, mix: Mix) -> Suggestion:
    """Sizes with which no request of the mix waits for room.

    Raises:
        ValueError: a procedure that is not there, data that it does not take, or too much of all.
    """
    rows = [_row(model, item, mix.buffers) for item in mix.items if item.count]
    if not rows or mix.in_flight < 1 or mix.channels < 1:
        raise ValueError("a mix needs a procedure, a batch in flight and a channel")
    count = sum(row.count for row in rows)
    parameters = sum(row.total for row in rows) - HEADER * count
    largest = max(record_bytes(row.request, row.answer) for row in rows)
    # A record that does not fit in front of the ring's end leaves a filler there.
    records = mix.in_flight * count + 1
    room = mix.in_flight * parameters + largest
    port = align_up(room, _STEP)
    requests = _FEWEST
    while True:
        pmem = port * mix.channels
        share = requests_for(port, pmem, requests)
        if share < records:
            requests *= 2
            continue
        ring = ring_bytes(port_bytes(port, share))
        if ring < room + HEADER * records or ring // 2 < largest:
            port += _STEP
            continue
        break
    if port_bytes(port, share) > _LARGEST_PORT:
        raise ValueError(f"a channel would need {size_text(port)}; a port holds at most 1G")
    result = Suggestion(requests, pmem, port, rows, mix.channels, mix.in_flight)
    result.reasons = _reasons(result, count, parameters, largest, records)
    return result


def _reasons(
    result: Suggestion, count: int, parameters: int, largest: int, records: int
) -> list[str]:
    batches = f"{result.in_flight} batches" if result.in_flight > 1 else "1 batch"
    channels = f" on each of {result.channels} channels" if result.channels > 1 else ""
    return [
        f"a batch is {count:,} requests with {parameters:,} bytes of parameters and answers "
        f"(and {HEADER} bytes a request on top, which count against neither size)",
        f"{batches} may be under way{channels}: a request's room is free again when the server "
        "receives after it",
        f"requests: {records:,} with one filler at the ring's end"
        + (f", times {result.channels} channels" if result.channels > 1 else "")
        + f"; the next power of two from {_FEWEST} up is {result.requests:,}",
        f"parameters: {result.in_flight} x {parameters:,} and once the largest request "
        f"({largest:,}), which may have to begin anew at the ring's start; in pages that is "
        f"{size_text(result.port)} a channel",
        f"the largest request must fit into half of a ring: {largest:,} bytes",
    ]


def _row(model: Model, item: MixItem, buffers: bool) -> Row:
    proc = _find(model, item.procedure)
    request = _block(proc.request, item.bytes, f"{item.procedure}: ")
    if buffers:
        request = min(request, beside(proc.request))
    answer = 0
    if proc.kind == "sync":
        answer = _block(proc.reply, item.answer, f"{item.procedure}: answer: ")
    elif item.answer is not None:
        raise ValueError(f"{item.procedure} is async, it has no answer")
    return Row(
        item.procedure, item.count, request, answer, item.count * record_bytes(request, answer)
    )


def _find(model: Model, name: str) -> Procedure:
    found: dict[str, Procedure] = {}
    for interface in model.interfaces:
        for proc in interface.procedures:
            found.setdefault(proc.name, proc)
            found[f"{interface.name}.{proc.name}"] = proc
    if name not in found:
        guess = nearest(name, found)
        hint = f"; did you mean '{guess}'?" if guess else ""
        raise ValueError(f"there is no procedure '{name}'{hint}")
    return found[name]


def _block(block: Block, data: int | None, where: str) -> int:
    """Bytes of a block with ``data`` bytes of variable parts."""
    if data is None or not block.parts:
        if data:
            raise ValueError(f"{where}{data} bytes given, but nothing in it has a variable length")
        return block.max
    # Each part is rounded up to eight; a string's NUL is part of that.
    size = block.fixed + align_up(data, 8) + 8 * (len(block.parts) - 1)
    strings = sum(1 for slot in block.parts if slot.form == "string")
    size += 8 * strings
    if size - 8 * strings - 8 * (len(block.parts) - 1) > block.max:
        raise ValueError(
            f"{where}{data} bytes given, the interface allows {block.max - block.fixed}"
        )
    return min(size, block.max)
