"""What happened on a bench, from the journals of all its processes.

Example:
    print(bench.trace.tail(20))
    bench.trace.events(vm=2, kind="vm_state")
    bench.trace.timeline().save("run.svg")
    bench.trace.save("run.json")                      # for Perfetto or chrome://tracing
    bench.trace.save("run.journal")                   # to read again: Trace.load
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from hyplink import errors
from hyplink.trace.events import (
    Event,
    EventKind,
    LinkName,
    Names,
    pack_header,
    read,
    split_header,
)
from hyplink.trace.flows import Flow, flows

if TYPE_CHECKING:
    from typing import Self

    from hyplink.board import Board
    from hyplink.trace.timeline import Timeline

__all__ = ["Difference", "Event", "EventKind", "Flow", "LinkName", "Names", "Trace", "flows"]

Kinds = EventKind | str | Iterable[EventKind | str]


@dataclasses.dataclass(frozen=True, slots=True)
class Difference:
    """The first place where two runs are not the same; None where one has ended."""

    index: int
    mine: Event | None
    theirs: Event | None
    before: tuple[Event, ...] = ()

    def __str__(self) -> str:
        lines = [f"the runs differ at event {self.index}:"]
        lines += [f"    {event.text}" for event in self.before]
        for sign, event in (("-", self.mine), ("+", self.theirs)):
            lines.append(f"  {sign} {event.text if event else '(the run has ended)'}")
        return "\n".join(lines)


class Trace(Sequence[Event]):
    """Events in the order of time: a sequence, with ways to look at it."""

    def __init__(
        self, events: Iterable[Event], names: Names | None = None, raw: bytes = b""
    ) -> None:
        self._events = list(events)
        self.names = names or Names()
        self._raw = raw

    @classmethod
    def from_bytes(cls, data: bytes, board: Board | None = None) -> Self:
        """A journal as stored: records of 64 bytes, perhaps after the head that `save` writes.

        Without a board and without that head, links are called by their numbers.

        Raises:
            BadArgument: EINVAL; not a journal.
        """
        names, records = split_header(bytes(data))
        if board is not None:
            names = Names.of(board)
        names = names or Names()
        return cls(read(records, names), names, records)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read a file that `save` wrote.

        Raises:
            BadArgument: EINVAL; not a journal.
        """
        data = Path(path).read_bytes()
        try:
            return cls.from_bytes(data)
        except errors.BadArgument as error:
            raise errors.BadArgument(22, f"{os.fspath(path)}: {error.strerror}") from None

    def events(
        self, *, vm: int | None = None, link: str | None = None, kind: Kinds | None = None
    ) -> list[Event]:
        """The events about a VM, on a link, of some kinds.

        Args:
            vm: Written by it, or by the hypervisor about it.
            link: A label, such as ``vogl0``.
            kind: An `EventKind`, its name in any case, or several of these.

        Raises:
            BadArgument: EINVAL; no such kind; the message lists them.
        """
        kinds = None if kind is None else _kinds(kind)
        return [
            event
            for event in self._events
            if (kinds is None or event.kind in kinds)
            and (link is None or event.link == link)
            and (vm is None or vm in (event.vm, event.subject))
        ]

    def tail(self, n: int = 20) -> str:
        """The last events as text, one a line, with the time since the start."""
        return "\n".join(str(event) for event in self._events[-n:]) if n > 0 else ""

    def diff(self, other: Trace, *, times: bool = False) -> Difference | None:
        """The first difference to another run; None if there is none.

        Args:
            other: The other run.
            times: Whether times matter too, as they do between seeded runs.
        """
        for index in range(max(len(self), len(other))):
            mine = self._events[index] if index < len(self) else None
            theirs = other._events[index] if index < len(other) else None
            if mine is None or theirs is None or _key(mine, times) != _key(theirs, times):
                before = tuple(self._events[max(0, index - 3) : index])
                return Difference(index, mine, theirs, before)
        return None

    def timeline(self, last: int | None = None, width: int = 1200) -> Timeline:
        """A picture of who rang whom: shown by Jupyter, or saved as SVG.

        Args:
            last: Only so many events at the end; None draws all.
            width: Of the picture, in pixels.
        """
        from hyplink.trace.timeline import Timeline

        drawn = self if last is None else self[-last:] if last > 0 else self[:0]
        return Timeline(drawn, self.names, width)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the trace; the name says how.

        ``.json`` is a Chrome trace for Perfetto, ``.svg`` the timeline, ``.txt`` the events as
        text, ``.journal`` what `load` reads.

        Raises:
            BadArgument: EINVAL; another ending.
        """
        target = Path(path)
        if target.suffix == ".journal":
            target.write_bytes(pack_header(self.names) + self._raw)
            return
        target.write_text(self._as_text(target), encoding="utf-8")

    def _as_text(self, target: Path) -> str:
        if target.suffix == ".svg":
            return self.timeline().to_svg()
        if target.suffix == ".txt":
            return self.tail(len(self)) + "\n"
        if target.suffix == ".json":
            from hyplink.trace.perfetto import chrome_trace

            return chrome_trace(self, self.names)
        raise errors.BadArgument(
            22, f"{target}: a trace is saved as .json (Perfetto), .svg, .txt or .journal"
        )

    def to_bytes(self) -> bytes:
        """The records as they were read."""
        return self._raw

    @overload
    def __getitem__(self, index: int) -> Event: ...
    @overload
    def __getitem__(self, index: slice) -> Trace: ...
    def __getitem__(self, index: int | slice) -> Event | Trace:
        if not isinstance(index, slice):
            return self._events[index]
        pieces = [self._raw[i * 64 : i * 64 + 64] for i in range(*index.indices(len(self)))]
        return Trace(self._events[index], self.names, b"".join(pieces))

    def __len__(self) -> int:
        return len(self._events)

    def __iter__(self) -> Iterator[Event]:
        return iter(self._events)

    def __repr__(self) -> str:
        seconds = self._events[-1].time_s - self._events[0].time_s if self._events else 0.0
        return (
            f"<Trace of {self.names.board or 'a bench'!r}: {len(self)} events in {seconds:.3f} s>"
        )

    def _repr_html_(self) -> str:
        from hyplink.display.tables import html_table

        rows = [[f"{event.time_s * 1e3:.4f}", event.text] for event in self._events[-20:]]
        left_out = len(self) - len(rows)
        note = f"{left_out:,} earlier events are not shown" if left_out else ""
        return html_table(["ms", "event"], rows, note)


def _kinds(kind: Kinds) -> set[EventKind]:
    wanted = [kind] if isinstance(kind, str | EventKind) else list(kind)
    found = set()
    for one in wanted:
        if isinstance(one, str):
            known = EventKind.__members__.get(one.upper())
            if known is None:
                names = ", ".join(name.lower() for name in EventKind.__members__)
                raise errors.BadArgument(22, f"event kind {one!r}: there are {names}")
            one = known
        found.add(one)
    return found


def _key(event: Event, times: bool) -> tuple[Any, ...]:
    timed = (event.time_ns, event.c) if times or event.kind is not EventKind.CALL else ()
    # A call's third number is how long it took.
    return (
        event.number,
        event.vm,
        event.app,
        event.link,
        event.a,
        event.b,
        *(timed if times else timed[1:]),
    )
