"""vUmem buffers as parameters of generated calls: `gives` and `lends` of an interface text.

The server lends memory through vUmem and serves calls that name it, in one program of its VM::

    bench.vm(2).start(buffers.serve(camera.serve("vogl0", Camera()), Frames))   # Frames: see umem.serve

A client names the buffers that it allocated::

    mine = ClientBuffers()
    with device.session() as session, mine.table() as table:
        client = camera.Client(channel, buffers=table)
        with umem_session.alloc(b"2M") as frame:
            frame.map()[:4] = b"data"
            client.sum(frame)                 # lends: the server looks at it during the call
            client.queue(stream, frame)       # gives: the server's until a callback brings it back

With a buffer kept for it, ``@large`` parameters travel in that, however small the channel's port is::

    with umem_session.alloc(b"4M") as room, mine.table(channel, large=room) as table:
        camera.Client(channel, buffers=table).table_(len(values), values)

A server's handler gets a `Lent` with the memory itself; one that was given to it can be given back. Names of buffers
lead to memory only while it exists, only for the applications that hold it in vUmem, and only on the side where it
is: see ``app/buffers`` for the rules.
"""

from __future__ import annotations

import contextlib
import copy
import errno
from collections.abc import Callable
from typing import Any, NamedTuple

from hyplink import _core, errors, rpq, umem
from hyplink.closing import Closing
from hyplink.idl.linked import UmemRef

__all__ = ["ClientBuffers", "ClientTable", "Lent", "Part", "ServerBuffers", "ServerTable", "serve"]


class Part(NamedTuple):
    """A piece of a client's buffer, where the whole is not meant."""

    buffer: umem.Buffer
    offset: int
    nbytes: int


class Lent:
    """A client's buffer as its server has it: memory that the client may still write, unless it gave it away."""

    __slots__ = ("data", "reference")

    def __init__(self, data: memoryview, reference: UmemRef) -> None:
        #: The memory itself, without a copy; read-only where the interface says so.
        self.data = data
        self.reference = reference

    @property
    def nbytes(self) -> int:
        """Bytes that the client named."""
        return self.reference.length

    def __repr__(self) -> str:
        return (
            f"<buffers.Lent {self.reference.slot}.{self.reference.generation}: {self.nbytes} bytes>"
        )


class _Table(Closing):
    """What both sides' tables share. Belongs to one channel."""

    def __init__(self, ledger: _core.BufferLedger, peer: tuple[int, int]) -> None:
        self._ledger = ledger
        self._peer = peer
        self._via: int = ledger.enter()

    def _admit(self, reference: UmemRef) -> UmemRef:
        self._ledger.admit(*reference, *self._peer)
        return reference

    def _check(self, reference: UmemRef) -> None:
        if not self._ledger.allows(*reference, *self._peer):
            raise LookupError(reference)

    def transferred(self, reference: UmemRef, given: bool, /) -> None:
        """See ``idl.linked.BufferTable``."""
        self._ledger.moved(reference.slot, reference.generation, given, self._via)

    def place(self, data: memoryview, first: bool, /) -> UmemRef | None:
        """See ``idl.linked.BufferTable``: without a buffer kept for it all travels inside."""
        return None

    def close(self) -> None:
        """The channel is over: what moved through it is where it was at the beginning. Idempotent."""
        via, self._via = self._via, 0
        if via:
            self._ledger.leave(via)

    def __del__(self) -> None:
        with contextlib.suppress(Exception):  # an interpreter that ends has taken the ledger
            self.close()


# -- client ----------------------------------------------------------------------------------------


class ClientBuffers:
    """The buffers that one client application names in calls. Any thread."""

    def __init__(self) -> None:
        self._ledger = _core.BufferLedger(False)
        self._names: dict[int, UmemRef] = {}  # by the buffer's identity
        self._buffers: dict[tuple[int, int], umem.Buffer] = {}

    def table(
        self, channel: rpq.ClientChannel | None = None, *, large: umem.Buffer | None = None
    ) -> ClientTable:
        """For one channel: ``Client(channel, buffers=…)``. Close it with the channel.

        Args:
            channel: The same channel; needed with ``large``.
            large: Where ``@large`` parameters of its requests travel, mapped here. Nothing else may write it
                meanwhile; when it is freed or given away they travel inside their blocks.

        Raises:
            BadArgument: EINVAL; ``large`` without a channel.
            LinkError: what `attach` raises for ``large``.

        Blocks: a request with a large parameter waits until those before it have left enough room, as it does for
        the port; ETIMEDOUT after the channel's time. Copies: 1 a parameter, counted by the channel.
        """
        if large is None:
            return ClientTable(self)
        if channel is None:
            raise errors.BadArgument(errno.EINVAL, "large parameters are those of a channel")
        return _LargeTable(self, channel, large)

    def attach(self, buffer: umem.Buffer) -> UmemRef:
        """How calls name a buffer; asks its server the first time. Using it in a call does the same.

        Raises:
            Unsupported: EOPNOTSUPP; its server knows no calls.
            Busy: EBUSY; it was given through a channel that ended, and its server has not let go yet.
            PeerDied: EPIPE; the server is gone.
            HandleClosed: EBADF; the buffer was freed.
        """
        if buffer.is_lost:
            raise errors.PeerDied(errno.EPIPE, f"the server of buffer {buffer.id} is gone")
        if not buffer.is_open:
            raise errors.HandleClosed(errno.EBADF, f"buffer {buffer.id} was freed")
        known = self._names.get(id(buffer))
        if known is not None and self._ledger.is_known(known.slot, known.generation):
            return known
        words = _core.introduced(buffer.control(_core.introduction(0, 0, 0)))
        if words is None or not (words[0] and words[1]):
            raise errors.Unsupported(
                errno.EOPNOTSUPP, f"the server of buffer {buffer.id} takes none in calls"
            )
        slot, generation, nbytes = words
        name = UmemRef(slot, generation, 0, min(nbytes, buffer.nbytes))
        self._ledger.adopt(slot, generation, name.length)
        self._names[id(buffer)] = name
        self._buffers[slot, generation] = buffer
        return name

    def detach(self, buffer: umem.Buffer) -> None:
        """Calls name it no more. What is freed need not be detached, but is kept until it is."""
        name = self._names.pop(id(buffer), None)
        if name is not None:
            self._ledger.remove(name.slot)
            self._buffers.pop((name.slot, name.generation), None)

    def has(self, buffer: umem.Buffer) -> bool:
        """False while the server has it, because a call gave it."""
        name = self._names.get(id(buffer))
        if name is None or not self._ledger.is_known(name.slot, name.generation):
            return True
        return bool(self._ledger.is_here(name.slot, name.generation))


class ClientTable(_Table):
    """A client channel's view of `ClientBuffers`."""

    def __init__(self, buffers: ClientBuffers) -> None:
        super().__init__(buffers._ledger, (0, 0))
        self._all = buffers

    def reference(self, buffer: Any, rights: str, transfer: str, /) -> UmemRef:
        """See ``idl.linked.BufferTable``: a `umem.Buffer` or a `Part` of one."""
        if isinstance(buffer, umem.Buffer):
            return self._admit(self._all.attach(buffer))
        if isinstance(buffer, Part):
            name = self._all.attach(buffer.buffer)
            return self._admit(name._replace(offset=buffer.offset, length=buffer.nbytes))
        raise errors.BadArgument(errno.EINVAL, f"{buffer!r} is no vUmem buffer")

    def resolve(self, reference: UmemRef, rights: str, transfer: str, /) -> umem.Buffer | Part:
        """See ``idl.linked.BufferTable``: the buffer that was given, or a `Part` of it."""
        self._check(reference)
        buffer = self._all._buffers[reference.slot, reference.generation]
        if reference == self._all._names[id(buffer)]:
            return buffer
        return Part(buffer, reference.offset, reference.length)


class _LargeTable(ClientTable):
    """The same with a buffer for large parameters."""

    def __init__(self, buffers: ClientBuffers, channel: rpq.ClientChannel, buffer: umem.Buffer):
        self._name = buffers.attach(buffer)
        self._buffer = buffer
        buffer.map()
        super().__init__(buffers)
        self._room = _core.BufferRoom(channel._core, self._name.length)

    def place(self, data: memoryview, first: bool, /) -> UmemRef | None:
        """See ``idl.linked.BufferTable``."""
        if not self._buffer.is_mapped or self._buffer.is_lost:
            return None
        try:
            self._admit(self._name)
        except errors.HyplinkError:  # given away, or detached
            return None
        at = self._room.take(data.nbytes, first)
        if at is None:
            return None
        self._buffer.map()[at : at + data.nbytes] = data
        return self._name._replace(offset=at, length=data.nbytes)


# -- server ----------------------------------------------------------------------------------------


class ServerBuffers:
    """The memory that one server program lends, as its calls may name it. Any thread."""

    def __init__(self) -> None:
        self._ledger = _core.BufferLedger(True)
        self._memory: dict[tuple[int, int], memoryview] = {}
        self._watched: dict[str, _Watched] = {}

    def watch(self, device: str, make: Callable[[], umem.Handler]) -> Callable[[], umem.Handler]:
        """What `umem.serve` is to be given instead of ``make``."""

        def watched() -> umem.Handler:
            if (old := self._watched.pop(device, None)) is not None:
                old.forget()
            self._watched[device] = made = _Watched(self, make())
            return made

        return watched

    def table(self, session: Any) -> ServerTable:
        """For one channel of a session. Close it with the channel."""
        return ServerTable(self, session)


class ServerTable(_Table):
    """A server channel's view of `ServerBuffers`."""

    def __init__(self, buffers: ServerBuffers, session: Any) -> None:
        super().__init__(buffers._ledger, (session.peer_vm, session.peer_app))
        self._all = buffers

    def reference(self, buffer: Any, rights: str, transfer: str, /) -> UmemRef:
        """See ``idl.linked.BufferTable``: a `Lent` that a client gave."""
        if not isinstance(buffer, Lent):
            raise errors.BadArgument(errno.EINVAL, f"{buffer!r} is no buffer of a client")
        return self._admit(buffer.reference)

    def resolve(self, reference: UmemRef, rights: str, transfer: str, /) -> Any:
        """See ``idl.linked.BufferTable``: a `Lent`; of a large part the memory itself."""
        self._check(reference)
        memory = self._all._memory.get((reference.slot, reference.generation))
        if memory is None:
            raise LookupError(reference)
        data = memory[reference.offset : reference.offset + reference.length]
        if "write" not in rights:
            data = data.toreadonly()
        return Lent(data, reference) if transfer else data


class _Watched:
    """A vUmem handler, with an eye on what is allocated, let go and introduced."""

    def __init__(self, buffers: ServerBuffers, handler: Any) -> None:
        self._all = buffers
        self._handler = handler
        self._names: dict[int, tuple[int, int, int]] = {}

    def alloc(self, request: umem.Request) -> Any:
        result = self._handler.alloc(request)
        memory = result[0] if isinstance(result, tuple) else result
        if memory is not None:
            view = memoryview(memory).cast("B")
            slot, generation = self._all._ledger.add(view.nbytes)
            self._all._memory[slot, generation] = view
            self._names[request.buffer] = slot, generation, view.nbytes
        return result

    def free(self, request: umem.Request) -> None:
        self._drop(request.buffer)
        self._handler.free(request)

    def register(self, request: umem.Request) -> None:
        self._pass_on("register", request)

    def unregister(self, request: umem.Request) -> None:
        if (name := self._names.get(request.buffer)) is not None:
            self._all._ledger.withdraw(name[0], request.vm, request.app)
        self._pass_on("unregister", request)

    def control(self, request: umem.Request) -> Any:
        if _core.introduced(request.argument) is None:
            return self._pass_on("control", request)
        name = self._names.get(request.buffer)
        if name is None:
            raise errors.NotFound(errno.ENOENT, f"buffer {request.buffer} has no memory")
        self._all._ledger.let(name[0], request.vm, request.app)
        return _core.introduction(*name)

    def forget(self) -> None:
        for buffer in list(self._names):
            self._drop(buffer)

    def _drop(self, buffer: int) -> None:
        if (name := self._names.pop(buffer, None)) is not None:
            self._all._ledger.remove(name[0])
            self._all._memory.pop(name[:2], None)

    def _pass_on(self, what: str, request: umem.Request) -> Any:
        method = getattr(self._handler, what, None)
        return None if method is None else method(request)


class _Server:
    """What `serve` returns: a guest that runs inside a VM. Picklable, so that it can go to another process."""

    def __init__(self, calls: Any, make: Callable[[], Any], device: str) -> None:
        self.calls = calls
        self.make = make
        self.device = device

    def __call__(self, application: Any) -> int:
        """Serve until the VM stops; returns the requests handled."""
        buffers = ServerBuffers()
        calls = copy.copy(self.calls)
        calls.buffers = buffers
        memory = umem.serve(self.device, buffers.watch(self.device, self.make))
        failures: list[BaseException] = []

        def lend() -> None:
            try:
                memory(application)
            except BaseException as failure:  # handed to whoever asks for the guest's result
                failures.append(failure)
                application.close()  # no half of the program goes on without the other

        thread = application.thread(lend)
        try:
            return int(calls(application))
        except BaseException:
            application.close()
            raise
        finally:
            application.join(thread)
            if failures:
                raise failures[0]


def serve(
    calls: Any, make: Callable[[], umem.Handler], *, device: str = ""
) -> Callable[[Any], int]:
    """A guest that lends memory and serves the calls that name it, in one program.

    Args:
        calls: What a generated ``serve`` returned.
        make: Makes the handler of the memory, see `umem.serve`.
        device: Where the memory is lent; the device of the calls if it is left out.
    """
    return _Server(calls, make, device or calls.device)
