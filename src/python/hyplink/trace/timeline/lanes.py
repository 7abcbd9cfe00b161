"""What a timeline shows: lanes with bars, marks on them, arrows between them."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator, Sequence

from hyplink.trace.events import Event, EventKind, Names
from hyplink.trace.flows import flows
from hyplink.trace.words import LINK_STATES, VM_STATES
from hyplink.units import count

__all__ = ["TRAFFIC", "Arrow", "Bar", "Lane", "Lanes", "Mark"]

TRAFFIC = frozenset(
    {EventKind.NOTIFY, EventKind.RECEIVE, EventKind.CALL, EventKind.REPLY, EventKind.XIRQ}
)
#: More would not be read; the picture says how many it leaves out.
_MAX_VMS, _MAX_LINKS, _MAX_APPS = 12, 8, 16
_WOKE, _SENT = 2, 1

#: ("vm", id), ("end", id, label, role), ("app", id, application).
Key = tuple[object, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Bar:
    """A state from one moment to another."""

    start: int
    end: int
    state: str


@dataclasses.dataclass(frozen=True, slots=True)
class Mark:
    """Something at one moment; ``label`` is written beside it, ``title`` shown on hovering."""

    time: int
    kind: str
    title: str
    label: str = ""


@dataclasses.dataclass(slots=True)
class Lane:
    """One row of the picture."""

    key: Key
    label: str
    bars: list[Bar] = dataclasses.field(default_factory=list)
    marks: list[Mark] = dataclasses.field(default_factory=list)
    #: Moments of notify, receive, call and reply: drawn as ticks.
    ticks: list[int] = dataclasses.field(default_factory=list)
    calls: list[tuple[int, int]] = dataclasses.field(default_factory=list)

    @property
    def kind(self) -> str:
        """``vm``, ``end`` or ``app``."""
        return str(self.key[0])


@dataclasses.dataclass(frozen=True, slots=True)
class Arrow:
    """From one lane to another."""

    source: Key
    target: Key
    left: int
    arrived: int
    kind: str
    requests: int = 0


class Lanes:
    """All lanes of a events, sorted by VM, and the arrows between them."""

    def __init__(self, events: Sequence[Event], names: Names) -> None:
        self.start = events[0].time_ns if len(events) else 0
        self.end = max((event.time_ns for event in events), default=1)
        self._lanes: dict[Key, Lane] = {}
        self._open: dict[Key, tuple[int, str]] = {}
        self.left_out: list[str] = []
        self._choose(events, names)
        for event in events:
            self._take(event)
        for key, (since, state) in self._open.items():
            self._lanes[key].bars.append(Bar(since, self.end, state))
        self.arrows = list(self._arrows(events))

    def __iter__(self) -> Iterator[Lane]:
        return iter(self._lanes.values())

    def __contains__(self, key: object) -> bool:
        return key in self._lanes

    # --- which lanes ---------------------------------------------------------------------------

    def _choose(self, events: Sequence[Event], names: Names) -> None:
        seen: Counter[Key] = Counter()
        for event in events:
            for key in _keys(event):
                seen[key] += 1
        vms = self._most(seen, "vm", _MAX_VMS, "VM")
        links = Counter[object]()
        for key, times in seen.items():
            if key[0] == "end":
                links[key[2]] += times
        shown = {label for label, _ in links.most_common(_MAX_LINKS)}
        if len(links) > len(shown):
            self.left_out.append(count(len(links) - len(shown), "vlink"))
        named = dict(names.vms)
        apps = self._most(seen, "app", _MAX_APPS, "application")
        for key in vms:
            vm = key[1]
            assert isinstance(vm, int)
            name = named.get(vm, "")
            self._lanes[key] = Lane(key, f"VM {vm}" + (f" {name}" if name != f"vm{vm}" else ""))
            ends = sorted(k for k in seen if k[0] == "end" and k[1] == vm and k[2] in shown)
            for end in ends:
                self._lanes[end] = Lane(end, f"{end[2]} {('server', 'client')[int(str(end[3]))]}")
            for app in (k for k in apps if k[1] == vm):
                self._lanes[app] = Lane(app, f"app {app[2]}")

    def _most(self, seen: Counter[Key], kind: str, most: int, word: str) -> list[Key]:
        found = Counter({key: times for key, times in seen.items() if key[0] == kind})
        chosen = [key for key, _ in found.most_common(most)]
        if len(found) > most:
            self.left_out.append(count(len(found) - most, word))
        return sorted(chosen)

    # --- bars and marks ------------------------------------------------------------------------

    def _take(self, event: Event) -> None:
        kind = event.kind
        if kind is EventKind.VM_STATE:
            key: Key = ("vm", event.c)
            self._state(key, event.time_ns, _word(VM_STATES, event.a), _word(VM_STATES, event.b))
            if event.a == VM_STATES.index("DEAD"):
                self._mark(key, event, "death", "dies")
            if event.a in (0, VM_STATES.index("DEAD")):
                self._end_apps(event)
        elif kind is EventKind.LINK_STATE:
            key = ("end", event.subject, event.link, event.a)
            new, old = _word(LINK_STATES, event.b), _word(LINK_STATES, event.c)
            self._state(key, event.time_ns, new, old)
        elif kind is EventKind.APP_START:
            self._state(("app", event.vm, event.a), event.time_ns, "ALIVE", "")
        elif kind is EventKind.APP_END:
            key = ("app", event.vm, event.a)
            self._state(key, event.time_ns, "", "ALIVE")
            if event.b:
                self._mark(key, event, "death", "dies")
        elif event.app and event.vm:
            self._work(event)
        elif kind is EventKind.MARK:
            for lane in list(self)[:1]:
                lane.marks.append(Mark(event.time_ns, "mark", event.text, f"mark {event.a}"))
        elif event.link is not None and kind not in (EventKind.XIRQ, EventKind.RESOURCE):
            self._kernel(event)

    def _work(self, event: Event) -> None:
        key: Key = ("app", event.vm, event.app)
        lane = self._lanes.get(key)
        if lane is None:
            return
        if key not in self._open and not lane.bars:
            self._open[key] = (self.start, "ALIVE")  # it began before this events does
        if event.kind is EventKind.PEER_DEATH:
            lost = f", {event.b:,} lost" if event.b else ""
            self._mark(key, event, "epipe", f"EPIPE{lost}")
        elif event.kind is EventKind.CORRUPT:
            self._mark(key, event, "corrupt", "corrupt")
        else:
            lane.ticks.append(event.time_ns)
            if event.kind is EventKind.CALL:
                lane.calls.append((event.time_ns - min(event.c, event.time_ns), event.time_ns))

    def _kernel(self, event: Event) -> None:
        role = event.a if event.kind is EventKind.LINK_FORCED else event.b
        if event.kind in (EventKind.LINK_REFUSED, EventKind.CORRUPT):
            role = event.a
        key = ("end", event.subject, event.link, role)
        kind = "kernel"
        label = ""
        if event.kind is EventKind.LINK_FORCED:
            kind = "forced"
        elif event.kind is EventKind.CORRUPT:
            kind, label = "corrupt", "corrupt"
        elif event.kind is EventKind.SESSION_ABORT:
            kind = "abort"
        self._mark(key, event, kind, label)

    def _mark(self, key: Key, event: Event, kind: str, label: str = "") -> None:
        if key in self._lanes:
            self._lanes[key].marks.append(Mark(event.time_ns, kind, event.text, label))

    def _state(self, key: Key, time: int, new: str, old: str) -> None:
        lane = self._lanes.get(key)
        if lane is None:
            return
        since, before = self._open.pop(key, (self.start, old))
        if before and (before != "ALIVE" or since < time):
            lane.bars.append(Bar(since, time, before))
        if new:
            self._open[key] = (time, new)

    def _end_apps(self, event: Event) -> None:
        """With a VM its applications end, and nobody is left to write it down."""
        for key in [k for k in self._open if k[0] == "app" and k[1] == event.c]:
            self._state(key, event.time_ns, "", "ALIVE")

    # --- arrows --------------------------------------------------------------------------------

    def _arrows(self, events: Sequence[Event]) -> Iterator[Arrow]:
        for flow in flows(events):
            source: Key = ("app", flow.source.vm, flow.source.app)
            target: Key = ("app", flow.target.vm, flow.target.app)
            if source in self and target in self:
                kind = "answer"
                if flow.source.kind is EventKind.NOTIFY:
                    kind = "woke" if flow.source.c & _WOKE else "sent"
                    kind = kind if flow.source.c & _SENT else "awake"
                arrived = flow.target.time_ns
                # A notify is journalled after its bell rang; an arrow never points back in time.
                left = min(flow.source.time_ns, arrived)
                yield Arrow(source, target, left, arrived, kind, flow.requests)
        for event in events:
            if event.kind is EventKind.XIRQ and event.ends is not None:
                to = 0 if event.ends.server == event.b else 1
                ends = [("end", event.ends.vm(role), event.link, role) for role in (to, 1 - to)]
                if all(end in self for end in ends):
                    yield Arrow(ends[1], ends[0], event.time_ns, event.time_ns, "xirq")


def _word(names: tuple[str, ...], index: int) -> str:
    return names[index] if index < len(names) else f"?{index}"


def _keys(event: Event) -> Iterator[Key]:
    """The lanes an event wants."""
    if event.kind is EventKind.VM_STATE:
        yield "vm", event.c
    if event.vm:
        yield "vm", event.vm
    if event.app and event.vm:
        yield "app", event.vm, event.app
    elif event.kind is EventKind.APP_START and event.vm:
        yield "app", event.vm, event.a
    if event.kind is EventKind.LINK_STATE and event.subject and event.a in (0, 1):
        yield "vm", event.subject
        yield "end", event.subject, event.link, event.a
