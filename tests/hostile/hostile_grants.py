"""A guest kernel that grants, denies, maps and lends what it must not: hypercalls as no honest one makes them.

Each act says ``fine`` when everything was refused with the right error, and waits for its end.
"""

from __future__ import annotations

import fcntl
import json
import os
import struct
import tempfile
from pathlib import Path

from hostile_guest import PMEM, Guest, u32, u64

MEM_ALLOC, MEM_FREE, MEM_GRANT, MEM_DENY, MEM_VERIFY, MEM_MAP, MEM_UNMAP = range(15, 22)
LEND, BORROW, RECALL, MEM_HOLD, MEM_RELEASE, MEM_HELD = range(22, 28)
RECALL_SOON = 32
EPERM, ENOMEM, EACCES, EFAULT, EBUSY, EINVAL, EMFILE, EDQUOT = 1, 12, 13, 14, 16, 22, 24, 122
READ, WRITE, CPU, DMA = 1, 2, 4, 8
HAS_MORE, GOES_ON = 0x10000, 0x20000
PAGE = 4096
HONEST = 4  # accepts memory of ours
APP = 7
Range = tuple[int, int]


class Grants:
    """Calls about granted memory, and some memory of an application of ours."""

    def __init__(self, guest: Guest) -> None:
        self.guest = guest
        guest.boot()
        self.facts = json.loads(Path(guest.folder, "facts").read_text())
        self.at = self.alloc(APP, 8 * PAGE)

    def alloc(self, app: int, nbytes: int) -> int:
        results, _ = self.guest.must(MEM_ALLOC, u32(app) + u64(nbytes))
        return int(struct.unpack("<Q", results)[0])

    def call(
        self,
        op: int,
        vm: int,
        flags: int,
        ranges: list[Range],
        objects: tuple[int, ...] = (),
        app: int = APP,
    ) -> int:
        head = u32(vm, flags, app, (1 << len(objects)) - 1, len(ranges))
        body = b"".join(u64(*each) for each in ranges)
        code, _, fds = self.guest.ask(op, head + body, objects)
        for fd in fds:
            os.close(fd)
        return code

    def expect(self, code: int, what: str, got: int) -> None:
        if got != code:
            self.guest.say(f"{what}: {got}, not {code}")
            os._exit(42)

    def fine(self) -> None:
        self.guest.say("fine")
        self.guest.idle()


def memory(nbytes: int, byte: int = 7) -> int:
    fd = os.memfd_create("mine", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, nbytes)
    os.pwrite(fd, bytes([byte]) * nbytes, 0)
    return fd


def grants_what_is_not_its_own(guest: Guest) -> None:
    here = Grants(guest)
    other = here.alloc(APP + 1, PAGE)
    _, _, shared = guest.resource(PMEM, 0, 0, 0, 8192)
    places = {
        "memory of another VM": here.facts["granted to others"],
        "memory that it was granted": here.facts["granted to us"],
        "another application's": other,
        "memory of a vlink": shared,
        "its PDEV": guest.base,
        "nothing": here.at + (1 << 40),
        "below its own": here.at - PAGE,
        "its own and what is behind": here.at + 7 * PAGE,
    }
    for what, at in places.items():
        for op in (MEM_GRANT, MEM_DENY, MEM_HOLD):
            for nbytes in (2 * PAGE,) if what.startswith("its own") else (PAGE,):
                fd = memory(nbytes)
                objects = (fd,) if op == MEM_GRANT else ()
                here.expect(EPERM, what, here.call(op, HONEST, READ | CPU, [(at, nbytes)], objects))
                os.close(fd)
    for vm, code in ((0, EINVAL), (1, EINVAL), (5, EINVAL), (31, EINVAL), (3, EACCES)):
        fd = memory(PAGE)
        got = here.call(MEM_GRANT, vm, READ | CPU, [(here.at, PAGE)], (fd,))
        here.expect(code, f"to VM {vm}", got)
        os.close(fd)
    here.expect(
        EINVAL, "to itself", here.call(MEM_GRANT, 2, READ | CPU, [(here.at, PAGE)], (memory(PAGE),))
    )
    here.fine()


def grants_no_whole_pages_and_no_memory(guest: Guest) -> None:
    here = Grants(guest)
    for at, nbytes in ((1, PAGE), (0, 0), (0, 1), (0, PAGE - 1), (PAGE // 2, PAGE), (0, PAGE + 1)):
        fd = memory(2 * PAGE)
        got = here.call(MEM_GRANT, HONEST, READ | CPU, [(here.at + at, nbytes)], (fd,))
        here.expect(EINVAL, f"{nbytes} bytes at {at}", got)
        os.close(fd)
    sealed = {name: memory(PAGE) for name in ("SEAL", "WRITE", "FUTURE_WRITE")}
    for seal, fd in zip((0x1, 0x8, 0x10), sealed.values(), strict=True):
        fcntl.fcntl(fd, 1033, seal)  # it could not be kept as it is, or not be emptied
    read, write = os.pipe()
    with tempfile.TemporaryFile() as file:
        file.truncate(PAGE)
        objects = {
            "a pipe": read,
            "its other end": write,
            "a file": file.fileno(),
            "too short": memory(PAGE // 2),
            "too long": memory(2 * PAGE),
            **{f"sealed: {name}": fd for name, fd in sealed.items()},
            "a directory": os.open("/", os.O_RDONLY),
        }
        for what, fd in objects.items():
            for flags in (READ | CPU, READ | WRITE | CPU):
                got = here.call(MEM_GRANT, HONEST, flags, [(here.at, PAGE)], (fd,))
                if got not in (EINVAL, EPERM, EACCES):  # what its kind answers
                    here.expect(EINVAL, what, got)
    here.expect(EINVAL, "none", here.call(MEM_GRANT, HONEST, READ | CPU, [(here.at, PAGE)]))
    one = memory(PAGE)
    ranges = [(here.at, PAGE), (here.at + PAGE, PAGE)]
    if here.call(MEM_GRANT, HONEST, READ | CPU, ranges, (one, one)) == 0:
        here.expect(EINVAL, "one object for two", 0)
    here.fine()


def grants_with_sums_that_overflow(guest: Guest) -> None:
    here = Grants(guest)
    top = 1 << 64
    for at, nbytes in (
        (here.at, top - PAGE),
        (here.at, top - here.at),
        (top - PAGE, PAGE),
        (top - PAGE, 2 * PAGE),
        (here.at, 1 << 63),
        (here.at + 4 * PAGE, top - 4 * PAGE),
        (0, PAGE),
    ):
        for op in (MEM_GRANT, MEM_DENY, MEM_HOLD):
            fd = memory(PAGE)
            got = here.call(
                op, HONEST, READ | CPU, [(at, nbytes)], (fd,) if op == MEM_GRANT else ()
            )
            if got not in (EINVAL, EPERM):
                here.expect(EINVAL, f"op {op}, {nbytes:#x} bytes at {at:#x}", got)
            os.close(fd)
        code, _, fds = guest.ask(MEM_MAP, u64(at, nbytes) + bytes((0, 0)))
        if code == 0 or fds:
            here.expect(EACCES, f"map {nbytes:#x} bytes at {at:#x}", code)
    for nbytes in (0, top - 1, top - PAGE, 1 << 63, (4 << 30) + PAGE):
        code, _, _ = guest.ask(MEM_ALLOC, u32(APP) + u64(nbytes))
        if code not in (EINVAL, EDQUOT, ENOMEM):
            here.expect(EINVAL, f"{nbytes:#x} bytes of memory", code)
    here.fine()


def claims_a_longer_list_than_it_sends(guest: Guest) -> None:
    here = Grants(guest)
    guest.socket.send(u32(MEM_GRANT, HONEST, READ | CPU, APP, 0, 8) + u64(here.at, PAGE))
    guest.idle()


def grants_overlaps_and_twice(guest: Guest) -> None:
    here = Grants(guest)
    first, both = (here.at, PAGE), (here.at, 2 * PAGE)
    for ranges in ([first, first], [both, first], [(here.at + PAGE, PAGE), both]):
        objects = tuple(memory(nbytes) for _, nbytes in ranges)
        here.expect(EINVAL, f"{ranges}", here.call(MEM_GRANT, HONEST, READ | CPU, ranges, objects))
        here.expect(EINVAL, f"deny {ranges}", here.call(MEM_DENY, HONEST, READ | CPU, ranges))
        for fd in objects:
            os.close(fd)
    here.expect(0, "once", here.call(MEM_GRANT, HONEST, READ | CPU, [both], (memory(2 * PAGE),)))
    for flags in (READ | CPU, READ | WRITE | CPU, READ | CPU | DMA, READ | DMA):
        for one in (first, both, (here.at + PAGE, 2 * PAGE)):
            fd = memory(one[1])
            here.expect(EBUSY, f"{one} again", here.call(MEM_GRANT, HONEST, flags, [one], (fd,)))
            os.close(fd)
    for flags in (READ | WRITE | CPU, READ | DMA, READ | CPU | DMA):
        here.expect(EINVAL, "other flags", here.call(MEM_DENY, HONEST, flags, [both]))
    here.expect(0, "back", here.call(MEM_DENY, HONEST, READ | CPU, [both]))
    here.expect(EINVAL, "back again", here.call(MEM_DENY, HONEST, READ | CPU, [both]))
    here.fine()


def sets_bits_that_mean_nothing(guest: Guest) -> None:
    here = Grants(guest)
    unknown = [1 << bit for bit in range(32)]
    known = {READ, WRITE, CPU, DMA, 0x100, 0x200, 0x400, HAS_MORE, GOES_ON}
    wrong = [READ | CPU | bit for bit in unknown if bit not in known]
    wrong += [0, READ, CPU, WRITE, WRITE | CPU, DMA, WRITE | DMA]
    wrong += [READ | CPU | 0x300, READ | CPU | 0x600, READ | CPU | 0x700, 0xFFF0FFFF]
    for flags in wrong:
        fd = memory(PAGE)
        got = here.call(MEM_GRANT, HONEST, flags, [(here.at, PAGE)], (fd,))
        here.expect(EINVAL, f"flags {flags:#x}", got)
        os.close(fd)
    here.fine()


def begins_calls_that_it_never_ends(guest: Guest) -> None:
    """Parts of a call without end, of more applications than there are; then one that is whole."""
    here = Grants(guest)
    big = here.alloc(APP, 1 << 30)
    codes = set()
    for part in range(1100):
        ranges = [(big + (8 * part + i) * PAGE, PAGE) for i in range(8)]
        flags = READ | CPU | HAS_MORE | (GOES_ON if part else 0)
        codes.add(here.call(MEM_DENY, HONEST, flags, ranges))
    for app in range(2000):
        codes.add(
            here.call(
                MEM_GRANT, HONEST, READ | CPU | HAS_MORE, [(big, PAGE)], (memory_once(),), app
            )
        )
    if not codes <= {0, EINVAL, EDQUOT, EMFILE, ENOMEM, EPERM} or codes == {0}:
        here.expect(EDQUOT, f"parts without end gave {codes}", 0)
    guest.must(MEM_RELEASE, u32(APP))
    one = [(here.at, PAGE)]
    here.expect(0, "a whole call", here.call(MEM_GRANT, HONEST, READ | CPU, one, (memory(PAGE),)))
    here.expect(0, "and back", here.call(MEM_DENY, HONEST, READ | CPU, one))
    here.fine()


_once: list[int] = []


def memory_once() -> int:
    if not _once:
        _once.append(memory(PAGE))
    return _once[0]


def takes_memory_and_grants_without_end(guest: Guest) -> None:
    here = Grants(guest)
    total = 0
    for nbytes in (1 << 30, 1 << 24, PAGE):
        while True:
            code, _, _ = guest.ask(MEM_ALLOC, u32(APP) + u64(nbytes))
            if code != 0:
                here.expect(EDQUOT, "memory", code)
                break
            total += nbytes
            if total > 1 << 34:
                here.expect(EDQUOT, "16 GiB of memory", 0)
    guest.must(MEM_FREE, u32(APP) + u64(here.at))
    here.at = here.alloc(APP, 8 * PAGE)
    code = 0
    for _ in range(20_000):  # parts of 8 pages, granted and denied again: nothing adds up
        if code != 0:
            break
        page = guest.random.randrange(8)
        fd = memory(PAGE)
        code = here.call(MEM_GRANT, HONEST, READ | CPU, [(here.at + page * PAGE, PAGE)], (fd,))
        os.close(fd)
        if code == EBUSY:
            code = here.call(MEM_DENY, HONEST, READ | CPU, [(here.at + page * PAGE, PAGE)])
    here.expect(0, "granting and denying", code)
    here.fine()


def grants_more_than_it_may(guest: Guest) -> None:
    here = Grants(guest)
    pages = 9000
    at = here.alloc(APP, pages * PAGE)
    code = granted = 0
    while code == 0 and granted < pages:
        ranges = [(at + (granted + i) * PAGE, PAGE) for i in range(8)]
        objects = tuple(memory(PAGE) for _ in ranges)
        code = here.call(MEM_GRANT, HONEST, READ | CPU, ranges, objects)
        for fd in objects:
            os.close(fd)
        granted += 8
    if code not in (EDQUOT, EMFILE):
        here.expect(EDQUOT, f"{granted} grants", code)
    here.fine()


def maps_and_denies_what_it_was_not_granted(guest: Guest) -> None:
    here = Grants(guest)
    theirs, ours = here.facts["granted to others"], here.facts["granted to us"]
    denied = here.facts["denied"]
    places = [theirs, theirs - PAGE, denied, denied + PAGE, here.at, 0, PAGE, 1 << 63]
    places += [guest.random.randrange(1 << 40) * PAGE for _ in range(300)]
    for at in places:
        for writable in (0, 1):
            code, _, fds = guest.ask(MEM_MAP, u64(at, PAGE) + bytes((writable, 0)))
            if code == 0 or fds:
                here.expect(EACCES, f"map {at:#x}", code)
        guest.ask(MEM_UNMAP, u64(at, PAGE))
        if here.call(MEM_VERIFY, 3, READ | CPU, [(at, PAGE)]) == 0:
            here.expect(EACCES, f"verify {at:#x}", 0)
        for vm in (HONEST, 3, 2):
            if here.call(MEM_DENY, vm, READ | CPU, [(at, PAGE)]) not in (EPERM, EINVAL):
                here.expect(EPERM, f"deny {at:#x} to VM {vm}", 0)
    code, _, fds = guest.ask(MEM_MAP, u64(ours, PAGE) + bytes((1, 0)))
    if code == 0 or fds:
        here.expect(EACCES, "writing what it may read", code)
    for number in (0, 1, 2, 77, 0xFFFFFFFF):
        guest.ask(MEM_HELD, u32(number))
        guest.ask(MEM_RELEASE, u32(number))
    code, _, fds = guest.ask(MEM_MAP, u64(ours, PAGE) + bytes((0, 0)))
    here.expect(0, "what it was granted", code)
    for fd in fds:
        if os.pread(fd, PAGE, 0) != b"\x05" * PAGE or os.fstat(fd).st_size != PAGE:
            here.expect(0, "its contents", 1)
        os.close(fd)
    here.fine()


def lends_and_borrows_what_it_must_not(guest: Guest) -> None:
    here = Grants(guest)
    file, whole = 0, 1

    def lend(slot: int, offset: int, nbytes: int, kind: int) -> None:
        fd = memory(PAGE)  # it could be cut short under whoever looks at it
        code, _, _ = guest.ask(LEND, u32(slot) + u64(offset, nbytes) + u32(kind), (fd,))
        here.expect(EINVAL, f"lend {nbytes} bytes at {offset} on {slot}, kind {kind}", code)
        os.close(fd)

    for kind in (file, whole, 2, 0xFFFFFFFF):
        for offset, nbytes in ((0, 0), (0, 1), (1, PAGE), (0, 2 * PAGE), (PAGE, PAGE)):
            lend(0, offset, nbytes, kind)
        lend(0, (1 << 64) - PAGE, 2 * PAGE, kind)
        lend(0, 0, (1 << 64) - PAGE, kind)
    for kind in (whole, 2, 0xFFFFFFFF):
        lend(0, 0, PAGE, kind)
    for slot in (2, 77, 0xFFFFFFFF):
        lend(slot, 0, PAGE, file)
    for seals in (0x2, 0x2 | 0x8, 0x2 | 0x10):  # it keeps its size; could it be emptied?
        fd = memory(PAGE)
        fcntl.fcntl(fd, 1033, seals)
        code, results, _ = guest.ask(LEND, u32(0) + u64(0, PAGE) + u32(whole), (fd,))
        here.expect(0 if seals == 0x2 else EINVAL, f"lend an object with seals {seals:#x}", code)
        if code == 0:
            guest.must(RECALL, u32(0) + results + bytes((1,)))
            here.expect(0, "what was taken back", max(os.pread(fd, PAGE, 0)))
    places = [here.at, here.facts["granted to others"], here.facts["lent to others"], 0, 1 << 63]
    places += [guest.random.randrange(1 << 40) * PAGE for _ in range(300)]
    for at in places:
        for slot in (0, 1):
            guest.refused(EFAULT, BORROW, u32(slot) + u64(at))
            guest.refused(EFAULT, RECALL, u32(slot) + u64(at) + bytes((1,)))
            guest.tell(RECALL_SOON, u32(slot) + u64(at) + bytes((1,)))  # nobody hears of it
    for slot in (2, 77, 0xFFFFFFFF):
        guest.tell(RECALL_SOON, u32(slot) + u64(here.at) + bytes((1,)))
    here.fine()


def takes_back_later(guest: Guest) -> None:
    here = Grants(guest)
    for erase in (0, 1):
        fd = memory(PAGE)
        fcntl.fcntl(fd, 1033, 0x2)
        code, results, _ = guest.ask(LEND, u32(0) + u64(0, PAGE) + u32(1), (fd,))
        here.expect(0, "lend", code)
        for _ in range(3):
            guest.tell(RECALL_SOON, u32(0) + results + bytes((erase,)))
        # What is asked later is served later.
        guest.refused(EFAULT, RECALL, u32(0) + results + bytes((1,)))
        here.expect(0 if erase else 7, "what was taken back", max(os.pread(fd, PAGE, 0)))
        os.close(fd)
    here.fine()


def lends_without_end(guest: Guest) -> None:
    here = Grants(guest)
    fd = memory(PAGE)
    fcntl.fcntl(fd, 1033, 0x2)
    for slot in (0, 1):
        lent = []
        while True:
            code, results, _ = guest.ask(LEND, u32(slot) + u64(0, PAGE) + u32(1), (fd,))
            if code != 0:
                break
            lent.append(results)
            if len(lent) > 10_000:
                here.expect(ENOMEM, f"{len(lent)} loans on one vlink", 0)
        here.expect(ENOMEM, f"one loan more than {len(lent)}", code)
        guest.must(RECALL, u32(slot) + lent[7] + bytes((1,)))
        code, _, _ = guest.ask(LEND, u32(slot) + u64(0, PAGE) + u32(1), (fd,))
        here.expect(0, "in its place", code)
    here.fine()
