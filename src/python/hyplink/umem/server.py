"""The server program of a vUmem device."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from hyplink import _core, errors
from hyplink.arguments import octets, whole, wrong
from hyplink.closing import Closing
from hyplink.timeouts import UNSET, Timeout, or_default
from hyplink.umem.words import ORDINARY, Memory, Request

__all__ = ["Server"]


_UINT = 2**32 - 1


def _lendable(memory: Any) -> Any:
    """It itself, if the core can look at it as a writable buffer."""
    try:
        view = memoryview(memory)
    except TypeError:
        view = None
    if view is None or view.readonly or not view.c_contiguous:
        raise wrong("memory", memory, "a Memory, a writable contiguous buffer, or None")
    return memory


class Server(Closing):
    """The server program of a device. Any thread; one operation at a time."""

    def __init__(self, core: _core.UmemServer, name: str, timeout: float | None) -> None:
        self._core = core
        self._last: Request | None = None
        self.name = name
        self.timeout = timeout

    def receive(self, *, timeout: Timeout = UNSET) -> Request:
        """Wait for the next request. Each must be responded to before the next is received.

        Raises:
            BadArgument: EINVAL; the last one was not.
            Busy: EBUSY; another thread receives or responds.
            PeerDied: EPIPE; the client VM is gone: close this server and make another.
            DeadlineExceeded: ETIMEDOUT.

        Blocks: until a request comes; Ctrl-C works. Source: PVUG 3.2.3.2.
        """
        limit = or_default(timeout, self.timeout)
        self._last = Request(self._core.receive(limit))
        return self._last

    async def receive_async(self) -> Request:
        """`receive` for asyncio; closing the server ends it."""
        import asyncio

        return await asyncio.to_thread(self.receive, timeout=None)

    def respond(
        self,
        memory: Any = None,
        *,
        argument: Any = None,
        error: int = 0,
        buffer: int | None = None,
        attributes: int = ORDINARY,
    ) -> None:
        """Respond to the request received last.

        Args:
            memory: Of an allocation: a `Memory`, or any writable buffer that begins at a page (its size is
                rounded up to pages: what lies behind it on its last page is lent with it). None: a buffer without
                memory. It is held until the response to the FREE of that buffer, or the server's end; what is in it
                stays.
            argument: Up to 128 bytes back to the client; None sends what came.
            error: An errno that the client gets instead.
            buffer: The number of the request; None fills it in.
            attributes: `Attribute` and `CachePolicy` bits of an allocated buffer.

        Raises:
            BadArgument: EINVAL; no request, another buffer, memory that is not whole pages of one mapping, or no
                memory, argument or number at all.
            MessageTooLong: EMSGSIZE; the chunks do not fit: raise ``vumem-pdev``.
            PeerDied: EPIPE; the client VM is gone.

        A response that is refused for what is in it still ends the request: the client gets the same
        error. Copies: private memory once when it is lent and once when it comes back; `Memory` and mapped
        files never. Source: PVUG 3.2.3.2.
        """
        self._core.respond(*self._response(memory, argument, error, buffer, attributes))

    def _response(
        self, memory: Any, argument: Any, error: int, buffer: int | None, attributes: int
    ) -> tuple[int, int, bytes, Any, Any, int]:
        last, self._last = self._last, None
        if buffer is None:
            buffer = last.buffer if last is not None else 0
        if argument is None:
            argument = last.argument if last is not None else b""
        nothing: Any = None
        made: Any = memory if isinstance(memory, Memory) else nothing  # by its type in the core
        try:
            return (
                whole(error, "error", -(2**31), 2**31 - 1),
                whole(buffer, "buffer", 0, _UINT),
                octets(argument, "argument"),
                made,
                None if made is not None or memory is None else _lendable(memory),
                whole(attributes, "attributes", 0, _UINT),
            )
        except errors.BadArgument as refused:
            # It ends the request, as what the kernel refuses does.
            with contextlib.suppress(errors.LinkError):
                self._core.respond(refused.errno or 22, 0, b"", nothing, None, ORDINARY)
            raise

    def respond_and_receive(
        self,
        memory: Any = None,
        *,
        argument: Any = None,
        error: int = 0,
        buffer: int | None = None,
        attributes: int = ORDINARY,
        timeout: Timeout = UNSET,
    ) -> Request:
        """`respond`, then `receive`, in one step, which saves a wake-up of the kernel and one of the caller.

        Raises:
            BadArgument: EINVAL; as `respond`: nothing was received.
            MessageTooLong: EMSGSIZE; as `respond`: nothing was received.
            PeerDied: EPIPE; the client VM is gone.
            DeadlineExceeded: ETIMEDOUT; the response was given, no request came.

        Blocks: until a request comes; Ctrl-C works. Source: PVUG 3.2.3.2.
        """
        limit = or_default(timeout, self.timeout)
        response = self._response(memory, argument, error, buffer, attributes)
        self._last = Request(self._core.respond_and_receive(*response, limit))
        return self._last

    @property
    def is_open(self) -> bool:
        """False once it was closed."""
        return bool(self._core.is_open)

    def close(self) -> None:
        """Destroy the server: clients are told first, then all memory is this side's alone. Idempotent."""
        self._core.destroy()

    def __iter__(self) -> Iterator[Request]:
        """Requests one by one until the client VM or this one is gone."""
        while True:
            try:
                request = self.receive(timeout=None)
            except (errors.PeerDied, errors.Cancelled, errors.HandleClosed):
                return
            yield request

    def __repr__(self) -> str:
        return f"<umem.Server of {self.name}: {'open' if self.is_open else 'closed'}>"
