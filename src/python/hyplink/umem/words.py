"""What server and client of vUmem say to each other."""

from __future__ import annotations

import enum
from typing import NamedTuple

from hyplink import _core
from hyplink.arguments import whole

#: Most bytes of the argument that travels with an allocation or a control command.
MAX_ARGUMENT = 128


class Memory(_core.UmemMemory):
    """Zeroed memory of `nbytes`, rounded up to pages, that a server can lend without a copy; a writable buffer.

    Raises:
        BadArgument: EINVAL; 0 bytes, or no number of bytes.
        PmemExhausted: ENOMEM; this machine has no such room.
    """

    def __init__(self, nbytes: int) -> None:
        super().__init__(whole(nbytes, "nbytes", 1))


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


def describe(attributes: int) -> str:
    """A buffer's attributes in words: ``mappable, write allocate``."""
    low, policy = attributes & 0xFFFF, attributes >> 16
    known = [one for one in Attribute if low & one]
    words = [(one.name or "").replace("_", " ").lower() for one in known]
    if rest := low & ~sum(known):
        words.append(f"{rest:#x}")
    names = {int(one): one.name.replace("_", " ").lower() for one in CachePolicy}
    return ", ".join([*words, names.get(policy, f"policy {policy}") if policy else "not cached"])


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
