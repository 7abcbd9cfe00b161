"""An application that misuses its way to the guest kernel. Descriptor 3 is that way, 4 takes reports."""

from __future__ import annotations

import array
import os
import random
import socket
import struct
import sys

OPS = (1, 2, 3, 4, 5, 16, 17, 18, 19, 64, 65, 66, 67, 68, 69, 0, 6, 99, 0xFFFFFFFF)
OPEN, CLOSE, SESSION_CREATE, SESSION_ACCEPT, CHANNEL_CREATE = 2, 3, 16, 17, 18
ENOMEM = 12

way = socket.socket(fileno=3)
dice = random.Random(int(sys.argv[2]))


def say(word: str) -> None:
    os.write(4, f"{word}\n".encode())


def request(sequence: int, op: int, handle: int = 0, args=(0,) * 5, data: bytes = b"") -> bytes:
    return struct.pack("<III5QI", sequence, op, handle, *args, len(data)) + data


def drain() -> int:
    """Take what has been answered; returns how much."""
    count = 0
    while True:
        try:
            message, ancillary, _, _ = way.recvmsg(1 << 18, 4096, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return count
        if not message:
            os._exit(0)
        count += 1
        for _, _, data in ancillary:
            for fd in array.array("i", data):
                os.close(fd)


def ask(sequence: int, op: int, handle: int = 0, args=(0,) * 5, data: bytes = b""):
    """(errno, first value) of one request."""
    way.send(request(sequence, op, handle, args, data))
    while True:
        message, ancillary, _, _ = way.recvmsg(1 << 18, 4096)
        for _, _, passed in ancillary:
            for fd in array.array("i", passed):
                os.close(fd)
        answered, code, value = struct.unpack_from("<IiQ", message)
        if answered == sequence:
            return code, value


def random_calls() -> None:
    names = [b"vrpq-clt-vogl0", b"vrpq-srv-vogl0", b"/dev/vrpq-clt-vogl0", b"", b"\0\xff" * 40]
    for sequence in range(1, 4000):
        args = [dice.choice((0, 1, 7, 512, 1 << 12, 1 << 32, (1 << 64) - 1)) for _ in range(5)]
        data = dice.choice((*names, dice.randbytes(dice.randrange(600))))
        op = OPEN if dice.random() < 0.2 else dice.choice(OPS)
        way.send(request(dice.randrange(1, sequence + 1), op, dice.randrange(12), args, data))
        drain()
    say("survived")


def random_bytes() -> None:
    way.send(dice.randbytes(dice.randrange(1, 4000)))
    way.recv(100)


def wrong_length() -> None:
    way.send(request(1, 4)[:-1])
    way.recv(100)


def descriptors() -> None:
    fds = array.array("i", [4] * 5)
    way.sendmsg([request(1, 4)], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)])
    way.recv(100)


def never_reads() -> None:
    sequence = 0
    while True:
        sequence += 1
        way.send(request(sequence, 4))


def too_many_handles() -> None:
    opened = []
    while True:
        code, handle = ask(len(opened) + 1, OPEN, data=b"vrpq-clt-vogl0")
        if code != 0:
            break
        opened.append(handle)
    assert code == ENOMEM, code
    assert len(opened) >= 100
    for handle in opened:  # what is open can still be closed
        assert ask(1, CLOSE, handle)[0] == 0
    assert ask(1, OPEN, data=b"vrpq-clt-vogl0")[0] == 0
    say("survived")


def too_many_waiting() -> None:
    _, handle = ask(1, OPEN, data=b"vrpq-srv-vogl0")
    for sequence in range(2, 3000):
        way.send(request(sequence, SESSION_ACCEPT, handle))
    drain()
    say("survived")


def sessions_that_nobody_closes() -> None:
    _, handle = ask(1, OPEN, data=b"vrpq-clt-vogl0")
    for sequence in range(2, 3000):
        way.send(request(sequence, SESSION_CREATE, handle, data=b"x" * dice.randrange(500)))
        drain()
    say("survived")


globals()[sys.argv[1]]()
