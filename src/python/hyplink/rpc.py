"""vRPC: a procedure of another VM, called by name, one call at a time.

    with vm2.rpc_server("clock") as server:              # VM 2
        server.serve(lambda asked: now().to_bytes(8))

    with vm3.rpc_client("clock") as clock:               # VM 3
        clock.call(b"now")                               # the answer, as bytes
        clock.data[:3] = b"now"                          # or in place, without a copy
        answer = clock.data[: clock.call(3)]

The name is the start of an end's ``info``; an end belongs to whoever looked it up until it is closed. While nobody
serves at the other end a call is answered with nothing. When the link or the server is lost during a call the client
gets EAGAIN and has to be closed and opened again; a server just goes on, with the next client.

Source: DV-0024 4.2; MODEL in src/README.md.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from hyplink import _core, errors
from hyplink.closing import Closing

__all__ = ["Call", "Client", "Server"]


class _End(Closing):
    _core: Any

    @property
    def info(self) -> str:
        """What the board's text says of this end: ``name[,size]``."""
        return str(self._core.info)

    @property
    def peer_id(self) -> int:
        """The VM at the other end."""
        return int(self._core.peer_id)

    @property
    def maxsize(self) -> int:
        """Bytes of a call or an answer, at most: the larger of what both ends ask for, less 12."""
        return int(self._core.maxsize)

    def off_notifier(self, function: Callable[[int], object]) -> None:
        """Have ``function(peer_id)`` called when the peer's VM or the link goes.

        It runs in another thread and must not call this end back.
        """
        self._core.off_notifier(function)

    def close(self) -> None:
        """Let go of the end. Idempotent."""
        self._core.close()

    def __repr__(self) -> str:
        name = f"{type(self).__module__.rpartition('.')[2]}.{type(self).__name__}"
        return (
            f"<{name} {self.info!r}: VM {self.peer_id}{'' if self._core.is_open else ', closed'}>"
        )


class Client(_End):
    """The end that calls. One thread at a time."""

    def __init__(
        self, application: Any, name: str, timeout: float | None, *, over: int = 0, peer: int = 0
    ) -> None:
        """Look it up and open it, which waits until the link is up.

        Raises:
            NotFound: ENOENT; lists the ends there are.
            Busy: EBUSY; somebody has every end of that name.
            DeadlineExceeded: ETIMEDOUT; the link did not come up.
        """
        self.timeout = timeout
        self._core = _core.RpcClient.open(application, name, over, peer, timeout)

    @property
    def data(self) -> memoryview:
        """The memory that both ends have, in place. Copies: 0."""
        view: memoryview = self._core.view()
        return view

    @property
    def served(self) -> bool:
        """Whether somebody serves at the other end now."""
        return bool(self._core.served)

    def call(self, data: int | bytes | bytearray | memoryview) -> Any:
        """Call, and wait for the answer.

        With bytes they are copied into place and the answer is bytes (two copies). With a number that many bytes of
        `data` are the call, and the number of those of the answer comes back (no copy).

        Raises:
            MessageTooLong: EMSGSIZE; more than `maxsize`.
            WouldBlock: EAGAIN; the server or the link was lost, close and open again.
            Busy: EBUSY; a call that was given up is still being handled.
            DeadlineExceeded: ETIMEDOUT; given up.
            CorruptRing: EBADMSG; the answer has an impossible size.
        """
        if isinstance(data, int):
            return int(self._core.call(data, self.timeout))
        return bytes(self._core.call_bytes(data, self.timeout))


class Call:
    """One call at its server: good until it is answered."""

    def __init__(self, core: Any, size: int) -> None:
        self._core = core
        self._size = size

    @property
    def data(self) -> memoryview:
        """What was sent, in place; the caller's VM can change it. Copies: 0."""
        view: memoryview = self._core.view()
        return view[: self._size]

    @property
    def room(self) -> memoryview:
        """The memory, whole: where an answer may be written."""
        view: memoryview = self._core.view()
        return view

    def answer(self, data: int | bytes | bytearray | memoryview = b"") -> None:
        """Answer: with bytes, copied, or with so many that are in `room` already.

        Raises:
            MessageTooLong: EMSGSIZE.
            BadArgument: EINVAL; it was answered already.
        """
        size = data
        if not isinstance(size, int):
            size = len(data)  # type: ignore[arg-type]
            if size <= self._core.maxsize:
                self._core.view()[:size] = data
        with contextlib.suppress(errors.WouldBlock):  # who called has gone
            self._core.answer(size)


class Server(_End):
    """The end that is called. One thread at a time."""

    def __init__(
        self, application: Any, name: str, timeout: float | None, *, over: int = 0, peer: int = 0
    ) -> None:
        """Look it up and open it; calls from now on wait for `receive`.

        Raises:
            NotFound: ENOENT; lists the ends there are.
            Busy: EBUSY; somebody has every end of that name.
        """
        self.timeout = timeout
        self._core = _core.RpcServer.open(application, name, over, peer, timeout)

    def receive(self) -> Call:
        """Wait for a call. One that was not answered yet is answered with nothing.

        Raises:
            DeadlineExceeded: ETIMEDOUT.
            CorruptRing: EBADMSG; a client wrote something impossible and is let go, receive again.
            PeerDied: EPIPE; this VM is gone.
            HandleClosed: EBADF.
        """
        return Call(self._core, int(self._core.receive(self.timeout)))

    def __iter__(self) -> Iterator[Call]:
        """Calls until the end is closed or this VM goes."""
        while True:
            try:
                yield self.receive()
            except (errors.PeerDied, errors.HandleClosed, errors.Cancelled):
                return

    def serve(self, handler: Callable[[bytes], bytes]) -> int:
        """Answer calls with what ``handler`` makes of a copy of each; returns how many when it is over."""
        count = 0
        for call in self:
            call.answer(handler(bytes(call.data)))
            count += 1
        return count
