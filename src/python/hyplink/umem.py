"""vUmem: buffers that live in one VM's memory and are mapped by the applications of another.

A server lends whatever memory it has; a client allocates, maps and frees::

    with server_vm.umem("vogl0").server() as server:           # VM 2
        for request in server:
            match request.command:
                case Command.ALLOC: server.respond(Memory(2 << 20))
                case _: server.respond()

    with client_vm.umem("vogl0").session() as session:         # VM 3
        with session.alloc(b"2M, please") as buffer:
            numpy.frombuffer(buffer.map(), "u4")[:] = 7        # no copy: the server's own memory

Source: PVUG 3.2; vlx-facts 3.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Protocol

from hyplink import _core, errors
from hyplink.closing import Closing

__all__ = [
    "Attribute",
    "Buffer",
    "CacheOp",
    "CachePolicy",
    "Command",
    "Device",
    "Handler",
    "Memory",
    "Profile",
    "Request",
    "Server",
    "Session",
    "Token",
    "serve",
]


class _Unset(enum.Enum):
    UNSET = enum.auto()


_UNSET = _Unset.UNSET
#: Seconds, None for ever, or not given: the default of the object.
Timeout = float | _Unset | None

#: Most bytes of the argument that travels with an allocation or a control command.
MAX_ARGUMENT = 128

Memory = _core.UmemMemory

#: What names a buffer to another application of the same VM.
Token = bytes


class Command(enum.IntEnum):
    """What a server program sees."""

    ALLOC = 1
    FREE = 2
    REGISTER = 3
    UNREGISTER = 4
    CONTROL = 5


class Attribute(enum.IntFlag):
    """What a buffer's memory is like."""

    MAPPABLE = 1 << 0
    OUTER_CACHE = 1 << 13
    DEVICE_SYNC = 1 << 14
    MEMORY_SYNC = 1 << 15


class CachePolicy(enum.IntEnum):
    """From bit 16 of the attributes."""

    NONE = 0
    WRITE_COMBINE = 1
    WRITE_THROUGH = 2
    WRITE_BACK = 3
    WRITE_ALLOCATE = 4


class CacheOp(enum.IntFlag):
    """Operations of `Buffer.cache`."""

    TO_MEMORY = 1
    FROM_MEMORY = 2
    TO_DEVICE = 4
    FROM_DEVICE = 8
    LOCAL = 16


#: What memory of this machine is.
ORDINARY = int(Attribute.MAPPABLE) | CachePolicy.WRITE_ALLOCATE << 16


class Profile(NamedTuple):
    """What a driver has counted on a device: a server's what it handled, a client's what it asked for."""

    sessions: int
    masters: int
    allocs: int
    frees: int
    registers: int
    unregisters: int
    maps: int
    unmaps: int
    cache_local: int
    cache_remote: int
    controls: int
    revokes: int
    errors: int
    buffers_now: int
    bytes_now: int


class Request:
    """One request, as a server program receives it."""

    __slots__ = ("app", "argument", "buffer", "command", "vm")

    def __init__(self, core: _core.UmemRequest) -> None:
        self.command = Command(core.command)
        #: The buffer's number; the driver has chosen it, the response to ALLOC must carry it.
        self.buffer: int = core.buffer
        #: Who asks.
        self.vm: int = core.vm
        self.app: int = core.app
        #: The opaque argument of ALLOC and CONTROL.
        self.argument: bytes = core.argument

    def __repr__(self) -> str:
        return f"<umem.Request {self.command.name} of buffer {self.buffer} by VM {self.vm}>"


class Server(Closing):
    """The server program of a device. Any thread; one operation at a time."""

    def __init__(self, core: _core.UmemServer, name: str, timeout: float | None) -> None:
        self._core = core
        self._last: Request | None = None
        self.name = name
        self.timeout = timeout

    def receive(self, *, timeout: Timeout = _UNSET) -> Request:
        """Wait for the next request. Each must be responded to before the next is received.

        Raises:
            BadArgument: EINVAL; the last one was not.
            Busy: EBUSY; another thread receives or responds.
            PeerDied: EPIPE; the client VM is gone: close this server and make another.
            DeadlineExceeded: ETIMEDOUT.

        Blocks: until a request comes; Ctrl-C works. Source: PVUG 3.2.3.2.
        """
        limit = self.timeout if isinstance(timeout, _Unset) else timeout
        self._last = Request(self._core.receive(limit))
        return self._last

    async def receive_async(self) -> Request:
        """`receive` for asyncio; closing the server ends it."""
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
                rounded up to pages). None: a buffer without memory. It is held until the response to the
                FREE of that buffer, or the server's end; what is in it stays.
            argument: Up to 128 bytes back to the client; None sends what came.
            error: An errno that the client gets instead.
            buffer: The number of the request; None fills it in.
            attributes: `Attribute` and `CachePolicy` bits of an allocated buffer.

        Raises:
            BadArgument: EINVAL; no request, another buffer, memory that is not whole pages of one mapping.
            MessageTooLong: EMSGSIZE; the chunks do not fit: raise ``vumem-pdev``.
            PeerDied: EPIPE; the client VM is gone.

        A response that is refused for what is in it still ends the request: the client gets the same
        error. Copies: private memory once when it is lent and once when it comes back; `Memory` and mapped
        files never. Source: PVUG 3.2.3.2.
        """
        last, self._last = self._last, None
        if buffer is None:
            buffer = last.buffer if last is not None else 0
        if argument is None:
            argument = last.argument if last is not None else b""
        made: Any = memory if isinstance(memory, Memory) else None  # by its type in the core
        self._core.respond(
            error,
            buffer,
            bytes(argument),
            made,
            None if made is not None else memory,
            attributes,
        )

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


class Buffer(Closing):
    """A buffer of a server, as a client application holds it. One thread at a time."""

    def __init__(self, core: _core.UmemBuffer, timeout: float | None) -> None:
        self._core = core
        self.timeout = timeout
        self._mapping: _core.UmemMapping | None = None
        self._view: memoryview | None = None
        #: Its number at the server.
        self.id: int = core.id
        #: Bytes, whole pages; 0 for a buffer without memory.
        self.nbytes: int = core.nbytes
        #: `Attribute` and `CachePolicy` bits.
        self.attributes: int = core.attributes
        #: What the server made of the argument of the allocation.
        self.argument: bytes = core.argument

    def _limit(self, timeout: Timeout) -> float | None:
        return self.timeout if isinstance(timeout, _Unset) else timeout

    @property
    def token(self) -> Token:
        """Names this buffer to another application of the same VM, see `Session.register`."""
        low, high = self._core.token_low, self._core.token_high
        return low.to_bytes(8, "little") + high.to_bytes(8, "little")

    def map(self, *, timeout: Timeout = _UNSET) -> memoryview:
        """The memory itself, writable, shared with the server and whoever else has mapped it.

        A second call gives the same view. After the server's death it reads as zeroes that are this
        process's own.

        Raises:
            Busy: EBUSY; this process has mapped the buffer through another handle.
            BadArgument: EINVAL; a buffer without memory.
            NotPermitted: EPERM; imported and not registered.
            PeerDied: EPIPE; the server is gone.

        Copies: 0.
        """
        if self._view is None:
            if self._mapping is None:
                self._mapping = self._core.map(self._limit(timeout))
            self._view = memoryview(self._mapping)  # type: ignore[arg-type]
        return self._view

    @property
    def is_mapped(self) -> bool:
        """True between `map` and `unmap`."""
        return self._mapping is not None

    def _release(self) -> None:
        if self._view is not None:
            self._view.release()  # BufferError while an array is made of it
            self._view = None

    def unmap(self) -> None:
        """Take the memory out of this process.

        Raises:
            BufferError: Somebody still looks: an array, a slice of the view.
            BadArgument: EINVAL; it is not mapped.
        """
        if self._mapping is None:
            raise errors.BadArgument(22, f"buffer {self.id} is not mapped")
        self._release()
        self._core.unmap(self._mapping)
        self._mapping = None

    def free(self, *, timeout: Timeout = _UNSET) -> None:
        """Let go; the server frees it when nobody has it any more. Unmaps first.

        Raises:
            BufferError: Somebody still looks at the mapping.
            PeerDied: EPIPE; the server is gone, and the buffer with it.
            HandleClosed: EBADF; it was freed, or went with its session.
        """
        if self._mapping is not None:
            self.unmap()
        self._core.free(self._limit(timeout))

    def close(self) -> None:
        """`free`, whatever has become of the server. Idempotent."""
        if self._mapping is not None:
            self.unmap()
        if self._core.is_open:
            with contextlib.suppress(errors.PeerDied, errors.HandleClosed):
                self._core.free(self.timeout)

    def register(self, session: Session, *, timeout: Timeout = _UNSET) -> None:
        """Give a session that did not allocate it access to the buffer; the server is told.

        Raises:
            Busy: EBUSY; it is in a session already.
            LinkError: what the server answers.
        """
        self._core.register_with(session._core, self._limit(timeout))

    def unregister(self, *, timeout: Timeout = _UNSET) -> None:
        """Undo `register`. Unmaps first unless the buffer was allocated here.

        Raises:
            BadArgument: EINVAL; it was not registered.
            BufferError: Somebody still looks at the mapping.
        """
        if self._mapping is not None and not self.is_allocator:
            self.unmap()
        self._core.unregister(self._limit(timeout))

    def cache(self, operations: CacheOp, *, timeout: Timeout = _UNSET) -> None:
        """Cache control: nothing if the attributes ask for no synchronisation, the server's if it must be.

        Raises:
            BadArgument: EINVAL; no or unknown operations, or the buffer is not mapped.
        """
        self._core.cache(int(operations), self._limit(timeout))

    def control(self, argument: Any = b"", *, timeout: Timeout = _UNSET) -> bytes:
        """Ask the server something about this buffer; up to 128 bytes each way, as many back as given.

        Raises:
            BadArgument: EINVAL; more than 128 bytes.
            LinkError: what the server answers.
        """
        return self._core.control_remote(bytes(argument), self._limit(timeout))

    @property
    def is_allocator(self) -> bool:
        """True if this handle allocated the buffer and its session lives."""
        return self._core.control_local(2, 0, self.timeout) != 0

    @property
    def is_mappable(self) -> bool:
        """False for a buffer without memory."""
        return self._core.control_local(3, 0, self.timeout) != 0

    @property
    def private(self) -> int:
        """A word that all applications of this VM share who hold the buffer; the server does not see it."""
        return self._core.control_local(4, 0, self.timeout)

    @private.setter
    def private(self, word: int) -> None:
        self._core.control_local(5, word, self.timeout)

    @property
    def is_open(self) -> bool:
        """False once it was freed, or went with its session."""
        return bool(self._core.is_open)

    @property
    def is_lost(self) -> bool:
        """True once the server is gone."""
        return bool(self._core.is_lost)

    def __repr__(self) -> str:
        state = "lost" if self.is_lost else "open" if self._core.is_open else "closed"
        return f"<umem.Buffer {self.id}: {self.nbytes} bytes, {state}>"


class Session(Closing):
    """A client's session with a server. Any thread."""

    def __init__(
        self, core: _core.UmemSession, application: Any, name: str, timeout: float | None
    ) -> None:
        self._core = core
        self._application = application
        self.name = name
        self.timeout = timeout

    def _limit(self, timeout: Timeout) -> float | None:
        return self.timeout if isinstance(timeout, _Unset) else timeout

    def alloc(self, argument: Any = b"", *, timeout: Timeout = _UNSET) -> Buffer:
        """Ask the server for a buffer.

        Args:
            argument: Up to 128 bytes that server and client agree on; what the server makes of it is the
                buffer's ``argument``.
            timeout: Seconds; the buffer keeps it as its default. What is answered later is freed again.

        Raises:
            NotPermitted: EPERM; another session is the master.
            BadArgument: EINVAL; more than 128 bytes.
            MessageTooLong: EMSGSIZE; the server's chunks do not fit: raise ``vumem-pdev``.
            PeerDied: EPIPE; the server is gone.
            LinkError: what the server answers.

        Blocks: until the server responds, and before that until other requests of this VM have been.
        Copies: 0. Source: PVUG 3.2.3.2.
        """
        limit = self._limit(timeout)
        return Buffer(self._core.alloc(bytes(argument), limit), limit)

    async def alloc_async(self, argument: Any = b"", *, timeout: Timeout = _UNSET) -> Buffer:
        """`alloc` for asyncio."""
        return await asyncio.to_thread(self.alloc, argument, timeout=timeout)

    def register(self, token: Token, *, timeout: Timeout = _UNSET) -> Buffer:
        """Get at a buffer of another application of this VM: import it by its token and register it.

        Raises:
            BadArgument: EINVAL; no buffer goes by that token (any more).
            PeerDied: EPIPE; the server is gone.
        """
        limit = self._limit(timeout)
        buffer = _imported(self._application, self.name, token, limit)
        try:
            buffer.register(self)
        except BaseException:
            buffer.close()
            raise
        return buffer

    @property
    def is_master(self) -> bool:
        """While a master session exists, it alone allocates."""
        return bool(self._core.is_master)

    @property
    def is_alive(self) -> bool:
        """False once it was closed or its server is gone; it never comes back."""
        return self._core.is_open and not self._core.is_dead

    @property
    def peer_vm(self) -> int:
        """The server's VM."""
        return int(self._core.peer_vm)

    def close(self) -> None:
        """Close it: what it has allocated is freed, what was registered with it is unregistered. Idempotent.

        Mappings of such buffers stay readable here until they are unmapped.
        """
        self._core.close()

    def __repr__(self) -> str:
        kind = "master" if self.is_master else "standard"
        return f"<umem.Session on {self.name}: {kind}, {'alive' if self.is_alive else 'gone'}>"


def _imported(application: Any, name: str, token: Token, timeout: float | None) -> Buffer:
    if len(token) != 16:
        raise errors.BadArgument(22, f"a token of {len(token)} bytes, expected 16")
    low, high = (int.from_bytes(token[at : at + 8], "little") for at in (0, 8))
    core = _core.UmemBuffer.imported(application, f"vumem-clt-{name}", low, high, timeout)
    return Buffer(core, timeout)


class Device:
    """A vUmem device of a VM, such as ``vogl0``."""

    def __init__(self, application: _core.Application, name: str, timeout: float | None) -> None:
        self._application = application
        self.name = name
        self.timeout = timeout

    def _limit(self, timeout: Timeout) -> float | None:
        return self.timeout if isinstance(timeout, _Unset) else timeout

    def server(self, *, timeout: Timeout = _UNSET) -> Server:
        """Become the server; waits for the link.

        Raises:
            Busy: EBUSY; there is one.
            NoSuchLink: ENODEV; lists the devices there are.
            DeadlineExceeded: ETIMEDOUT; the client VM did not come.
        """
        limit = self._limit(timeout)
        core = _core.UmemServer.create(self._application, f"vumem-srv-{self.name}", limit)
        return Server(core, self.name, limit)

    def session(self, *, master: bool = False, timeout: Timeout = _UNSET) -> Session:
        """Create a session; waits for the link and for a server.

        Raises:
            Busy: EBUSY; a second master.
            NoSuchLink: ENODEV; lists the devices there are.
            DeadlineExceeded: ETIMEDOUT; no server came.
        """
        limit = self._limit(timeout)
        core = _core.UmemSession.create(self._application, f"vumem-clt-{self.name}", master, limit)
        return Session(core, self._application, self.name, limit)

    def import_buffer(self, token: Token, *, timeout: Timeout = _UNSET) -> Buffer:
        """A buffer of another application of this VM; `Buffer.register` it before it is mapped."""
        return _imported(self._application, self.name, token, self._limit(timeout))

    def profile(self, *, server: bool = False, reset: bool = False) -> Profile:
        """What this VM's driver has counted: vumemProf. `reset` begins again at 0."""
        device = f"vumem-{'srv' if server else 'clt'}-{self.name}"
        return Profile(*_core.umem_profile(self._application, device, reset, self.timeout))

    def __repr__(self) -> str:
        return f"<umem.Device {self.name} of VM {self._application.vm}>"


class Handler(Protocol):
    """What `serve` asks of a handler. An ``OSError`` that a method raises answers its errno."""

    def alloc(self, request: Request) -> Any:
        """The memory of a new buffer, see `Server.respond`; or (memory, argument back)."""

    def free(self, request: Request) -> None:
        """The buffer is gone; its memory is this side's alone when this returns."""


class _Server:
    """What `serve` returns: a guest that runs inside a VM. Picklable, so that it can go to another process."""

    def __init__(self, device: str, make: Callable[[], Any]) -> None:
        self.device = device
        self.make = make

    def __call__(self, application: Any) -> int:
        """Serve until the VM stops; returns the requests handled."""
        device = application.umem(self.device)
        handled = 0
        while True:
            try:
                server = device.server(timeout=None)
            except errors.PeerDied:
                if application.alive:
                    continue  # the client VM died while it was made: the next one gets another
                return handled
            except errors.HandleClosed:
                return handled
            # A new life of the client begins with a new handler: nothing of the old is kept.
            with server:
                handler = self.make()
                for request in server:
                    with contextlib.suppress(errors.PeerDied):
                        self._perform(server, handler, request)
                    handled += 1
            if not application.alive:
                return handled

    @staticmethod
    def _perform(server: Server, handler: Any, request: Request) -> None:
        memory: Any = None
        argument: Any = None
        method = getattr(handler, request.command.name.lower(), None)
        try:
            result = None if method is None else method(request)
        except OSError as failure:
            return server.respond(error=failure.errno or 5)
        if request.command is Command.ALLOC:
            memory, argument = result if isinstance(result, tuple) else (result, None)
        elif request.command is Command.CONTROL:
            argument = result
        try:
            server.respond(memory, argument=argument)
        except (errors.BadArgument, errors.MessageTooLong):
            if request.command is not Command.ALLOC:
                raise
            handler.free(request)  # the client has the error; the buffer never was
        return None


def serve(device: str, make: Callable[[], Handler]) -> Callable[[Any], int]:
    """A guest that serves a device with a handler: ``bench.vm(2).start(umem.serve("vogl0", Frames))``.

    Args:
        device: ``vogl0``.
        make: Makes a handler, once for each life of the client VM: its class. Methods: ``alloc(request)``,
            ``free(request)``, and if wanted ``register``, ``unregister``, ``control`` (returns the argument
            that goes back).
    """
    return _Server(device, make)
