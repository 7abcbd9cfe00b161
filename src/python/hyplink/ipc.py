"""vIPC: many calls at a time over one vMQ, answered in any order.

    queue = vm3.mq("disk", mq.Config(64, 32), returns=True)
    queue.wait_on()
    context = ipc.Context(queue)
    calls = [context.submit(b"read %d" % block) for block in range(32)]
    answers = [call.result() for call in calls]          # or: await asyncio.gather(*calls)

    for request in ipc.requests(other):                  # the other end
        request.reply(serve(bytes(request.params)))

A message begins with a cookie of 64 bits that names its call and stays in it. Each message that comes back ends the
call it was sent for: with the answer when it bears that call's cookie, with EBADMSG when it bears another one (counted
as `Context.unknown`), with EPROTO when it was given back without an answer. Cookies count on from the clock, so the
answer to a call of an earlier life, or of another context, names nobody. When the other end goes, every call under way
ends with EPIPE; `Queue.wait_on` and go on with the same context.

Several threads may call through one context at once. Source: DV-0024 4.4; MODEL in src/README.md.
"""

from __future__ import annotations

import struct
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any

from hyplink import _core, errors
from hyplink.mq import Message, Queue, Received

if TYPE_CHECKING:
    import asyncio

__all__ = ["Call", "Context", "Request", "requests"]

_COOKIE = struct.Struct("<Q")


class Call:
    """One call under way. Can be awaited. One thread's."""

    def __init__(self, context: Context, core: Any, room: int) -> None:
        self._context = context
        self._core = core
        self._room = room
        self._data: bytes | None = None

    @property
    def cookie(self) -> int:
        """Names the call in its message."""
        return int(self._core.cookie)

    def done(self) -> bool:
        """Whether it was answered or aborted, as far as the context has looked."""
        return bool(self._core.done())

    def result(self) -> bytes:
        """The answer: the message without its cookie, copied.

        Raises:
            PeerDied: EPIPE; aborted, the other end is gone.
            GrantRevoked: ESTALE; aborted, the other end wrote impossible indices.
            CorruptRing: EBADMSG; its message came back with the cookie of another call.
            ProtocolViolation: EPROTO; its message came back without an answer.
            DeadlineExceeded: ETIMEDOUT; it is still under way, ask again.

        Blocks: until it is answered; answers of other calls are taken meanwhile.
        """
        if not self.done():
            self._context._core.wait(self._core, self._context.queue.timeout)
        return self._outcome()

    @property
    def data(self) -> bytes:
        """The first ``room`` bytes of its buffer as they were when first asked for, after the answer. A copy.

        Raises:
            BadArgument: EINVAL; it has no answer yet, or was made without ``room``.
        """
        if self._data is None:
            if not self._room or not self.done():
                raise errors.BadArgument(22, "vIPC: the call has no buffer with an answer")
            self._core.check()
            self._data = bytes(self._context._core.data(self._core)[: self._room])
            self._core.release()
        return self._data

    def _outcome(self) -> bytes:
        self._core.check()
        answer: bytes = self._core.answer()
        return answer

    def __await__(self) -> Generator[Any, None, bytes]:
        yield from self._context._finished(self).__await__()
        return self._outcome()


class Context:
    """The calls of one queue. Any thread; nobody else takes what comes back on the queue."""

    def __init__(self, queue: Queue) -> None:
        """A queue that was opened with ``returns=True``."""
        self.queue = queue
        self._core = _core.IpcContext(queue._core)
        self._awaited: list[tuple[Call, asyncio.Future[None]]] = []
        self._pump: asyncio.Task[None] | None = None

    @property
    def under_way(self) -> int:
        """Calls that were neither answered nor aborted yet, and that somebody still has."""
        return int(self._core.under_way)

    @property
    def unknown(self) -> int:
        """Messages that came back without the cookie of the call they were sent for."""
        return int(self._core.unknown)

    def submit(
        self,
        params: bytes | bytearray | memoryview,
        data: bytes | bytearray | memoryview = b"",
        *,
        room: int = 0,
    ) -> Call:
        """Send a call; its answer is awaited later.

        Args:
            params: The message, without its cookie. Copied once.
            data: Put into a buffer, whose offset follows ``params``, 8 bytes, at the end of the message.
            room: Have a buffer of at least so many bytes, for an answer in it: `Call.data`.

        Raises:
            MessageTooLong: EMSGSIZE; more than a message or a buffer holds.
            WouldBlock: EAGAIN; the other end is not on.
            RingFull: ENOBUFS; all buffers are in use, and not by calls under way.
            PeerDied: EPIPE.

        Blocks: while all messages, or all buffers, are under way.
        """
        core = self._core.make_call()
        self._core.submit(core, params, data, room, self.queue.timeout)
        return Call(self, core, room)

    def call(self, params: bytes | bytearray | memoryview, data: bytes = b"") -> bytes:
        """Call and wait for the answer."""
        return self.submit(params, data).result()

    def wait(self) -> None:
        """Take what came back, at least one message. Aborts every call when the other end is gone."""
        self._core.wait_any(self.queue.timeout)

    def process_reply(self, reply: Message) -> bool:
        """Give a message that was taken from the queue to its call; False (and counted) when there is no such call."""
        return bool(self._core.process_reply(reply.slot))

    def abort_calls(self, why: OSError | None = None) -> int:
        """End every call under way with an error, as for a peer's death; returns how many."""
        why = why or errors.PeerDied(32, "vIPC: the call was aborted")
        return int(self._core.abort_calls(why.errno or 32, why.strerror or str(why)))

    async def _finished(self, call: Call) -> None:
        if call.done():
            return
        import asyncio

        loop = asyncio.get_running_loop()
        waiter = loop.create_future()
        self._awaited.append((call, waiter))
        if self._pump is None or self._pump.done():
            self._pump = loop.create_task(self._run())
        await waiter

    async def _run(self) -> None:
        while True:
            self._core.poll()
            still = []
            for call, waiter in self._awaited:
                if not call.done():
                    still.append((call, waiter))
                elif not waiter.done():
                    waiter.set_result(None)
            self._awaited = still
            if not still:
                return
            await self.queue._rung()

    def __repr__(self) -> str:
        return f"<ipc.Context on {self.queue!r}: {self.under_way} under way>"


class Request:
    """A call at its server, until it is answered."""

    def __init__(self, message: Received) -> None:
        self._message = message

    @property
    def params(self) -> memoryview:
        """The message without its cookie, in place; the other VM can change it."""
        return self._message.header[_COOKIE.size :]

    def buffer(self) -> memoryview:
        """The buffer whose offset ends the message.

        Raises:
            BadArgument: EINVAL; none begins there.
        """
        (offset,) = _COOKIE.unpack(self._message.header[-8:])
        return self._message.buffer(offset)

    def reply(self, data: bytes | bytearray | memoryview = b"") -> None:
        """Answer, in place of the call; in any order.

        Raises:
            PeerDied: EPIPE; who called is gone.
        """
        if data:
            self.params[: len(data)] = data
        self._message.reply()


def requests(queue: Queue) -> Iterator[Request]:
    """Calls until the other end goes."""
    for message in queue:
        yield Request(message)
