"""The misbehaviours, one function each. Every one starts as a process that has just been spawned."""

from __future__ import annotations

import array
import contextlib
import mmap
import os
import socket
import struct

from hostile_guest import (
    BOOT_DONE,
    CLIENT,
    EEXIST,
    EFAULT,
    EINVAL,
    ENODEV,
    ENOMEM,
    EPERM,
    HALT,
    IDENTITY,
    MEM_OPEN,
    OFF,
    ON,
    PDEV,
    PMEM,
    PORT_ALLOC,
    PORT_FREE,
    PORT_OPEN,
    PUBLISH,
    PXIRQ,
    RESET,
    RESOURCES,
    SCOPE,
    SERVER,
    SYSCONF,
    TAKE_EVENTS,
    XIRQ_BELL,
    XIRQ_LINE,
    XIRQ_ROUTE,
    XIRQ_TRIGGER,
    Guest,
    u32,
    u64,
)

# --- messages that are none -------------------------------------------------------------------------


def exits_at_once(guest: Guest) -> None:
    os._exit(7)


def never_boots(guest: Guest) -> None:
    guest.idle()


def random_bytes(guest: Guest) -> None:
    guest.boot()
    guest.socket.send(guest.random.randbytes(1000))
    guest.idle()


def random_bytes_before_boot(guest: Guest) -> None:
    guest.socket.send(guest.random.randbytes(3))
    guest.idle()


def unknown_opcode(guest: Guest) -> None:
    guest.boot()
    guest.socket.send(u32(0xFFFFFFFF))
    guest.idle()


def truncated(guest: Guest) -> None:
    guest.boot()
    guest.socket.send(u32(PORT_ALLOC, 0))
    guest.idle()


def too_much(guest: Guest) -> None:
    guest.boot()
    guest.socket.send(u32(IDENTITY) + b"more")
    guest.idle()


def count_larger_than_message(guest: Guest) -> None:
    guest.boot()
    guest.socket.send(u32(RESOURCES, 0xFFFFFFFF) + bytes(24))
    guest.idle()


def publishes_more_than_a_message_holds(guest: Guest) -> None:
    guest.boot()
    guest.socket.send(u32(PUBLISH, 0x20000000))
    guest.idle()


def oversized(guest: Guest) -> None:
    guest.boot()
    guest.socket.send(u32(IDENTITY) + bytes(180_000))
    guest.idle()


def too_many_descriptors(guest: Guest) -> None:
    guest.boot()
    fds = array.array("i", [guest.reports] * 200)
    guest.socket.sendmsg([u32(IDENTITY)], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)])
    guest.idle()


def ends_in_mid_call(guest: Guest) -> None:
    guest.boot()
    for _ in range(50):
        guest.socket.send(u32(PDEV))
    os._exit(3)


def never_reads(guest: Guest) -> None:
    guest.boot()
    guest.say("idle")
    while True:
        guest.socket.send(u32(IDENTITY))


# --- calls that must be refused, and harm nobody ------------------------------------------------------


def gives_descriptors_away(guest: Guest) -> None:
    guest.boot()
    fds = array.array("i", [guest.reports] * 3)
    for _ in range(100):
        guest.socket.sendmsg([u32(IDENTITY)], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)])
        guest.socket.recv(4096)
    guest.idle()


def wrong_arguments(guest: Guest) -> None:
    guest.boot()
    for slot in (2, 3, 0x7FFFFFFF, 0xFFFFFFFF):
        guest.refused(EINVAL, PUBLISH, u32(1, slot, SERVER))
        guest.refused(EINVAL, PORT_ALLOC, u32(slot) + u64(4096))
        guest.refused(EINVAL, PORT_OPEN, u32(slot, 1))
        guest.refused(EINVAL, PORT_FREE, u32(slot, 1))
        assert guest.resource(PMEM, slot, 0, 0, 4096)[0] == EINVAL
    for role in (CLIENT if guest.vm == 2 else SERVER, 2, 0xFFFFFFFF):
        guest.refused(EINVAL, PUBLISH, u32(1, 0, role))
    for size in (0, 1 << 33, (1 << 64) - 1):
        guest.refused(EINVAL, PORT_ALLOC, u32(0) + u64(size))
        assert guest.resource(PMEM, 0, 77, 0, size)[0] == EINVAL
        assert guest.resource(PXIRQ, 0, 77, 2, size)[0] == EINVAL
    for kind in (3, 0xFFFFFFFF):
        assert guest.resource(kind, 0, 78, 0, 4096)[0] == EINVAL
    for owner in (0, 4, 31, 0xFFFFFFFF):
        assert guest.resource(PXIRQ, 0, 79, owner, 2)[0] == EINVAL
    assert guest.resource(PMEM, 0, 80, 0, 4096)[0] == 0
    assert guest.resource(PMEM, 0, 80, 0, 8192)[0] == EEXIST
    guest.refused(EINVAL, PORT_OPEN, u32(0, 999))
    for address in (0, 1, (1 << 32) - 1, 1 << 63, (1 << 64) - 1):
        guest.refused(EFAULT, MEM_OPEN, u64(address))
    guest.refused(EINVAL, XIRQ_BELL, u32(SYSCONF, 3))
    guest.refused(EINVAL, XIRQ_BELL, u32(100_000, 3))
    guest.idle()


def triggers_of_others(guest: Guest) -> None:
    guest.boot()
    # Numbers 513 … 520 of VM 4 belong to two links, four for vRPQ and vUmem each; ours is one of them.
    codes = [guest.ask(XIRQ_TRIGGER, u32(number, 4))[0] for number in range(513, 521)]
    assert sorted(codes) == [0] * 4 + [EPERM] * 4, codes
    codes = [guest.ask(XIRQ_BELL, u32(number, 4))[0] for number in range(513, 521)]
    assert sorted(codes) == [0] * 4 + [EPERM] * 4, codes
    codes = [guest.ask(XIRQ_ROUTE, u32(number, 4))[0] for number in range(513, 521)]
    assert sorted(codes) == [0] * 4 + [EPERM] * 4, codes
    # The lines between the other two, of nobody, and to oneself.
    for owner, raiser in (
        (4, 5 - guest.vm),
        (5 - guest.vm, 4),
        (4, 4),
        (7, guest.vm),
        (guest.vm,) * 2,
    ):
        guest.refused(ENODEV, XIRQ_LINE, u32(owner, raiser))
    for number in (0, 1, 511, 600, 0x7FFFFFFF, 0xFFFFFFFF):
        guest.refused(EINVAL, XIRQ_TRIGGER, u32(number, 4))
    for vm in (0, 1, 5, 31, 0xFFFFFFFF):
        guest.refused(EINVAL, XIRQ_TRIGGER, u32(513, vm))
    for _ in range(1000):
        guest.must(XIRQ_TRIGGER, u32(SYSCONF, 4))
        guest.must(XIRQ_TRIGGER, u32(SYSCONF, 5 - guest.vm))
    guest.idle()


def ports_without_end(guest: Guest) -> None:
    guest.boot()
    sizes = [1 << 32, 1 << 20, 4096]
    total = 0
    for size in sizes:
        while True:
            code, _, fds = guest.ask(PORT_ALLOC, u32(0) + u64(size))
            for fd in fds:
                os.close(fd)
            if code != 0:
                assert code == ENOMEM, code
                break
            total += size
            assert total < 1 << 30
    guest.idle()


def memory_without_end(guest: Guest) -> None:
    guest.boot()
    for number in range(1000, 1400):
        code, _, at = guest.resource(PMEM, 0, number, 0, 1 << 32)
        if code != 0:
            assert code == ENOMEM, code
            guest.idle()
        guest.memory(MEM_OPEN, u64(at))[1].close()
    guest.say("nothing refused 1.6 TiB")
    os._exit(42)


def numbers_without_end(guest: Guest) -> None:
    guest.boot()
    for number in range(1000, 3000):
        code, _, _ = guest.resource(PXIRQ, 0, number, 5 - guest.vm, 4096)
        if code != 0:
            assert code == ENOMEM, code
            guest.idle()
    guest.say("nothing refused 8 million numbers")
    os._exit(42)


def scopes_without_end(guest: Guest) -> None:
    guest.boot()
    for app in range(1, 600):
        _, (fd,) = guest.must(SCOPE, u32(app))
        os.close(fd)
    guest.idle()


def illegal_states(guest: Guest) -> None:
    guest.boot()
    role = SERVER if guest.vm == 2 else CLIENT
    for slot, mine in ((0, role),):
        for wanted in (ON, 3, 4, 0x80000000, 0xFFFFFFFF):
            guest.publish(slot, mine, wanted)
            assert guest.state(slot, mine) == OFF, wanted
        guest.publish(slot, mine, RESET)
        for wanted in (3, 0xFFFFFFFF):
            guest.publish(slot, mine, wanted)
            assert guest.state(slot, mine) == RESET, wanted
        # The other side's word is not ours: writing it changes our own copy only.
        struct.pack_into("<I", guest.pdev, guest.descriptor(slot) + 24 + 8 * (1 - mine), ON)
        guest.refused(EINVAL, PUBLISH, u32(1, slot, 1 - mine))
        guest.publish(slot, mine, OFF)
    guest.idle()


def wrong_moments(guest: Guest) -> None:
    guest.boot()
    for _ in range(3):
        assert guest.ask(BOOT_DONE)[0] != 0
        assert guest.ask(HALT)[0] != 0
        guest.must(TAKE_EVENTS)
    guest.idle()


def scribbles_over_its_own_pages(guest: Guest) -> None:
    guest.boot()
    _, (fd,) = guest.must(SCOPE, u32(0))
    size = os.fstat(fd).st_size
    for _ in range(20):
        guest.pdev[:] = guest.random.randbytes(len(guest.pdev))
        guest.ask(PUBLISH, u32(1, 0, SERVER if guest.vm == 2 else CLIENT))
        os.pwrite(fd, guest.random.randbytes(size), 0)
    # Lengths that would lead far outside.
    os.pwrite(fd, u32(0x48594C4A, 1, 0, 0, 0xFFFFFFFF, 0xFFFFFFFF, 1, 0xFFFFFFFF) + u64(1 << 62), 0)
    guest.idle()


def scribbles_over_its_lines(guest: Guest) -> None:
    guest.boot()
    lines = []
    for other in (5 - guest.vm, 4):
        _, (fd, bell) = guest.must(XIRQ_LINE, u32(other, guest.vm))
        lines.append((mmap.mmap(fd, os.fstat(fd).st_size), bell))
    for _ in range(300):
        for pending, bell in lines:
            pending[:] = guest.random.choice(
                (bytes([255]) * len(pending), guest.random.randbytes(len(pending)))
            )
            os.write(bell, u64(1))
    for _, bell in lines:
        os.set_blocking(bell, False)
        with contextlib.suppress(BlockingIOError):
            os.write(bell, u64(0xFFFFFFFFFFFFFFFE))
        os.set_blocking(bell, True)
    guest.idle()


def rings_for_nothing(guest: Guest) -> None:
    guest.boot()
    bells = []
    for other in (5 - guest.vm, 4):
        _, (fd, bell) = guest.must(XIRQ_LINE, u32(other, guest.vm))
        os.close(fd)
        bells.append(bell)
        os.set_blocking(bell, False)
    guest.say("ringing")
    while True:  # until it is killed
        for bell in bells:
            with contextlib.suppress(BlockingIOError):
                os.write(bell, u64(1))


def triggers_without_end(guest: Guest) -> None:
    """Through the hypervisor: numbers that it may raise, and news of the board for everybody."""
    guest.boot()
    peer = 5 - guest.vm
    numbers = []
    for slot in (0, 1):
        for owner in (peer, 4):
            code, first, _ = guest.resource(PXIRQ, slot, 1 + slot, owner, 2)
            if code == 0:
                numbers.append((first, owner))
    say = u32(SYSCONF, peer), u32(SYSCONF, 4), *(u32(*each) for each in numbers)
    guest.say("triggering")
    while True:  # until it is killed
        for arguments in say:
            guest.ask(XIRQ_TRIGGER, arguments)


# --- the administration area --------------------------------------------------------------------------


def _up(guest: Guest) -> None:
    guest.boot()
    guest.admin(0, SERVER if guest.vm == 2 else CLIENT)
    guest.link_up(0, guest.role)
    guest.say("up")


def head_jumps(guest: Guest) -> None:
    _up(guest)
    guest.head(8)
    guest.ring()
    guest.idle()


def head_goes_back(guest: Guest) -> None:
    _up(guest)
    guest.head(-1)
    guest.ring()
    guest.idle()


def information_too_long(guest: Guest) -> None:
    _up(guest)
    guest.send(5 if guest.role == SERVER else 1, 1, info=0xFFFFFFFF)
    guest.idle()


def unknown_kind(guest: Guest) -> None:
    _up(guest)
    guest.send(99)
    guest.idle()


def kind_of_the_other_direction(guest: Guest) -> None:
    _up(guest)
    guest.send(1 if guest.role == SERVER else 5, 1)
    guest.idle()


def tail_jumps(guest: Guest) -> None:
    _up(guest)
    guest.tail(5)
    if guest.role == CLIENT:  # the server answers this, and then finds our index
        guest.send(2, 1)
    guest.idle()


def area_of_noise(guest: Guest) -> None:
    _up(guest)
    noise = guest.random.randbytes(8192)
    guest.area_memory[guest.area : guest.area + 8192] = noise
    guest.ring()
    guest.idle()


def session_number_out_of_range(guest: Guest) -> None:
    _up(guest)
    guest.send(1, 5000)
    guest.idle()


def session_number_twice(guest: Guest) -> None:
    _up(guest)
    guest.send(1, 7)
    guest.send(1, 7)
    guest.idle()


def channel_number_out_of_range(guest: Guest) -> None:
    _up(guest)
    guest.send(3, 1, 0xFFFFFFFF, 1)
    guest.idle()


def answers_nobody_asked_for(guest: Guest) -> None:
    _up(guest)
    for kind in (5, 6, 7, 8, 9, 10) if guest.role == SERVER else (2, 4):
        for number in (0, 1, 1024, 0xFFFFFFFF):
            # Answers to the client; the server answers a destroy, and we take that.
            guest.send(kind, number, number)
            taken = struct.unpack_from("<I", guest.area_memory, guest.area + 128 * guest.role + 64)
            while taken[0] != guest.sent:
                guest.tail(
                    struct.unpack_from(
                        "<I", guest.area_memory, guest.area + 128 * (1 - guest.role)
                    )[0]
                )
                guest.ring()
                taken = struct.unpack_from(
                    "<I", guest.area_memory, guest.area + 128 * guest.role + 64
                )
    guest.idle()
