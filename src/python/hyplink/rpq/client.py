"""The client's end of a channel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hyplink import errors
from hyplink.rpq.common import (
    CallbackHandler,
    ProcId,
    _answering,
    _Channel,
)
from hyplink.timeouts import UNSET, Timeout


class ClientChannel(_Channel):
    """Client end of a channel. One thread at a time.

    ``begin`` … ``post`` marshal a request into the port; ``notify`` publishes the batch with at most one XIRQ;
    ``begin_call`` … ``call`` send everything before them, and wait for the answer. Callbacks of the server come
    to the handler of ``on_callback``, in ``handle_callbacks`` and while a call waits.
    """

    role = "client"

    def __init__(self, core: Any, timeout: float | None) -> None:
        super().__init__(core, timeout)
        # Bound methods of the core: generated stubs call these for every request.
        self.begin: Callable[[int, int], int] = core.fast_begin
        self.post: Callable[[], None] = core.fast_post
        self.notify: Callable[[], None] = core.notify
        self.post_and_notify: Callable[[], None] = core.post_and_notify
        self.begin_call: Callable[[int, int, int], int] = core.begin_call
        self.window: memoryview = core.window

    def post_bytes(self, proc: ProcId | int, data: Any = b"") -> None:
        """Post a request with ready-made parameters. No XIRQ is sent.

        Raises:
            MessageTooLong: EMSGSIZE; larger than half the port.
            PeerDied: EPIPE; ``pending`` counts requests not known to be consumed.
            DeadlineExceeded: ETIMEDOUT; the ring stayed full.

        Blocks: while the ring is full. Copies: 1. Source: PVUG 3.1.2.2.
        """
        view = memoryview(data).cast("B")
        size = -(-view.nbytes // 8) * 8
        at = self.begin(int(proc) if isinstance(proc, int) else proc.__int__(), size)
        self.window[at : at + view.nbytes] = view
        self.window[at + view.nbytes : at + size] = bytes(size - view.nbytes)
        self.post()

    def call_bytes(
        self, proc: ProcId | int, data: Any = b"", out_bytes: int = 0, *, timeout: Timeout = UNSET
    ) -> bytes:
        """Run one procedure and wait for its output; requests posted earlier are delivered first.

        Raises:
            PeerDied: EPIPE; ``pending`` counts the requests that were lost.
            DeadlineExceeded: ETIMEDOUT; a late answer is dropped.
            LinkError: the reason the server set, as errno.

        Blocks: until the answer or the timeout; Ctrl-C works. Copies: 1 in, 1 out.
        """
        view = memoryview(data).cast("B")
        size = -(-view.nbytes // 8) * 8
        number = proc.__int__()
        at = self.begin_call(number, size, -(-out_bytes // 8) * 8)
        self.window[at : at + view.nbytes] = view
        self.window[at + view.nbytes : at + size] = bytes(size - view.nbytes)
        status, out, _ = self.call(timeout=timeout)
        if status:
            raise errors.from_errno(
                status, f"call {number:#x} on {self.label}: the server answered {status}"
            )
        return bytes(self.window[out : out + out_bytes])

    def call(self, timeout: Timeout = UNSET) -> tuple[int, int, int]:
        """Send the call begun last and wait. Returns (status, offset of the answer, its size)."""
        return tuple(self._core.call(self._limit(timeout)))

    async def call_async(self, timeout: Timeout = UNSET) -> tuple[int, int, int]:
        """`call` for asyncio: other coroutines run while the server works."""
        import asyncio

        limit = self._limit(timeout)

        def attempt() -> tuple[int, int, int] | None:
            self._core.try_handle_callbacks()
            reply = self._core.try_reply()
            return None if reply is None else tuple(reply)

        try:
            self._core.call_start()
            async with asyncio.timeout(limit):
                return await self._until(attempt)
        except TimeoutError:
            self._core.call_forget()
            raise errors.DeadlineExceeded(
                110, f"call on {self.label}: no answer in {limit} s"
            ) from None
        except BaseException:  # cancelled, or a handler's: nobody will ask for this answer again
            self._core.call_forget()
            raise

    def on_callback(self, handler: CallbackHandler | None) -> None:
        """Who handles what the server sends by itself; None: nobody (see `handle_callbacks`).

        The handler gets a request like a server's (``proc``, ``params``, ``out``, ``is_call``), good until it
        returns, and may post and call on this channel. What else than an ``OSError`` it raises leaves the operation
        in which it ran.
        """
        self._core.on_callback(None if handler is None else _answering(handler))

    def handle_callbacks(self, timeout: Timeout = UNSET) -> int:
        """Handle the callbacks that are there, or wait for the first; returns how many, 0 after `timeout` seconds.

        Without a handler a synchronous callback is answered EOPNOTSUPP, any other dropped and counted.

        Raises:
            PeerDied: EPIPE; the server is gone, what it sent before it closed was handled.
            WouldDeadlock: EDEADLK; inside a handler.

        Blocks: until one comes; Ctrl-C works. Copies: 0.
        """
        limit = self._limit(timeout)
        if limit == 0:
            return int(self._core.try_handle_callbacks())
        return int(self._core.handle_callbacks(limit))

    async def handle_callbacks_async(self) -> int:
        """`handle_callbacks` for asyncio; no time limit but the task's own."""
        return await self._until(lambda: int(self._core.try_handle_callbacks()) or None)

    @property
    def pending(self) -> int:
        """Requests posted and not known to be consumed."""
        return int(self._core.pending)

    @property
    def block_max(self) -> int:
        """The largest request this channel takes, in bytes."""
        return int(self._core.block_max)
