"""What both ends of a channel share: names, times, states."""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from hyplink import _core, errors
from hyplink.bells import until
from hyplink.closing import Closing
from hyplink.timeouts import Timeout, or_default

T = TypeVar("T")

#: Seconds that an operation waits when no timeout is given.
DEFAULT_TIMEOUT = 10.0

Request = _core.Request

#: Handles one request; returns the status of its answer (None is 0). An ``OSError`` answers its errno.
CallbackHandler = Callable[[Any], "int | None"]


class ProcId(NamedTuple):
    """Identity of a procedure: group and function, 0..65535 each."""

    group: int
    function: int

    def __int__(self) -> int:
        return self.group << 16 | self.function


class ChannelState(enum.IntEnum):
    """What the own guest kernel says about a session or channel."""

    NONE = 0
    OPEN = 1
    PEER_CLOSED = 2
    DEAD = 3
    CLOSED = 4


class _Channel(Closing):
    """What both ends of a channel share."""

    _core: Any
    role = ""

    def __init__(self, core: Any, timeout: float | None) -> None:
        self._core = core
        self.timeout = timeout

    @property
    def timeout(self) -> float | None:
        """Seconds that an operation of this end waits when it is given no timeout; None: for ever."""
        return self._timeout

    @timeout.setter
    def timeout(self, seconds: float | None) -> None:
        self._core.set_timeout(seconds)  # what a generated call or a full port waits
        self._timeout = seconds

    def close(self) -> None:
        """Close this end: the peer gets what was published, then EPIPE. Idempotent."""
        self._core.close()

    @property
    def state(self) -> ChannelState:
        """OPEN, PEER_CLOSED, DEAD or CLOSED."""
        return ChannelState(self._core.state)

    @property
    def number(self) -> int:
        """The channel's number on its link, 1..1024."""
        return int(self._core.number)

    @property
    def label(self) -> str:
        """The device it was opened on."""
        return str(self._core.label)

    @property
    def stats(self) -> dict[str, int]:
        """Counters of this end: posts, batches, calls, xirqs, wakes, copies, latency …."""
        return dict(self._core.counters)

    def fileno(self) -> int:
        """A descriptor for select, epoll or asyncio: readable when the channel's bell was rung."""
        return int(self._core.fileno())

    def _limit(self, timeout: Timeout) -> float | None:
        return or_default(timeout, self.timeout)

    async def _until(self, attempt: Callable[[], T | None]) -> T:
        """Attempt something whenever the own bell was rung, until it gives a result."""
        return await until(self._core, attempt)

    def __repr__(self) -> str:
        return f"<rpq.{type(self).__name__} {self.number} of {self.label}: {self.state.name}>"


def _answering(handler: CallbackHandler) -> CallbackHandler:
    """What a handler raises as an ``OSError`` is the answer of whoever waits for one."""

    def run(request: Any) -> int | None:
        try:
            return handler(request)
        except OSError as failure:
            if not request.is_call or isinstance(failure, errors.CorruptRing) or not failure.errno:
                raise
            return failure.errno

    return run


def _whole(data: Any) -> bytes:
    """Parameters, rounded up to whole words as every block is."""
    block = bytes(data)
    return block + bytes(-len(block) % 8)
