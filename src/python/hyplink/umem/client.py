"""Sessions with a vUmem server, and its buffers, as a client application has them."""

from __future__ import annotations

import contextlib
from typing import Any

from hyplink import _core, errors
from hyplink.arguments import octets, whole, wrong
from hyplink.closing import Closing
from hyplink.timeouts import UNSET, Timeout, or_default
from hyplink.umem.words import CacheOp, Token, describe

__all__ = ["Buffer", "Session", "imported"]


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
        return or_default(timeout, self.timeout)

    @property
    def token(self) -> Token:
        """Names this buffer to another application of the same VM, see `Session.register`."""
        low, high = self._core.token_low, self._core.token_high
        return low.to_bytes(8, "little") + high.to_bytes(8, "little")

    def map(self, *, timeout: Timeout = UNSET) -> memoryview:
        """The memory itself, writable, shared with the server and whoever else has mapped it.

        A second call gives the same view. After the server's death it reads as zeroes that are this
        process's own.

        Raises:
            Busy: EBUSY; this process has mapped the buffer through another handle.
            BadArgument: EINVAL; a buffer without memory.
            NotPermitted: EPERM; imported and not registered.
            PeerDied: EPIPE; the server is gone.

        Blocks: until the own kernel has borrowed the memory; the server is not asked. Copies: 0. Source: PVUG 3.2.3.2.
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

    def free(self, *, timeout: Timeout = UNSET) -> None:
        """Let go; the server frees it when nobody has it any more. Unmaps first.

        Raises:
            BufferError: Somebody still looks at the mapping.
            PeerDied: EPIPE; the server is gone, and the buffer with it.
            HandleClosed: EBADF; it was freed, or went with its session.

        Blocks: the last one who has it until the server responds, others not.
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

    def register(self, session: Session, *, timeout: Timeout = UNSET) -> None:
        """Give a session that did not allocate it access to the buffer; the server is told.

        Raises:
            Busy: EBUSY; it is in a session already.
            BadArgument: EINVAL; no session.
            LinkError: what the server answers.

        Blocks: until the server responds.
        """
        if not isinstance(session, Session):
            raise wrong("session", session, "a session")
        self._core.register_with(session._core, self._limit(timeout))

    def unregister(self, *, timeout: Timeout = UNSET) -> None:
        """Undo `register`. Unmaps first unless the buffer was allocated here.

        Raises:
            BadArgument: EINVAL; it was not registered.
            BufferError: Somebody still looks at the mapping.

        Blocks: until the server responds.
        """
        if self._mapping is not None and not self.is_allocator:
            self.unmap()
        self._core.unregister(self._limit(timeout))

    def cache(self, operations: CacheOp, *, timeout: Timeout = UNSET) -> None:
        """Cache control: nothing if the attributes ask for no synchronisation, the server's if it must be.

        Raises:
            BadArgument: EINVAL; no or unknown operations, or the buffer is not mapped.
        """
        which = whole(operations, "operations", 0, 2**32 - 1)
        self._core.cache(which, self._limit(timeout))

    def control(self, argument: Any = b"", *, timeout: Timeout = UNSET) -> bytes:
        """Ask the server something about this buffer; up to 128 bytes each way, as many back as given.

        Raises:
            BadArgument: EINVAL; more than 128 bytes, or no bytes.
            LinkError: what the server answers.

        Blocks: until the server responds.
        """
        return self._core.control_remote(octets(argument, "argument"), self._limit(timeout))

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
        self._core.control_local(5, whole(word, "private"), self.timeout)

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

    def _repr_html_(self) -> str:
        from hyplink.display import html_of
        from hyplink.units import size

        facts = {
            "buffer": str(self.id),
            "size": size(self.nbytes),
            "attributes": describe(self.attributes),
            "here": "mapped" if self.is_mapped else "not mapped",
            "state": "lost" if self.is_lost else "open" if self.is_open else "closed",
        }
        return html_of("umem.Buffer", facts)


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
        return or_default(timeout, self.timeout)

    def alloc(self, argument: Any = b"", *, timeout: Timeout = UNSET) -> Buffer:
        """Ask the server for a buffer.

        Args:
            argument: Up to 128 bytes that server and client agree on; what the server makes of it is the
                buffer's ``argument``.
            timeout: Seconds; the buffer keeps it as its default. What is answered later is freed again.

        Raises:
            NotPermitted: EPERM; another session is the master.
            BadArgument: EINVAL; more than 128 bytes, or no bytes.
            MessageTooLong: EMSGSIZE; the server's chunks do not fit: raise ``vumem-pdev``.
            PeerDied: EPIPE; the server is gone.
            LinkError: what the server answers.

        Blocks: until the server responds, and before that until other requests of this VM have been.
        Copies: 0. Source: PVUG 3.2.3.2.
        """
        limit = self._limit(timeout)
        return Buffer(self._core.alloc(octets(argument, "argument"), limit), limit)

    async def alloc_async(self, argument: Any = b"", *, timeout: Timeout = UNSET) -> Buffer:
        """`alloc` for asyncio."""
        import asyncio

        return await asyncio.to_thread(self.alloc, argument, timeout=timeout)

    def register(self, token: Token, *, timeout: Timeout = UNSET) -> Buffer:
        """Get at a buffer of another application of this VM: import it by its token and register it.

        Raises:
            BadArgument: EINVAL; no buffer goes by that token (any more).
            PeerDied: EPIPE; the server is gone.
        """
        limit = self._limit(timeout)
        buffer = imported(self._application, self.name, token, limit)
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


def imported(application: Any, name: str, token: Token, timeout: float | None) -> Buffer:
    """A buffer of another application of this VM; not registered yet.

    Raises:
        BadArgument: EINVAL; no buffer goes by that token.
    """
    token = octets(token, "token")
    if len(token) != 16:
        raise wrong("token", token, "16 bytes")
    low, high = (int.from_bytes(token[at : at + 8], "little") for at in (0, 8))
    core = _core.UmemBuffer.imported(application, f"vumem-clt-{name}", low, high, timeout)
    return Buffer(core, timeout)
