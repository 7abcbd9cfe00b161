"""A events in the Chrome trace format, which Perfetto and chrome://tracing read.

VMs are processes, applications and link ends are threads, states and calls are slices, and a notify
is tied to its receive by a flow.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from hyplink.trace.events import Event, EventKind, Names
from hyplink.trace.flows import flows
from hyplink.trace.words import LINK_STATES, ROLES, VM_STATES

__all__ = ["chrome_trace"]

#: Threads of a process: 0 is the VM's state, applications count from 1, link ends come after.
_LINK_THREADS = 100_000


class _Tracks:
    """Numbers for link ends, and the names of everything that was used."""

    def __init__(self, names: Names) -> None:
        self._links: dict[str, int] = {}
        self._vms = dict(names.vms)
        self._named: dict[tuple[int, int], str] = {}

    def of(self, event: Event) -> tuple[int, int]:
        """(process, thread) of an event."""
        vm = event.subject
        if event.kind is EventKind.LINK_STATE and event.link is not None:
            thread = _LINK_THREADS + self._links.setdefault(event.link, len(self._links))
            role = ROLES[event.a] if event.a < len(ROLES) else "end"
            self._named[vm, thread] = f"{event.link} {role}"
        else:
            thread = event.app if event.vm else 0
            self._named[vm, thread] = f"app {thread}" if thread else "VM"
        return vm, thread

    def names(self) -> Iterator[dict[str, Any]]:
        for vm in sorted({vm for vm, _ in self._named}):
            title = f"VM {vm} {self._vms.get(vm, '')}".strip() if vm else "hypervisor"
            yield _meta("process_name", vm, 0, {"name": title})
            yield _meta("process_sort_index", vm, 0, {"sort_index": vm})
        for (vm, thread), name in sorted(self._named.items()):
            yield _meta("thread_name", vm, thread, {"name": name})


def _meta(name: str, vm: int, thread: int, args: dict[str, Any]) -> dict[str, Any]:
    return {"ph": "M", "name": name, "pid": vm, "tid": thread, "args": args}


def _slices(events: Sequence[Event], tracks: _Tracks, start: int) -> Iterator[dict[str, Any]]:
    """States as slices from one change to the next."""
    end = max((event.time_ns for event in events), default=start)
    open_since: dict[tuple[int, int], tuple[int, str]] = {}
    for event in events:
        states: tuple[str, ...]
        if event.kind is EventKind.VM_STATE:
            states, state = VM_STATES, event.a
        elif event.kind is EventKind.LINK_STATE:
            states, state = LINK_STATES, event.b
        else:
            continue
        track = tracks.of(event)
        if track in open_since:
            yield _slice(track, *open_since[track], event.time_ns, start)
        open_since[track] = (event.time_ns, states[state] if state < len(states) else f"?{state}")
    for track, opened in open_since.items():
        yield _slice(track, *opened, end, start)


def _slice(track: tuple[int, int], since: int, name: str, until: int, start: int) -> dict[str, Any]:
    return {
        "ph": "X",
        "name": name,
        "cat": "state",
        "pid": track[0],
        "tid": track[1],
        "ts": (since - start) / 1e3,
        "dur": (until - since) / 1e3,
    }


def _points(events: Sequence[Event], tracks: _Tracks, start: int) -> Iterator[dict[str, Any]]:
    for event in events:
        if event.kind in (EventKind.VM_STATE, EventKind.LINK_STATE):
            continue
        vm, thread = tracks.of(event)
        kind = event.kind.name.lower()
        at: dict[str, Any] = {
            "name": kind,
            "cat": "event",
            "pid": vm,
            "tid": thread,
            "ts": (event.time_ns - start) / 1e3,
            "args": {"text": event.text, "a": event.a, "b": event.b, "c": event.c},
        }
        if event.kind is EventKind.CALL:
            took = min(event.c, event.time_ns)
            yield {**at, "ph": "X", "ts": (event.time_ns - took - start) / 1e3, "dur": took / 1e3}
        elif event.kind in (EventKind.NOTIFY, EventKind.RECEIVE, EventKind.REPLY):
            # Flows start and end on slices only.
            yield {**at, "ph": "X", "dur": 0}
        else:
            yield {**at, "ph": "i", "s": "t"}


def _flows(events: Sequence[Event], tracks: _Tracks, start: int) -> Iterator[dict[str, Any]]:
    for number, flow in enumerate(flows(events), start=1):
        name = "batch" if flow.requests else "answer"
        first = min(flow.source.time_ns, flow.target.time_ns)
        for phase, event, time in (
            ("s", flow.source, first),
            ("f", flow.target, flow.target.time_ns),
        ):
            vm, thread = tracks.of(event)
            mark: dict[str, Any] = {"ph": phase, "id": number, "name": name, "cat": "flow"}
            mark |= {"pid": vm, "tid": thread, "ts": (time - start) / 1e3}
            yield mark | ({"bp": "e"} if phase == "f" else {})


def chrome_trace(events: Sequence[Event], names: Names) -> str:
    """The JSON text."""
    start = events[0].time_ns if len(events) else 0
    tracks = _Tracks(names)
    told = [
        *_slices(events, tracks, start),
        *_points(events, tracks, start),
        *_flows(events, tracks, start),
    ]
    return json.dumps(
        {
            "displayTimeUnit": "ns",
            "otherData": {"board": names.board},
            "traceEvents": [*tracks.names(), *told],
        }
    )
