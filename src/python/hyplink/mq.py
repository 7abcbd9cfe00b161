"""vMQ: messages both ways between two VMs, with buffers, and replies in the same slot.

    queue = vm.mq("disk", mq.Config(64, 32, data_count=16, data_max=4096), returns=True)
    queue.wait_on()                              # the other end's application is there, too
    message = queue.allocate(data=512)           # a slot and a buffer, to be written in place
    message.header[:8] = …; message.data[:5] = b"bytes"
    message.send()                               # or send_async(), and queue.send_flush() later

    for message in other:                        # at the other end; `async for` works as well
        use(message.header, message.buffer(offset))
        message.reply(b"done")                   # or message.free(); in any order

    back = queue.return_receive()                # the slot with the reply in it
    back.free()

Nothing is copied and no kernel is on the way. When the other end goes, everything says EPIPE (impossible indices:
ESTALE); give back what is held and `wait_on` again.

Source: DV-0024 4.3; MODEL in src/README.md.
"""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any

from hyplink import _core, errors
from hyplink.closing import Closing

if TYPE_CHECKING:
    import asyncio

__all__ = ["Config", "Message", "Queue", "Received"]

_ROLES = {"server": 0, "client": 1, None: 2}


@dataclasses.dataclass(frozen=True)
class Config:
    """What one end sends: messages (a power of two of them) and buffers, sizes in bytes."""

    msg_count: int = 64
    msg_max: int = 64
    data_count: int = 0
    data_max: int = 0

    def _numbers(self) -> tuple[int, int, int, int]:
        return (self.msg_count, self.msg_max, self.data_count, self.data_max)


class Message:
    """A message of one's own: allocated, or come back with a reply."""

    def __init__(self, core: Any, slot: int, offset: int | None, returned: bool = False) -> None:
        self._core = core
        self.slot = slot
        #: Where its buffer begins, to be written into the header; None without one.
        self.data_offset = offset
        self._returned = returned

    @property
    def header(self) -> memoryview:
        """The message, in place."""
        view: memoryview = self._core.header(self.slot)
        return view

    @property
    def data(self) -> memoryview:
        """Its buffer, in place.

        Raises:
            BadArgument: EINVAL; it has none.
        """
        if self.data_offset is None:
            raise errors.BadArgument(22, "the message has no buffer")
        view: memoryview = self._core.data(self.data_offset)
        return view

    def send(self) -> None:
        """Hand it over and ring.

        Raises:
            PeerDied: EPIPE.
            BadArgument: EINVAL; it was sent already.
        """
        self._core.send(self.slot)

    def send_async(self) -> None:
        """Hand it over without ringing; see `Queue.send_flush`."""
        self._core.send_async(self.slot)

    def free(self) -> None:
        """Give the slot back: unsent, or when its reply was read. The buffer stays in use: `data_free`."""
        if self._returned:
            self._core.return_free(self.slot)
        else:
            self._core.discard(self.slot)

    def data_free(self) -> None:
        """The buffer may be used again; its sender frees it, once the other end has given the message back."""
        if self.data_offset is not None:
            self._core.data_free(self.data_offset)


class Received:
    """A message of the other end, until it is given back."""

    def __init__(self, core: Any, slot: int) -> None:
        self._core = core
        self.slot = slot

    @property
    def header(self) -> memoryview:
        """The message, in place; the other VM can change it."""
        view: memoryview = self._core.received(self.slot)
        return view

    def buffer(self, offset: int) -> memoryview:
        """The buffer that begins at an offset the sender wrote.

        Raises:
            BadArgument: EINVAL; none does.
        """
        view: memoryview = self._core.received_data(offset)
        return view

    def free(self) -> None:
        """Give it back. Rings only a sender who waits for that."""
        self._core.free(self.slot)

    def reply(self, data: bytes | bytearray | memoryview = b"") -> None:
        """Give it back with a reply in its place (`vmq_msg_return`). Rings."""
        if data:
            self.header[: len(data)] = data
        self._core.return_(self.slot)


class Queue(Closing):
    """One end of a vMQ. One thread at a time."""

    def __init__(
        self,
        application: Any,
        name: str,
        timeout: float | None,
        tx: Config | None = None,
        *,
        rx: Config | None = None,
        role: str | None = None,
        peer: int = 0,
        returns: bool = False,
    ) -> None:
        """Look it up.

        Args:
            application: Of the VM.
            name: The start of the end's info.
            timeout: Seconds its waits take.
            tx: What this end sends.
            rx: What the other end must send; whatever it says when absent.
            role: ``server`` or ``client`` where a VM has both ends.
            peer: The VM at the other end, 0 for any.
            returns: Whether replies are wanted; else what is returned is just free again.

        Raises:
            NotFound: ENOENT; lists the ends there are.
            Busy: EBUSY; somebody has every end of that name.
            BadArgument: EINVAL; the configuration.
        """
        self.timeout = timeout
        self._offsets: dict[int, int] = {}
        self._bell: asyncio.Future[None] | None = None
        self._core = _core.MessageQueue.open(
            application,
            name,
            _ROLES[role],
            peer,
            (tx or Config())._numbers(),
            None if rx is None else rx._numbers(),
            returns,
            timeout,
        )

    @property
    def is_on(self) -> bool:
        """Both ends' applications are there."""
        return bool(self._core.is_on)

    @property
    def info(self) -> str:
        """What the board's text says of this end."""
        return str(self._core.info)

    @property
    def tx(self) -> Config:
        """What this end sends."""
        return Config(*self._core.tx)

    @property
    def rx(self) -> Config:
        """What the other end sends; known once it is on."""
        return Config(*self._core.rx)

    @property
    def under_way(self) -> int:
        """Messages sent and not given back yet, as far as this end has looked."""
        return int(self._core.under_way)

    def wait_on(self) -> None:
        """Wait until the other end's application is there, too.

        Raises:
            Busy: EBUSY; something of the last time is still held.
            ProtocolViolation: EPROTO; the configurations do not fit.
            DeadlineExceeded: ETIMEDOUT.
        """
        self._core.wait_on(self.timeout)

    def allocate(self, data: int = 0, *, block: bool = True) -> Message:
        """A message, with a buffer for so many bytes. Flushes before it waits for one to come back.

        Raises:
            WouldBlock: EAGAIN; the other end is not on, or, without ``block``, none is free.
            MessageTooLong: EMSGSIZE; larger than a buffer.
            RingFull: ENOBUFS; all buffers are in use.
            PeerDied: EPIPE; the other end went meanwhile or, without ``block``, is gone.
        """
        offset = self._core.data_allocate(data) if data else None
        try:
            slot = self._core.allocate(self.timeout) if block else self._core.try_allocate()
        except BaseException:
            if offset is not None:
                self._core.data_free(offset)
            raise
        if offset is not None:
            self._offsets[slot] = offset
        else:
            self._offsets.pop(slot, None)
        return Message(self._core, slot, offset)

    def send_flush(self) -> None:
        """Let the other end see what was sent, and ring it once."""
        self._core.send_flush()

    def receive(self) -> Received:
        """The next message.

        Raises:
            PeerDied: EPIPE.
            GrantRevoked: ESTALE; the other end wrote impossible indices, the link is aborted.
            DeadlineExceeded: ETIMEDOUT.
        """
        return Received(self._core, self._core.receive(self.timeout))

    def try_receive(self) -> Received | None:
        """The next message, or None."""
        try:
            return Received(self._core, self._core.try_receive())
        except errors.WouldBlock:
            return None

    def return_receive(self) -> Message:
        """The next of one's own messages that came back with a reply."""
        return self._returned(self._core.return_receive(self.timeout))

    def try_return_receive(self) -> Message | None:
        """The same, or None."""
        try:
            return self._returned(self._core.try_return_receive())
        except errors.WouldBlock:
            return None

    def _returned(self, slot: int) -> Message:
        return Message(self._core, slot, self._offsets.get(slot), returned=True)

    def __iter__(self) -> Iterator[Received]:
        """Messages until the other end goes."""
        while True:
            try:
                yield self.receive()
            except (errors.PeerDied, errors.HandleClosed):
                return

    async def __aiter__(self) -> AsyncIterator[Received]:
        """The same, in an event loop."""
        while True:
            try:
                message = self.try_receive()
            except (errors.PeerDied, errors.HandleClosed):
                return
            if message is None:
                await self._rung()
            else:
                yield message

    async def _rung(self) -> None:
        """Until the other end rings; tasks of one loop that wait at the same time share the descriptor."""
        import asyncio

        loop = asyncio.get_running_loop()
        if self._bell is not None and not self._bell.done():
            await asyncio.shield(self._bell)  # armed after an earlier look: nothing is missed
            return
        bell = self._bell = loop.create_future()
        descriptor = self._core.fileno()

        def ring() -> None:
            loop.remove_reader(descriptor)
            if not bell.done():
                bell.set_result(None)

        loop.add_reader(descriptor, ring)
        self._core.fd_rearm()
        try:
            await asyncio.shield(bell)
        finally:
            if not bell.done():  # cancelled: whoever else waits goes on with a look of its own
                ring()

    def fileno(self) -> int:
        """Readable when something happened; look with the ``try_`` forms, then `fd_rearm`."""
        return int(self._core.fileno())

    def fd_rearm(self) -> None:
        """After a look: have the descriptor tell of what comes next."""
        self._core.fd_rearm()

    def close(self) -> None:
        """Let go of the end. Idempotent."""
        self._core.close()

    def __repr__(self) -> str:
        state = "closed" if not self._core.is_open else "on" if self.is_on else "off"
        return f"<mq.Queue {self.info!r}: VM {self._core.peer_id}, {state}>"
