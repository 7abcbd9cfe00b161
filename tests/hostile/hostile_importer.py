"""A program that was granted memory and tries to keep it. 3: way to the kernel, 4: reports, 5: orders.

Every act opens the memory by hand, so it holds the raw descriptors; says ``ready``; waits for an order; then says
which bytes it still sees, or what it got away with.
"""

from __future__ import annotations

import array
import contextlib
import ctypes
import fcntl
import mmap
import os
import random
import signal
import socket
import struct
import sys
from pathlib import Path

OPEN, ALLOC, GRANT, MAP, HOLD = 2, 96, 98, 101, 103
libc = ctypes.CDLL(None, use_errno=True)
way = socket.socket(fileno=3)
act, address, nbytes, seed = sys.argv[1], *map(int, sys.argv[2:5])
dice = random.Random(seed)
sequence = 0


def say(word: str) -> None:
    os.write(4, f"{word}\n".encode())


def order() -> None:
    if not os.read(5, 1):
        os._exit(0)


def ask(
    op: int, handle: int, args=(0,) * 5, data: bytes = b"", objects=()
) -> tuple[int, int, list[int]]:
    """(errno, first value, descriptors)."""
    global sequence
    sequence += 1
    message = struct.pack("<III5QI", sequence, op, handle, *args, len(data)) + data
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", objects))] if objects else []
    way.sendmsg([message], rights)
    while True:
        message, ancillary, _, _ = way.recvmsg(1 << 18, 4096)
        fds = [fd for _, _, passed in ancillary for fd in array.array("i", passed)]
        answered, code, value = struct.unpack_from("<IiQ", message)
        if answered == sequence:
            return code, value, fds
        for fd in fds:
            os.close(fd)


handle = ask(OPEN, 0, data=b"vlx-mem")[1]


def granted(writable: bool = False) -> int:
    code, _, fds = ask(MAP, handle, (address, nbytes, int(writable), 0, 0))
    assert code == 0, code
    assert len(fds) == 1, fds
    return fds[0]


def mapped(fd: int, writable: bool = False) -> mmap.mmap:
    return mmap.mmap(fd, nbytes, prot=mmap.PROT_READ | (mmap.PROT_WRITE if writable else 0))


def seen(*memories: bytes | mmap.mmap) -> None:
    say(" ".join(sorted({str(byte) for memory in memories for byte in set(memory[:])}, key=int)))


def mapped_twice() -> None:
    fd = granted()
    memories = [mapped(fd), mapped(fd), mapped(granted())]
    say("ready")
    order()
    seen(*memories)


def mapped_in_a_child() -> None:
    memory = mapped(granted())
    say("ready")
    if os.fork() == 0:
        order()
        seen(memory)
        os._exit(0)
    os.wait()


def kept_descriptor() -> None:
    fd = granted()
    say("ready")
    order()
    seen(mapped(fd), os.pread(fd, nbytes, 0), mapped(os.dup(fd)))


def passed_descriptor() -> None:
    here, there = socket.socketpair()
    if os.fork() == 0:
        _, ancillary, _, _ = here.recvmsg(1, 100)
        (fd,) = array.array("i", ancillary[0][2])
        say("ready")
        order()
        seen(mapped(fd))
        os._exit(0)
    fds = array.array("i", [granted()])
    there.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)])
    os.wait()


def orphan_of_a_dead_importer() -> None:
    memory = mapped(granted())
    if os.fork() != 0:
        os._exit(0)  # the application is dead, its child is not
    say("ready")
    order()
    seen(memory)


def pinned_in_a_pipe() -> None:
    fd = granted()
    read, write = os.pipe()
    at = raw_map(fd, 4096)
    vector = struct.pack("<QQ", at, 4096)
    assert libc.vmsplice(write, vector, ctypes.c_size_t(1), 0) == 4096
    say("ready")
    order()
    seen(os.read(read, 4096))


def in_the_middle_of_a_copy() -> None:
    memory = mapped(granted())
    say("ready")
    worst: set[int] = set()
    os.set_blocking(5, False)
    while True:
        with contextlib.suppress(BlockingIOError):
            os.read(5, 1)
            break
        memory[:]
    for _ in range(50):
        worst |= set(memory[:])
    say(" ".join(map(str, sorted(worst))))


def mapped_for_writing() -> None:
    memory = mapped(granted(writable=True), writable=True)
    say("ready")
    order()
    before = set(memory[:])
    memory[:] = b"\x42" * nbytes
    say(" ".join(map(str, sorted(before))))


def everything_behind_a_descriptor() -> None:
    """Not only the pages that were asked for: the object from its beginning to its end."""
    first = granted()
    say("ready")
    order()
    fds = [first, granted()]
    say(" ".join(str(sorted(set(os.pread(fd, 1 << 20, 0)))) for fd in fds))


def lends_its_device_what_it_may_only_map() -> None:
    """Orders to a DMA device that no library would send: granted memory attached by hand, guesses, nonsense."""
    fd = granted(writable=True)
    device = ask(OPEN, 0, data=b"vlx-dma")[1]

    def send(op: int, at: int = 0, size: int = 0, kind: int = 2, fds=()) -> int:
        words = struct.pack("<6I3Q", op, 99, dice.randrange(9), kind, 0x42, 0, at, at, size)
        return ask(112, device, data=words, objects=fds)[0]

    mine = os.memfd_create("mine", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(mine, 4096)
    codes = [send(1, fds=[each]) for each in (fd, mine, 4)] + [
        send(1),
        send(0),
        send(7, at=1 << 40),
    ]
    for _ in range(200):  # at addresses around what was granted, and anywhere
        at = dice.choice(
            (address, address + nbytes, address - 4096, 0, 1 << 32, dice.getrandbits(64))
        )
        send(3, at, dice.choice((0, 1, 4096, nbytes, 1 << 40, 1 << 63)), dice.randrange(5))
    for length in (0, 1, 47, 49, 4000):
        codes.append(ask(112, device, data=bytes(length))[0])
    say("ready")
    order()
    say(" ".join(map(str, codes)))


def raw_map(fd: int, size: int) -> int:
    call = libc.mmap
    call.restype = ctypes.c_void_p
    return call(None, ctypes.c_size_t(size), mmap.PROT_READ, mmap.MAP_SHARED, fd, ctypes.c_long(0))


def read_grant_opened_for_writing() -> None:
    fd = granted()
    done = []

    def attempt(name: str, body) -> None:
        with contextlib.suppress(OSError):
            body()
            done.append(name)

    def attempts(which: int, kind: str) -> None:
        attempt(f"map {kind}", lambda: mapped(which, writable=True))
        attempt(f"pwrite {kind}", lambda: os.pwrite(which, b"x", 0))
        attempt(f"truncate {kind}", lambda: os.ftruncate(which, 0))
        attempt(f"grow {kind}", lambda: os.ftruncate(which, 2 * nbytes))
        attempt(f"seal {kind}", lambda: fcntl.fcntl(which, 1033, 0x2))
        if libc.fallocate(which, 3, ctypes.c_long(0), ctypes.c_long(4096)) == 0:
            done.append(f"punch {kind}")
        if libc.mprotect(ctypes.c_void_p(raw_map(which, 4096)), ctypes.c_size_t(4096), 3) == 0:
            done.append(f"mprotect {kind}")

    attempts(fd, "as given")
    with contextlib.suppress(OSError):
        attempts(os.open(f"/proc/self/fd/{fd}", os.O_RDWR), "reopened")
    if ask(MAP, handle, (address, nbytes, 1, 0, 0))[0] == 0:
        done.append("asked")
    say("ready")
    order()
    say(",".join(done) or "nothing")


def one_byte_beyond() -> None:
    fd = granted()
    say("ready")
    order()
    size = os.fstat(fd).st_size
    at = raw_map(fd, nbytes + 4096)
    child = os.fork()
    if child == 0:
        ctypes.string_at(at + nbytes, 1)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    end = signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else "read"
    say(f"{size == nbytes} {end}")


def stale_and_guessed_addresses() -> None:
    granted()
    say("ready")
    order()
    got = []
    guesses = [address, address - 4096, address + nbytes, 0, 4096, 1 << 63]
    guesses += [dice.randrange(1 << 36) * 4096 for _ in range(200)]
    for guess in guesses:
        for writable in (0, 1):
            for window in (0, 1, dice.randrange(1 << 32)):
                code, _, fds = ask(MAP, handle, (guess, nbytes, writable, window, 0))
                if code == 0 or fds:
                    got.append(guess)
    say(f"got {got}")


def reader_for_ever() -> None:
    """Maps whatever it is given, again and again, in several processes; says what it saw of the mark 255."""
    workers = []
    for _ in range(2):
        read, write = socket.socketpair()
        pid = os.fork()
        if pid == 0:
            write.close()
            memories: list[mmap.mmap] = []
            while True:
                read.setblocking(not memories)
                try:
                    got, ancillary, _, _ = read.recvmsg(1, 100)
                    if not got:
                        os._exit(0)
                    for _, _, data in ancillary:
                        for fd in array.array("i", data):
                            memories.append(mmap.mmap(fd, 0, prot=mmap.PROT_READ))
                            if dice.random() < 0.5:
                                os.close(fd)
                            del memories[:-8]
                except BlockingIOError:
                    pass
                for memory in memories:
                    if memory[0] == 255 or memory[-1] == 255:
                        say("stale")
                        os._exit(1)
        read.close()
        workers.append(write)
    say("ready")
    os.set_blocking(5, False)
    opened = 0
    while True:
        with contextlib.suppress(BlockingIOError):
            os.read(5, 1)
            break
        for page in range(nbytes // 4096):
            code, window, fds = ask(MAP, handle, (address + page * 4096, 4096, 0, 0, 0))
            for fd in fds:
                opened += 1
                if opened == 1:
                    say("opens")
                for worker in workers:
                    worker.sendmsg(
                        [b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))]
                    )
                os.close(fd)
            if code == 0:
                ask(102, handle, (window, 0, 0, 0, 0))
    for worker in workers:
        worker.close()
    for _ in workers:
        os.wait()
    say(f"opened {opened}")


def keeper_that_never_holds() -> None:
    """Keeps the pages while somebody else is denied, and never says that it holds back."""
    memory = mapped(granted(writable=True), writable=True)
    say("ready")
    order()
    seen(memory)


def keeper_that_says_it_holds_and_writes_on() -> None:
    memory = mapped(granted(writable=True), writable=True)
    say("ready")
    os.set_blocking(5, False)
    way.setblocking(False)
    while True:
        with contextlib.suppress(BlockingIOError):
            os.read(5, 1)
            break
        with contextlib.suppress(BlockingIOError):
            message, ancillary, _, _ = way.recvmsg(1 << 18, 4096)
            for _, _, data in ancillary:
                for fd in array.array("i", data):
                    os.close(fd)
            number, _, window, hold = struct.unpack_from("<IiQQ", message)
            if number == window == 0:
                for guess in (hold, hold + 1, 0, 1 << 31, hold):
                    way.send(struct.pack("<III5QI", 9999, 105, handle, guess, 0, 0, 0, 0, 0))
        memory[:4096] = b"\x42" * 4096
    say("done")


def exporter_that_holds_and_never_denies() -> None:
    """Memory of its own for two VMs; then a hold that nothing comes of, again and again."""
    at = ask(ALLOC, handle, (nbytes, 0, 0, 0, 0))[1]
    fd = os.memfd_create("mine", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, nbytes)
    os.pwrite(fd, b"\x05" * nbytes, 0)
    ranges = struct.pack("<QQ", at, nbytes)
    for vm, fds in ((3, [fd]), (4, [])):
        assert ask(GRANT, handle, (vm, 1 | 2 | 4, len(fds), 0, 0), ranges, fds)[0] == 0
    say(str(at))
    order()
    codes = {ask(HOLD, handle, (4, 1 | 2 | 4, 0, 0, 0), ranges)[0] for _ in range(200)}
    codes |= {ask(HOLD, handle, (4, 1 | 4, 0, 0, 0), ranges)[0]}
    say(f"{sorted(codes)}")
    order()


def helper() -> ctypes.CDLL:
    """What takes C: `pins.c`."""
    library = ctypes.CDLL(sys.argv[5], use_errno=True)
    library.write_from_a_ring.argtypes = [
        ctypes.c_int,
        ctypes.c_void_p,
        ctypes.c_uint,
        ctypes.c_int,
    ]
    return library


def sibling_with_the_same_memory() -> None:
    at = raw_map(granted(), nbytes)
    made = helper().outlive_in_a_sibling(ctypes.c_void_p(at), ctypes.c_size_t(nbytes), 5, 4)
    assert made > 0, ctypes.get_errno()
    os._exit(0)


def pinned_in_a_ring() -> None:
    pins = helper()
    memory = mapped(granted(writable=True), writable=True)
    at = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    ring = pins.pin_in_a_ring(ctypes.c_void_p(at), ctypes.c_size_t(nbytes))
    if ring < 0:
        say(f"refused {ctypes.get_errno()}")
        return
    say("ready")
    order()
    out = os.memfd_create("out")
    assert pins.write_from_a_ring(ring, at, nbytes, out) == 1, ctypes.get_errno()
    seen(os.pread(out, nbytes, 0))


def written_to_a_disk_past_the_cache() -> None:
    """O_DIRECT: the kernel takes the pages themselves, again and again while they are taken back."""
    memory = mapped(granted(writable=True), writable=True)
    path = f"/var/tmp/hyplink-{os.getpid()}"
    try:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_DIRECT, 0o600)
        Path(path).unlink()
        os.pwrite(file, memory, 0)
    except OSError as error:
        say(f"refused {error.errno}")
        return
    say("ready")
    os.set_blocking(5, False)
    while True:
        with contextlib.suppress(BlockingIOError):
            os.read(5, 1)
            break
        os.pwrite(file, memory, 0)
    os.pwrite(file, memory, 0)
    back = mmap.mmap(-1, nbytes)
    assert os.preadv(file, [back], 0) == nbytes
    seen(back)


def punched_out_under_others() -> None:
    """Take the pages out of the object, again and again, so that everybody else's next touch is a fault."""
    at = granted(writable=True)
    say("ready")
    order()
    libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_long, ctypes.c_long]
    say("punched" if libc.fallocate(at, 3, 0, nbytes) == 0 else "refused")
    order()
    say("done")


def written_by_another_process() -> None:
    """process_vm_writev into a process that has it mapped: what goes there is the object of old."""
    at = granted(writable=True)
    place = libc.mmap
    place.restype = ctypes.c_void_p
    place = place(None, ctypes.c_size_t(nbytes), 3, mmap.MAP_SHARED, at, ctypes.c_long(0))
    child = os.fork()
    if child == 0:
        signal.pause()
    say("ready")
    order()
    data = ctypes.create_string_buffer(b"\x42" * nbytes, nbytes)
    local = struct.pack("<QQ", ctypes.addressof(data), nbytes)
    remote = struct.pack("<QQ", place, nbytes)
    done = libc.process_vm_writev(child, local, 1, remote, 1, 0)
    os.kill(child, signal.SIGKILL)
    os.wait()
    say(f"wrote {done}" if done >= 0 else f"refused {ctypes.get_errno()}")


def malformed_requests() -> None:
    """Grants, denies and holds that no library would send."""
    say("ready")
    order()
    codes = set()
    words = [
        0,
        1,
        2,
        3,
        4,
        5,
        7,
        8,
        15,
        16,
        17,
        4095,
        4096,
        nbytes,
        address,
        (1 << 32) - 1,
        1 << 63,
    ]
    words.append((1 << 64) - 1)
    for _ in range(3000):
        op = dice.choice([96, 97, 98, 99, 100, 101, 102, 103, 104, 105, 106, 107, 108])
        args = tuple(dice.choice(words) for _ in range(5))
        if op == 96:
            args = (dice.choice([0, 4097, 1 << 33, 1 << 63, (1 << 64) - 1]), *args[1:])
        many = dice.choice([0, 1, 2, 8, 9, 100])
        data = struct.pack(f"<{2 * many}Q", *(dice.choice(words) for _ in range(2 * many)))
        data = data[: len(data) - dice.choice([0, 0, 0, 1, 8])]
        code, _, fds = ask(op, dice.choice([handle, handle, handle, 0, 77]), args, data)
        codes.add(code)
        for fd in fds:
            os.close(fd)
    say(f"{0 in codes} {22 in codes} {len(codes) > 3}")


def anything_at_random() -> None:
    """Maps, forks, passes descriptors, keeps, unmaps, writes and faults; nobody may ever see 255."""
    read, write = os.pipe()  # children live as long as its writing end
    here, there = socket.socketpair()
    memories: list[mmap.mmap] = []
    kept: list[int] = []
    children: list[int] = []
    counts = dict.fromkeys(("map", "refused", "fork", "pass", "check", "write"), 0)
    os.set_blocking(5, False)

    def check(many: list[mmap.mmap]) -> None:
        counts["check"] += 1
        for memory in many:
            if memory[0] == 255 or memory[-1] == 255 or 255 in memory[:64]:
                say("stale")
                os._exit(1)

    def watch() -> None:
        os.close(write)
        os.set_blocking(read, False)
        until = dice.randrange(50, 500)
        for _ in range(until):
            check(memories)
            with contextlib.suppress(BlockingIOError):
                if not os.read(read, 1):
                    break
        os._exit(0)

    say("ready")
    while True:
        with contextlib.suppress(BlockingIOError):
            os.read(5, 1)
            break
        what = dice.randrange(12)
        if what < 6:
            page = dice.randrange(nbytes // 4096)
            count = dice.randrange(1, nbytes // 4096 - page + 1)
            writable = dice.random() < 0.5
            code, window, fds = ask(
                MAP, handle, (address + page * 4096, count * 4096, int(writable), 0, 0)
            )
            counts["map" if code == 0 else "refused"] += 1
            for fd in fds:
                size = os.fstat(fd).st_size
                prot = mmap.PROT_READ | (mmap.PROT_WRITE if writable else 0)
                memories.append(mmap.mmap(fd, size, prot=prot))
                kept.append(fd)
            if code == 0 and dice.random() < 0.7:
                ask(102, handle, (window, 0, 0, 0, 0))
        elif what == 6 and len(children) < 6:
            counts["fork"] += 1
            pid = os.fork()
            if pid == 0:
                dice.seed(os.getpid())
                watch()
            children.append(pid)
        elif what == 7 and kept:
            counts["pass"] += 1
            fds = array.array("i", [dice.choice(kept)])
            there.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)])
            _, ancillary, _, _ = here.recvmsg(1, 100)
            for fd in array.array("i", ancillary[0][2]):
                memories.append(mmap.mmap(fd, 0, prot=mmap.PROT_READ))
                if b"\xff" in os.pread(fd, 64, 0):
                    say("stale")
                    os._exit(1)
                os.close(fd)
        elif what == 8 and memories:
            memory = dice.choice(memories)
            with contextlib.suppress(TypeError):
                counts["write"] += 1
                memory[dice.randrange(len(memory))] = dice.randrange(255)
        check(memories)
        while len(memories) > 24:
            memories.pop(dice.randrange(len(memories)))
        while len(kept) > 24:
            os.close(kept.pop(dice.randrange(len(kept))))
        for child in list(children):
            if os.waitpid(child, os.WNOHANG)[0]:
                children.remove(child)
    os.close(write)
    for child in children:
        status = os.waitpid(child, 0)[1]
        if status:
            say("stale")
    say(" ".join(f"{name}={count}" for name, count in counts.items()))


globals()[act]()
