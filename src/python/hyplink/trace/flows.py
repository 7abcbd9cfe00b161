"""Which notify a receive belongs to, and which reply ended a call.

Both ends of a channel count requests in the same order, so the n-th request notified is the n-th
received; times do not decide, because a notify is journalled after its bell was rung.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator

from hyplink.trace.events import Event, EventKind

__all__ = ["Flow", "flows"]

#: A journal that ran over has lost one side's beginning; pairs that far apart are not pairs.
_PLAUSIBLE_NS = 50_000_000

_Key = tuple[str | None, int, int]


@dataclasses.dataclass(frozen=True, slots=True)
class Flow:
    """Something went from one application to another: ``source`` then ``target``."""

    source: Event
    target: Event

    @property
    def requests(self) -> int:
        """Requests carried; 0 for an answer."""
        return self.source.b if self.source.kind is EventKind.NOTIFY else 0


def flows(events: Iterable[Event]) -> Iterator[Flow]:
    """Pair notify with receive and reply with call, per channel and per time it was opened."""
    lives: defaultdict[tuple[str | None, int, int], int] = defaultdict(int)
    notifies: defaultdict[_Key, deque[Event]] = defaultdict(deque)
    receives: defaultdict[_Key, deque[Event]] = defaultdict(deque)
    replies: defaultdict[_Key, deque[Event]] = defaultdict(deque)
    calls: defaultdict[_Key, deque[Event]] = defaultdict(deque)
    for event in events:
        if event.kind is EventKind.CHANNEL_OPEN:
            lives[event.link, event.a, event.b] += 1
        elif event.kind is EventKind.NOTIFY:
            notifies[event.link, event.a, lives[event.link, event.a, 1]].append(event)
        elif event.kind is EventKind.RECEIVE:
            receives[event.link, event.a, lives[event.link, event.a, 0]].append(event)
        elif event.kind is EventKind.REPLY:
            replies[event.link, event.a, lives[event.link, event.a, 0]].append(event)
        elif event.kind is EventKind.CALL:
            calls[event.link, event.a, lives[event.link, event.a, 1]].append(event)
    for key, sent in notifies.items():
        yield from _deliver(sent, receives[key])
    for key, made in calls.items():
        yield from _answer(replies[key], made)


def _answer(replies: deque[Event], calls: deque[Event]) -> Iterator[Flow]:
    for call in calls:
        # A reply is journalled after its caller was woken, so it may come late; one from before the
        # call began answered a call that was given up.
        while replies and replies[0].time_ns < call.time_ns - call.c:
            replies.popleft()
        if not replies:
            return
        if replies[0].b == call.b and replies[0].time_ns - call.time_ns < _PLAUSIBLE_NS:
            yield Flow(replies.popleft(), call)


def _deliver(sent: deque[Event], received: deque[Event]) -> Iterator[Flow]:
    notified = taken = 0
    receives = iter(received)
    receive = next(receives, None)
    for notify in sent:
        # The receive that took the last request of this batch ends the arrow.
        notified += notify.b
        while receive is not None and taken + receive.b < notified:
            taken += receive.b
            receive = next(receives, None)
        if receive is None:
            return
        if -_PLAUSIBLE_NS < receive.time_ns - notify.time_ns < 100 * _PLAUSIBLE_NS:
            yield Flow(notify, receive)
