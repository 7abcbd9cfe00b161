"""A VM whose kernel is honest, beside a process that storms and spoils every bell between it and another VM.

The bells of vUmem's and vION's vlinks: pending bits and an eventfd for each direction (hyp/xirq_line), two words for
each number. The process has them because its VM's first program asked before it became the real one.
"""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
import signal
import struct
import sys
from collections.abc import Callable

from hostile_guest import (
    MEM_OPEN,
    PDEV,
    PXIRQ,
    XIRQ_BELL,
    XIRQ_LINE,
    XIRQ_ROUTE,
    Guest,
    u32,
    u64,
)

ARMED = 64  # where the second word of a bell lies
PR_SET_PDEATHSIG = 1
#: Device class: (number of the server's XIRQs, of the client's, how many of each).
XIRQS = {b"vogl": (18, 17, 2), b"vrpc": (0, 1, 1)}


class Line:
    """One direction: what its raiser shares with its owner."""

    def __init__(self, guest: Guest, owner: int, raiser: int) -> None:
        _, (fd, self.bell) = guest.must(XIRQ_LINE, u32(owner, raiser))
        self.pending = mmap.mmap(fd, os.fstat(fd).st_size)
        os.close(fd)
        os.set_blocking(self.bell, False)  # a counter that is full takes no more

    def wake(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.write(self.bell, u64(1))

    def raise_bits(self, bits: list[int]) -> None:
        """As hyp::PendingBits does it: 16 words that name 1,024 words of bits."""
        for bit in bits:
            word = bit // 64
            for at, one in ((128 + 8 * word, bit % 64), (8 * (word // 64), word % 64)):
                (now,) = struct.unpack_from("<Q", self.pending, at)
                struct.pack_into("<Q", self.pending, at, now | 1 << one)
        self.wake()


class Bells:
    """All of them: lines to the other VM and from it, the numbers of the vlinks and their words."""

    def __init__(self, guest: Guest) -> None:
        _, pdev = guest.memory(PDEV)
        guest.pdev = pdev
        peer = 5 - guest.vm
        numbers: dict[int, list[int]] = {guest.vm: [], peer: []}
        for slot in range(struct.unpack_from("<I", pdev, 4)[0]):
            at = guest.descriptor(slot)
            ids = struct.unpack_from("<I4xI", pdev, at + 20)
            kinds = XIRQS.get(pdev[at : at + 16].rstrip(b"\0"))
            if kinds is None or set(ids) != {2, 3}:
                continue
            for owner, kind in zip(ids, kinds[:2], strict=True):
                _, first, _ = guest.resource(PXIRQ, slot, kind, owner, kinds[2])
                numbers[owner] += range(first, first + kinds[2])
        self.random = guest.random
        self.out, self.back = Line(guest, peer, guest.vm), Line(guest, guest.vm, peer)
        self.bits: list[int] = []
        for number in numbers[peer]:
            results, _ = guest.must(XIRQ_ROUTE, u32(number, peer))
            self.bits.append(struct.unpack_from("<II", results)[1])
        self.words: list[tuple[mmap.mmap, int]] = []
        for owner, owned in numbers.items():
            for number in owned:
                results, _ = guest.must(XIRQ_BELL, u32(number, owner))
                place = struct.unpack("<Q", results)[0]
                base, memory = guest.memory(MEM_OPEN, u64(place))
                self.words.append((memory, place - base))


def _beside(guest: Guest, storm: Callable[[Bells], None]) -> None:
    """The process that storms until its VM ends, and the real program in this one."""
    bells = Bells(guest)
    if os.fork() == 0:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        guest.socket.close()
        os.close(3)
        guest.say(f"storming {os.getpid()} ")
        while True:
            storm(bells)
    guest.socket.close()
    os.set_inheritable(3, True)
    os.execv(guest.real, [guest.real, *sys.argv[1:]])


def raises_its_numbers_without_end(guest: Guest) -> None:
    _beside(guest, lambda bells: bells.out.raise_bits(bells.bits))


def _backwards(bells: Bells) -> None:
    pick = bells.random
    for memory, at in bells.words:
        (rung,) = struct.unpack_from("<I", memory, at)
        back = pick.choice((1, 2, 1000, 1 << 31, pick.getrandbits(32)))
        struct.pack_into("<I", memory, at, (rung - back) & 0xFFFFFFFF)
        struct.pack_into(
            "<I", memory, at + ARMED, pick.choice((0, 1, 2, 3, 0xFFFFFFFF, pick.getrandbits(32)))
        )
    pick.choice((bells.out, bells.back)).wake()


def bells_go_backwards(guest: Guest) -> None:
    _beside(guest, _backwards)


def _anything(bells: Bells) -> None:
    pick = bells.random
    if pick.random() < 0.5:
        _backwards(bells)
    line = pick.choice((bells.out, bells.back))
    what = pick.randrange(4)
    if what == 0:
        line.pending[:] = bytes(len(line.pending))
    elif what == 1:
        line.pending[:1024] = pick.randbytes(1024)
    elif what == 2:
        line.raise_bits(bells.bits)
    line.wake()


def anything_into_lines_and_bells(guest: Guest) -> None:
    _beside(guest, _anything)
