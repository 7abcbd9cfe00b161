"""vIPC: many calls at a time over one vMQ, answered in any order.

    queue = vm3.mq("disk", mq.Config(64, 32), returns=True)
    queue.wait_on()
    context = ipc.Context(queue)
    calls = [context.submit(b"read %d" % block) for block in range(32)]
    answers = [call.result() for call in calls]          # or: await asyncio.gather(*calls)

    for request in ipc.requests(other):                  # the other end
        request.reply(serve(bytes(request.params)))

A message begins with a cookie of 64 bits that names its call and stays in it. Cookies count on from the time the
context was made, so the answer to a call of an earlier life names nobody: it is counted and dropped. When the other
end goes, every call under way ends with EPIPE; `Queue.wait_on` and go on with the same context.

Source: DV-0024 4.4; MODEL in src/README.md.
"""

from __future__ import annotations

import asyncio
import struct
import time
from collections.abc import Generator, Iterator
from typing import Any

from hyplink import errors
from hyplink.mq import Message, Queue, Received

__all__ = ["Call", "Context", "Request", "requests"]

_COOKIE = struct.Struct("<Q")


class Call:
    """One call under way. Can be awaited."""

    def __init__(self, context: Context, cookie: int, message: Message) -> None:
        self._context = context
        self._message = message
        self.cookie = cookie
        self._answer: bytes | None = None
        self._error: OSError | None = None
        self._waiters: list[asyncio.Future[None]] = []

    def done(self) -> bool:
        """Whether it was answered or aborted, as far as the context has looked."""
        return self._answer is not None or self._error is not None

    def result(self) -> bytes:
        """The answer: the message without its cookie, copied.

        Raises:
            PeerDied: EPIPE; aborted, the other end is gone.
            GrantRevoked: ESTALE; aborted, the other end wrote impossible indices.
            DeadlineExceeded: ETIMEDOUT; it is still under way, ask again.

        Blocks: until it is answered; answers of other calls are taken meanwhile.
        """
        while not self.done():
            self._context.wait()
        return self._outcome()

    def _outcome(self) -> bytes:
        if self._error is not None:
            raise self._error
        assert self._answer is not None
        return self._answer

    def __await__(self) -> Generator[Any, None, bytes]:
        yield from self._context._finished(self).__await__()
        return self._outcome()

    def _end(self, answer: bytes | None, error: OSError | None) -> None:
        self._answer, self._error = answer, error
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)


class Context:
    """The calls of one queue. One thread at a time; nobody else takes what comes back on the queue."""

    def __init__(self, queue: Queue) -> None:
        """A queue that was opened with ``returns=True``."""
        self.queue = queue
        self._next = time.time_ns()
        self._calls: dict[int, Call] = {}
        self._pump: asyncio.Task[None] | None = None
        #: Answers to calls that this context has not made.
        self.unknown = 0

    @property
    def under_way(self) -> int:
        """Calls that were neither answered nor aborted yet."""
        return len(self._calls)

    def submit(self, params: bytes | bytearray | memoryview, data: bytes = b"") -> Call:
        """Send a call; its answer is awaited later.

        Args:
            params: The message, without its cookie.
            data: Put into a buffer, whose offset follows ``params``, 8 bytes, at the end of the message.

        Raises:
            MessageTooLong: EMSGSIZE; more than a message holds.
            WouldBlock: EAGAIN; the other end is not on.
            PeerDied: EPIPE.

        Blocks: while all messages are under way.
        """
        room = self.queue.tx.msg_max - _COOKIE.size - (8 if data else 0)
        if len(params) > room:
            raise errors.MessageTooLong(
                90, f"vIPC: {len(params)} bytes, a message has room for {room}"
            )
        message = self._allocate(len(data))
        cookie = self._next
        self._next += 1
        header = message.header
        header[: _COOKIE.size] = _COOKIE.pack(cookie)
        header[_COOKIE.size : _COOKIE.size + len(params)] = params
        if data:
            message.data[: len(data)] = data
            header[-8:] = _COOKIE.pack(message.data_offset or 0)
        call = Call(self, cookie, message)
        self._calls[cookie] = call
        try:
            message.send()
        except OSError as failure:
            self.abort_calls(failure)
            raise
        return call

    def _allocate(self, data: int) -> Message:
        while True:
            try:
                return self.queue.allocate(data, block=False)
            except errors.WouldBlock:
                if not self._calls:
                    return self.queue.allocate(data)  # says why
                self.wait()  # answered calls give their messages back

    def call(self, params: bytes | bytearray | memoryview, data: bytes = b"") -> bytes:
        """Call and wait for the answer."""
        return self.submit(params, data).result()

    def wait(self) -> None:
        """Take one answer, whichever comes first. Aborts every call when the other end is gone."""
        try:
            self.process_reply(self.queue.return_receive())
        except (errors.PeerDied, errors.GrantRevoked, errors.HandleClosed) as failure:
            self.abort_calls(failure)

    def process_reply(self, reply: Message) -> bool:
        """Give an answer to its call; False (and counted) when there is no such call."""
        header = bytes(reply.header)
        reply.data_free()
        reply.free()
        (cookie,) = _COOKIE.unpack_from(header)
        call = self._calls.pop(cookie, None)
        if call is None:
            self.unknown += 1
            return False
        call._end(header[_COOKIE.size :], None)
        return True

    def abort_calls(self, why: OSError | None = None) -> int:
        """End every call under way with an error, as for a peer's death; returns how many."""
        calls, self._calls = self._calls, {}
        for call in calls.values():
            call._message.data_free()
            call._end(None, why or errors.PeerDied(32, "vIPC: the call was aborted"))
        return len(calls)

    async def _finished(self, call: Call) -> None:
        if call.done():
            return
        loop = asyncio.get_running_loop()
        waiter = loop.create_future()
        call._waiters.append(waiter)
        if self._pump is None or self._pump.done():
            self._pump = loop.create_task(self._run())
        await waiter

    async def _run(self) -> None:
        while self._calls:
            try:
                reply = self.queue.try_return_receive()
            except (errors.PeerDied, errors.GrantRevoked, errors.HandleClosed) as failure:
                self.abort_calls(failure)
                return
            if reply is None:
                await self.queue._rung()
            else:
                self.process_reply(reply)

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
