"""A VM that writes anything into what its drivers share with another VM's for buffers: vUmem's PDEV, vION's PMEM."""

from __future__ import annotations

import struct

from hostile_guest import (
    CLIENT,
    MEM_OPEN,
    OFF,
    ON,
    PDEV_PIECE,
    PMEM,
    PXIRQ,
    RESET,
    SERVER,
    TAKE_EVENTS,
    XIRQ_TRIGGER,
    Guest,
    u32,
    u64,
)

CRAFTED = (0, 1, 2, 16, 127, 160, 161, 176, 0x1000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)


class Area:
    """What two drivers share of one vlink, and our end of that link."""

    def __init__(self, guest: Guest, slot: int) -> None:
        self.guest, self.slot = guest, slot
        at = guest.descriptor(slot)
        ids = struct.unpack_from("<I4xI", guest.pdev, at + 20)  # s_id, c_id
        self.role = SERVER if ids[0] == guest.vm else CLIENT
        self.peer = ids[1 - self.role]
        numbers, kind, piece, self.size, each = self.layout()
        _, _, place = guest.resource(kind, slot, piece, 0, self.size)
        first = [guest.resource(PXIRQ, slot, numbers[i], ids[i], each)[1] for i in range(2)]
        self.xirq = first[1 - self.role]
        base, self.memory = guest.memory(MEM_OPEN, u64(place))
        self.at = place - base

    def get(self, offset: int) -> int:
        return struct.unpack_from("<I", self.memory, self.at + offset)[0]

    def put(self, offset: int, *values: int) -> None:
        struct.pack_into(
            f"<{len(values)}I", self.memory, self.at + offset, *(v & 0xFFFFFFFF for v in values)
        )

    def word(self) -> int:
        pick = self.guest.random
        return pick.choice((pick.choice(CRAFTED), pick.getrandbits(32), pick.randrange(8)))

    def noise(self) -> None:
        """One word anywhere, mostly where the drivers' own words are."""
        span = self.guest.random.choice((160, 512, self.size)) // 4
        self.put(self.guest.random.randrange(min(span, self.size // 4)) * 4, self.word())

    def step(self) -> None:
        """Towards ON, as a driver would."""
        own = self.guest.state(self.slot, self.role)
        peer = self.guest.state(self.slot, 1 - self.role)
        if own == OFF and peer != ON:
            self.guest.publish(self.slot, self.role, RESET)
        elif own == RESET and peer != OFF:
            self.guest.publish(self.slot, self.role, ON)
        elif own == ON and peer == OFF:
            self.guest.publish(self.slot, self.role, OFF)

    def ring(self) -> None:
        self.guest.ask(XIRQ_TRIGGER, u32(self.xirq, self.peer))


class UmemArea(Area):
    """vUmem's PDEV piece: the client calls in the first half, the server in the second."""

    def layout(self):
        return (18, 17), PDEV_PIECE, 16, 16 * 1024, 2

    def act(self) -> None:
        half = self.size // 2
        mine, theirs = (half, 0) if self.role == SERVER else (0, half)
        pick = self.guest.random
        if pick.random() < 0.5:  # an answer of the right form
            chunks = pick.choice((0, 0, 1, 1, 2, pick.randrange(500)))
            nbytes = 4096 * pick.randrange(1, 40) if pick.random() < 0.7 else self.word()
            head = (
                pick.randrange(6),
                pick.choice((1, self.word())),
                self.word(),
                chunks,
                nbytes,
                0,
            )
            self.put(theirs + 128, *head)
            for number in range(chunks):
                base = pick.choice((0x100800000, 0x100000000, pick.getrandbits(48) & ~0xFFF))
                chunk = u64(base, nbytes if chunks == 1 else self.word() & ~0xFFF)
                where = self.at + theirs + 128 + 160 + 16 * number
                self.memory[where : where + 16] = chunk
            error = pick.choice((0, 0, 0, 32, self.word()))
            self.put(theirs + 64 + 4, 1, error, pick.choice((160 + 16 * chunks, self.word())))
            self.put(theirs + 64, self.get(theirs))
        else:  # a call of the right form
            command = (
                pick.choice((13, 13, self.word())) if self.role == SERVER else pick.randrange(9)
            )
            self.put(mine + 128, command, 3, pick.randrange(4), pick.randrange(6), self.word())
            self.put(mine + 128 + 20, pick.choice((0, 8, 128, self.word())))
            self.put(
                mine + 4, pick.choice((0, 0, 1, self.word())), pick.choice((160, 160, self.word()))
            )
            self.put(mine, self.get(mine) + 1)


class IonArea(Area):
    """vION's: one call at a time."""

    def layout(self):
        return (0, 1), PMEM, 0, 1024, 1

    def act(self) -> None:
        pick = self.guest.random
        if self.role == SERVER:
            place = pick.choice((0x100800000, 0x100000000, pick.getrandbits(48) & ~0xFFF))
            error = pick.choice((0, 0, 2, self.word()))
            nbytes = pick.choice((4096, 8192, self.word()))
            answer = struct.pack("<IIQQ", error, 0, place, nbytes)
            self.memory[self.at + 12 : self.at + 12 + len(answer)] = answer
            self.put(8, pick.choice((24, 24, self.word())))
            self.put(4, self.get(0))
        else:
            ident = (5 - self.guest.vm) << 56 | pick.getrandbits(40)
            ask = struct.pack("<IIQ", pick.randrange(4), 0, ident)
            self.memory[self.at + 12 : self.at + 12 + len(ask)] = ask
            self.put(8, pick.choice((16, 16, self.word())))
            self.put(0, self.get(0) + 1)


def _slots(guest: Guest, device: bytes) -> list[int]:
    """Our ends of the vlinks of a class to the honest VM."""
    found = []
    count = struct.unpack_from("<I", guest.pdev, 4)[0]
    for slot in range(count):
        at = guest.descriptor(slot)
        ids = struct.unpack_from("<I4xI", guest.pdev, at + 20)
        if guest.pdev[at : at + 16].rstrip(b"\0") == device and set(ids) == {2, 3}:
            found.append(slot)
    return found


def _scribble(guest: Guest, areas: list[Area]) -> None:
    guest.say("scribbling")
    while True:  # until it is killed
        for area in areas:
            area.step()
            for _ in range(guest.random.randrange(4)):
                area.act()
                if guest.random.random() < 0.5:
                    area.noise()
                area.ring()
        guest.ask(TAKE_EVENTS)


def scribbles_over_vumem(guest: Guest) -> None:
    guest.boot()
    _scribble(guest, [UmemArea(guest, slot) for slot in _slots(guest, b"vogl")])


def scribbles_over_vion(guest: Guest) -> None:
    guest.boot()
    _scribble(guest, [IonArea(guest, slot) for slot in _slots(guest, b"vrpc")])
