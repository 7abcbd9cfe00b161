"""All ends of all channels at one moment."""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from hyplink import errors
from hyplink.stats.buffers import BufferEnd, BufferStats
from hyplink.stats.ends import NAMES, ChannelStats
from hyplink.stats.flows import FlowStats
from hyplink.stats.procedures import ProcedureStats, read_procedures
from hyplink.stats.rows import Rows
from hyplink.stats.rpq import RpqChannel, RpqStats
from hyplink.units import duration, size

if TYPE_CHECKING:
    from typing import Self

    from hyplink.board import Board

__all__ = ["Stats"]

_SLOT_BYTES = 256
_SLOT = struct.Struct("<7I4x21Q8x5Q8x")
assert _SLOT.size == _SLOT_BYTES
_ROLES = ("server", "client")


_KEYS = NAMES
#: Not sums: peaks, and what is so at the moment.
_PEAKS = ("ring_peak", "pmem_peak", "latency_max_ns", "batch_max")
_GAUGES = ("ring_now", "pmem_now")
_NUMBERS = _KEYS[6:-1]
#: Column of the table, how a row fills it.
_COLUMNS: dict[str, Callable[[ChannelStats], str]] = {
    "link": lambda c: c.link,
    "end": lambda c: f"VM {c.vm} app {c.app} {c.role}",
    "ses.chn": lambda c: f"{c.session}.{c.channel}",
    "posts": lambda c: f"{c.posts:,}",
    "batches": lambda c: f"{c.batches:,}",
    "calls": lambda c: f"{c.calls:,}",
    "requests": lambda c: f"{c.requests:,}",
    "xirqs": lambda c: f"{c.xirqs:,}",
    "wakes": lambda c: f"{c.wakes:,}",
    "copies": lambda c: f"{c.copies:,}",
    "copied": lambda c: size(c.copied_bytes),
    "copies/req": lambda c: f"{c.copies_per_request:.2f}" if c.posts + c.calls else "-",
    "full": lambda c: f"{c.full_events:,}",
    "ring peak": lambda c: f"{c.ring_peak:,}",
    "pmem peak": lambda c: size(c.pmem_peak),
    "lost": lambda c: f"{c.lost:,}",
    "mean": lambda c: duration(c.latency_mean_ns) if c.latency_count else "-",
    "max": lambda c: duration(c.latency_max_ns) if c.latency_count else "-",
}


class Stats(Rows[ChannelStats]):
    """The counters of a bench at one moment, one row for each end of each channel there ever was."""

    _columns = _COLUMNS

    def __init__(self, channels: Iterable[ChannelStats], buffers: Iterable[BufferEnd] = ()) -> None:
        super().__init__(sorted(channels, key=lambda channel: channel.key))
        self._buffers = BufferStats.of(buffers)

    def _slice(self, rows: list[ChannelStats]) -> Self:
        return type(self)(rows, self._buffers)

    @classmethod
    def from_bytes(cls, data: bytes, board: Board | None = None, procedures: bytes = b"") -> Self:
        """Slots of 256 bytes as stored, and rows of 56 bytes of the procedures of each.

        Raises:
            BadArgument: EINVAL; not a whole number of slots.
        """
        if len(data) % _SLOT_BYTES:
            raise errors.BadArgument(22, f"counters of {len(data)} bytes: a slot has {_SLOT_BYTES}")
        links = board.links if board else ()

        def label(link: int) -> str:
            return links[link].label if link < len(links) else f"link {link}"

        rows = read_procedures(procedures)
        found = []
        buffers = []
        for number, slot in enumerate(_SLOT.iter_unpack(data)):
            used, vm, app, link, session, channel, role, *numbers = slot
            if not used:
                continue
            counted = tuple(rows.get(number, ()))
            whole = data[number * _SLOT_BYTES : (number + 1) * _SLOT_BYTES]
            if (end := BufferEnd.from_slot(whole, label, counted)) is not None:
                buffers.append(end)
                continue
            name = _ROLES[role] if role < len(_ROLES) else f"role {role}"
            values = (vm, app, label(link), session, channel, name, *numbers, counted)
            found.append(ChannelStats(**dict(zip(_KEYS, values, strict=True))))
        return cls(found, buffers)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The inverse of `to_json`; keys it does not know are left out.

        Raises:
            BadArgument: EINVAL; something else.
        """
        one = [field.name for field in dataclasses.fields(ProcedureStats)]
        try:
            rows = [{name: row[name] for name in _KEYS} for row in data["channels"]]
            for row in rows:
                procedures = [{name: p[name] for name in one} for p in row["procedures"]]
                row["procedures"] = tuple(ProcedureStats(**p) for p in procedures)
            buffers = [BufferEnd.from_json(end) for end in data["buffers"]]
        except (KeyError, TypeError) as error:
            raise errors.BadArgument(22, f"these are no counters of a bench: {error}") from None
        return cls([ChannelStats(**row) for row in rows], buffers)

    @property
    def totals(self) -> Mapping[str, float]:
        """Sums over all ends; the largest of each peak; the means over everything."""
        sums: dict[str, float] = {
            name: (max if name in _PEAKS else sum)(
                [getattr(channel, name) for channel in self] or [0]
            )
            for name in _NUMBERS
        }
        sent = sums["posts"] + self._client_calls()
        sums["copies_per_request"] = sums["copies"] / sent if sent else 0.0
        timed = sums["latency_count"]
        sums["latency_mean_ns"] = sums["latency_sum_ns"] / timed if timed else 0.0
        # Both ends count a call.
        sums["calls"] = self._client_calls()
        return MappingProxyType(sums)

    def _client_calls(self) -> int:
        return sum(channel.calls for channel in self if channel.role == "client")

    def since(self, earlier: Stats) -> Stats:
        """What was counted after an earlier moment; peaks stay what they are."""
        before = _by_life(earlier)
        return Stats(
            [
                channel if (old := before.get(life)) is None else _less(channel, old)
                for life, channel in _by_life(self).items()
            ],
            list(self._buffers.since(earlier._buffers)),
        )

    def rpq(
        self, names: Mapping[int, str] = MappingProxyType({}), *, since: Stats | None = None
    ) -> RpqStats:
        """Channel by channel, both ends together, as vrpqstat shows them.

        Args:
            names: What procedures are called, see `procedure_names`.
            since: Count only what came after that moment; what is so now stays what it is.
        """
        now = self._pairs()
        shown = now if since is None else self.since(since)._pairs()
        return RpqStats(
            [
                RpqChannel(*where[:3], _stacked(now[where]), both.get("client"), both.get("server"))
                for where, both in shown.items()
            ],
            names,
        )

    def flows(self, *, since: Stats | None = None) -> FlowStats:
        """Pipes, calls and queues, end by end of each vlink.

        Args:
            since: Count only what came after that moment; what is so now stays what it is.
        """
        return FlowStats.of(self if since is None else self.since(since))

    def buffers(self, *, since: Stats | None = None) -> BufferStats:
        """Buffers of vUmem and vION, sessions and requests, end by end of each vlink.

        Args:
            since: Count only what came after that moment; what is so now stays what it is.
        """
        return self._buffers if since is None else self._buffers.since(since._buffers)

    def _pairs(self) -> dict[tuple[str, int, int, int], dict[str, ChannelStats]]:
        # Numbers are used again: the second client of that name belongs to the second server.
        ends: dict[tuple[str, int, int, int], dict[str, ChannelStats]] = {}
        turns: dict[tuple[str, int, int, str], int] = {}
        for channel in self:
            if channel.session == 0:
                continue  # pipes, calls, queues: see `flows`
            where = (channel.link, channel.session, channel.channel)
            turn = turns[*where, channel.role] = turns.get((*where, channel.role), 0) + 1
            ends.setdefault((*where, turn), {})[channel.role] = channel
        return ends

    def to_json(self) -> dict[str, Any]:
        """Plain data: ``channels``, ``totals`` and ``buffers``."""
        return {
            "channels": [channel.to_json() for channel in self],
            "totals": dict(self.totals),
            "buffers": self._buffers.to_json(),
        }

    def __str__(self) -> str:
        from hyplink.display.tables import text_table

        if not self:
            return "no channel was opened yet"
        return text_table(list(self._columns), self._rows(), left=2) + "\n" + self._summary()

    def _summary(self) -> str:
        totals = self.totals
        text = (
            f"{totals['posts'] + totals['calls']:,.0f} requests in {totals['batches']:,.0f} batches, "
            f"{totals['xirqs']:,.0f} XIRQs of which {totals['wakes']:,.0f} woke somebody, "
            f"{totals['copies_per_request']:.2f} copies a request, {totals['lost']:,.0f} lost"
        )
        if totals["latency_count"]:
            text += f", a call took {duration(totals['latency_mean_ns'])} on average"
        return text

    def __repr__(self) -> str:
        return f"<Stats of {len(self)} channel ends: {self._summary()}>"

    def _repr_html_(self) -> str:
        from hyplink.display.tables import html_table

        return html_table(list(self._columns), self._rows(), self._summary())


def _stacked(ends: Mapping[str, ChannelStats]) -> int:
    """Requests published and not picked up."""
    client, server = ends.get("client"), ends.get("server")
    if client is None or server is None:
        return 0
    return max(0, client.posts + client.calls - server.requests)


def _less(channel: ChannelStats, old: ChannelStats) -> ChannelStats:
    counted = [name for name in _NUMBERS if name not in _PEAKS + _GAUGES]
    less = {name: max(0, getattr(channel, name) - getattr(old, name)) for name in counted}
    before = {row.proc: row for row in old.procedures}
    rows = tuple(row.since(before.get(row.proc)) for row in channel.procedures)
    return dataclasses.replace(channel, **less, procedures=rows)


def _by_life(stats: Stats) -> dict[tuple[object, ...], ChannelStats]:
    """Channels by what they are and which one of that name they are: numbers are used again."""
    seen: dict[tuple[object, ...], int] = {}
    found: dict[tuple[object, ...], ChannelStats] = {}
    for channel in stats:
        turn = seen[channel.key] = seen.get(channel.key, 0) + 1
        found[*channel.key, turn] = channel
    return found
