"""The server's end of a channel."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from hyplink import errors
from hyplink.rpq.common import (
    CallbackHandler,
    ProcId,
    _answering,
    _Channel,
    _whole,
)
from hyplink.timeouts import UNSET, Timeout

_DROP = {"": 0, "newest": 1, "oldest": 2}


class ServerChannel(_Channel):
    """Server end of a channel. One thread at a time."""

    role = "server"

    def __init__(self, core: Any, timeout: float | None) -> None:
        super().__init__(core, timeout)
        self.window: memoryview = core.window
        # Bound methods of the core, for generated stubs: offsets of blocks in `window`.
        self.callback_begin: Callable[[int, int], int] = core.callback_begin
        self.callback_post: Callable[[], None] = core.callback_post
        self.callback_begin_call: Callable[[int, int, int], int] = core.callback_begin_call

    def receive(self, max_requests: int = 64, *, timeout: Timeout = UNSET) -> list[Any]:
        """Acknowledge the previous batch and wait for the next: 1 to `max_requests` requests, the last perhaps a call.

        Each has ``proc``, ``params`` (read in place), ``out`` (a call's answer) and ``is_call``; all are good
        until the next receive. ``max_requests`` 0 acknowledges only.

        Raises:
            PeerDied: EPIPE; the client closed (after everything was delivered) or died.
            DeadlineExceeded: ETIMEDOUT.
            CorruptRing: EBADMSG; the client wrote something impossible.

        Blocks: until a request comes; Ctrl-C works. Copies: 0. Source: PVUG 3.1.2.2.
        """
        return list(self._core.receive(max_requests, self._limit(timeout)))

    def try_receive(self, max_requests: int = 64) -> list[Any] | None:
        """The same without waiting; None when nothing is there."""
        batch = self._core.try_receive(max_requests)
        return None if batch is None else list(batch)

    async def receive_async(self, max_requests: int = 64) -> list[Any]:
        """`receive` for asyncio; no time limit but the task's own."""
        return await self._until(lambda: self.try_receive(max_requests))

    def set_reason(self, reason: int) -> None:
        """The status that the answer to the call in progress carries; 0 is success."""
        self._core.set_reason(reason)

    def acknowledge(self) -> None:
        """Hand the last batch back now; a call in it is answered."""
        self._core.acknowledge()

    def fail(self, error: errors.LinkError) -> None:
        """Give the channel up because of what a request held; the client sees its calls fail."""
        self._core.fail(error.errno or 0, str(error))

    def callback_post_bytes(
        self, proc: ProcId | int, data: Any = b"", *, drop: str = "", keep: int = 0
    ) -> None:
        """Send a callback that nobody waits for. Never waits for the client.

        Args:
            proc: Callbacks number their procedures apart from requests.
            data: Its parameters.
            drop: When the ring is full: "" raises, "newest" keeps up to `keep` of this procedure back and forgets
                what comes after, "oldest" forgets the oldest of those kept back. What is kept back goes out with
                later operations of this end.
            keep: How many.

        Raises:
            WouldBlock: EAGAIN; the ring is full and `drop` is "".
            MessageTooLong: EMSGSIZE; larger than half the callback ring.
            PeerDied: EPIPE; the client is gone.

        Blocks: no. Copies: 1, one more while the ring is full.
        """
        self._core.callback_post_bytes(proc.__int__(), _whole(data), _DROP[drop], keep)

    def callback_call(self, timeout: Timeout = UNSET) -> tuple[int, int, int]:
        """Send what ``callback_begin_call`` began and wait: (status, offset of the answer in `window`, its size).

        The client answers while it waits in a call or in `handle_callbacks`; calls that it makes from inside its
        handler are served meanwhile by the function given to `on_nested`.

        Raises:
            DeadlineExceeded: ETIMEDOUT; a client that has not picked it up never will.
            WouldDeadlock: EDEADLK; it would nest too deep, or nobody serves the client's call.
            PeerDied: EPIPE; the client is gone.

        Blocks: until the answer; Ctrl-C works. Copies: 0.
        """
        return tuple(self._core.callback_call(self._limit(timeout)))

    def callback_call_bytes(
        self,
        proc: ProcId | int,
        data: Any = b"",
        out_bytes: int = 0,
        *,
        timeout: Timeout = UNSET,
    ) -> bytes:
        """Run one procedure of the client and wait for its output; see `callback_call`.

        Raises:
            LinkError: the status that the client's handler returned, as errno.

        Blocks: while the ring is full, and until the answer. Copies: 1 in, 1 out.
        """
        block = _whole(data)
        number = proc.__int__()
        at = self.callback_begin_call(number, len(block), -(-out_bytes // 8) * 8)
        self.window[at : at + len(block)] = block
        status, at, _ = self.callback_call(timeout=timeout)
        if status:
            raise errors.from_errno(
                status, f"callback {number:#x} on {self.label}: the client answered {status}"
            )
        return bytes(self.window[at : at + out_bytes])

    def on_nested(self, handler: CallbackHandler | None) -> None:
        """Who serves what the client asks from inside a callback that `callback_call` waits for.

        Without it such a call ends `callback_call` with EDEADLK and is received like every other request.
        """
        self._core.on_nested(None if handler is None else _answering(handler))

    def check_hello(self, own: bytes, theirs: bytes) -> None:
        """Compare what both sides speak (generated ``hello()``; `theirs`: `info` of the channel or the session).

        Raises:
            VersionMismatch: EPROTONOSUPPORT; the channel is refused, the client sees the same.
        """
        self._core.check_hello(own, theirs)

    @property
    def info(self) -> bytes:
        """What the client gave when it created the channel."""
        return bytes(self._core.info)

    @property
    def call_given_up(self) -> bool:
        """True if the client no longer waits for the call that is being handled."""
        return bool(self._core.call_given_up)

    @property
    def callback_block_max(self) -> int:
        """The largest callback this channel takes, in bytes."""
        return int(self._core.callback_block_max)

    @property
    def callbacks_kept(self) -> int:
        """Callbacks kept back because the ring was full."""
        return int(self._core.callbacks_kept)

    def __iter__(self) -> Iterator[Any]:
        """Requests one by one until the client closes."""
        while True:
            try:
                batch = self.receive(timeout=None)
            except errors.PeerDied:
                return
            yield from batch
