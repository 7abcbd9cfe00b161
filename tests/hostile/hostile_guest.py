"""A VM's program that speaks the control protocol and misbehaves. Runs in a process of its own.

It reports through a fifo; a behaviour that sees an answer it should not get exits with 42.
"""

from __future__ import annotations

import array
import mmap
import os
import random
import socket
import struct
import sys
from pathlib import Path

IDENTITY, PDEV, PUBLISH, RESOURCES, MEM_OPEN, XIRQ_BELL, XIRQ_TRIGGER = range(1, 8)
PORT_ALLOC, PORT_OPEN, PORT_FREE, SCOPE, BOOT_DONE, HALT, TAKE_EVENTS = range(8, 15)
XIRQ_ROUTE, XIRQ_LINE, XIRQ_NUMBERS = range(28, 31)
OFF, RESET, ON = 0, 1, 2
SERVER, CLIENT = 0, 1
PMEM, PDEV_PIECE, PXIRQ = 0, 1, 2
SYSCONF = 512

EPERM, ENOMEM, EFAULT, EEXIST, ENODEV, EINVAL = 1, 12, 14, 17, 19, 22


def u32(*values: int) -> bytes:
    return struct.pack(f"<{len(values)}I", *values)


def u64(*values: int) -> bytes:
    return struct.pack(f"<{len(values)}Q", *values)


class Guest:
    """The protocol, spoken correctly; behaviours use it to get where they misbehave."""

    def __init__(self, vm: int, reports: int) -> None:
        self.vm = vm
        self.socket = socket.socket(fileno=os.dup(3))
        self.reports = reports
        self.random = random.Random(vm)
        self.events = False  # came while an answer was awaited
        self.real = ""  # the program of an honest VM
        self.folder = ""  # where the test leaves what it has to tell

    def say(self, word: str) -> None:
        os.write(self.reports, f"{word}\n".encode())

    def ask(
        self, op: int, arguments: bytes = b"", objects: tuple[int, ...] = ()
    ) -> tuple[int, bytes, list[int]]:
        """One hypercall: (errno, results, descriptors)."""
        rights = (
            [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", objects))] if objects else []
        )
        self.socket.sendmsg([u32(op) + arguments], rights)
        while True:
            message, ancillary, _, _ = self.socket.recvmsg(1 << 18, 4096)
            if not message:
                os._exit(0)
            if message[:4] == u32(1):
                fds: list[int] = []
                for _, _, data in ancillary:
                    fds += array.array("i", data)
                return struct.unpack_from("<i", message, 4)[0], message[8:], fds
            self.events = True

    def tell(self, op: int, arguments: bytes) -> None:
        """One hypercall that is not answered."""
        self.socket.sendmsg([u32(op) + arguments])

    def must(self, op: int, arguments: bytes = b"") -> tuple[bytes, list[int]]:
        code, results, fds = self.ask(op, arguments)
        if code != 0:
            self.say(f"op {op} gave {code}")
            os._exit(42)
        return results, fds

    def refused(self, code: int, op: int, arguments: bytes = b"") -> None:
        got, _, _ = self.ask(op, arguments)
        if got != code:
            self.say(f"op {op} of {arguments.hex()} gave {got}, not {code}")
            os._exit(42)

    def memory(self, op: int, arguments: bytes = b"") -> tuple[int, mmap.mmap]:
        results, (fd,) = self.must(op, arguments)
        mapped = mmap.mmap(fd, os.fstat(fd).st_size)
        os.close(fd)
        return struct.unpack("<Q", results)[0] if results else 0, mapped

    # --- the way to a link that is ON

    def boot(self) -> None:
        self.base, self.pdev = self.memory(PDEV)
        self.must(BOOT_DONE)

    def descriptor(self, slot: int) -> int:
        at = struct.unpack_from("<I", self.pdev, 8)[0]
        return at + 64 * slot

    def state(self, slot: int, role: int) -> int:
        return struct.unpack_from("<I", self.pdev, self.descriptor(slot) + 24 + 8 * role)[0]

    def publish(self, slot: int, role: int, state: int) -> None:
        struct.pack_into("<I", self.pdev, self.descriptor(slot) + 24 + 8 * role, state)
        self.must(PUBLISH, u32(1, slot, role))

    def resource(self, kind: int, slot: int, number: int, owner: int, size: int):
        """(errno, first number, address) of one item."""
        request = u32(1, kind, slot, number, owner) + u64(size)
        results, _ = self.must(RESOURCES, request)
        return struct.unpack("<iIQ", results)

    def wait(self) -> None:
        """Until the hypervisor says something."""
        if not self.events and not self.socket.recv(1 << 18):
            os._exit(0)
        self.events = False
        self.ask(TAKE_EVENTS)

    def link_up(self, slot: int, role: int) -> None:
        while self.state(slot, 1 - role) == ON:
            self.wait()
        self.publish(slot, role, RESET)
        while self.state(slot, 1 - role) == OFF:
            self.wait()
        self.publish(slot, role, ON)
        while self.state(slot, 1 - role) != ON:
            self.wait()

    def admin(self, slot: int, role: int) -> None:
        """Map the administration area of the vRPQ link."""
        ids = struct.unpack_from("<I4xI", self.pdev, self.descriptor(slot) + 20)  # s_id, c_id
        _, _, at = self.resource(PMEM, slot, 0, 0, 8192)
        numbers = [self.resource(PXIRQ, slot, 1 + i, ids[1 - i], 2)[1] for i in range(2)]
        base, self.area_memory = self.memory(MEM_OPEN, u64(at))
        self.area = at - base
        self.peer = ids[1 - role]
        self.peer_xirq = numbers[0] if role == SERVER else numbers[1]
        self.role = role
        self.sent = 0
        for offset in (128 * role, 128 * (1 - role) + 64):
            self.put(offset, 0)

    def put(self, offset: int, value: int) -> None:
        struct.pack_into("<I", self.area_memory, self.area + offset, value & 0xFFFFFFFF)

    def head(self, value: int) -> None:
        """How many messages we claim to have sent."""
        self.put(128 * self.role, value)

    def tail(self, value: int) -> None:
        """How many messages we claim to have taken."""
        self.put(128 * (1 - self.role) + 64, value)

    def ring(self) -> None:
        self.must(XIRQ_TRIGGER, u32(self.peer_xirq, self.peer))

    def send(self, kind: int, session: int = 0, channel: int = 0, port: int = 0, *, info: int = 0):
        at = 512 + (self.role * 7 + self.sent % 7) * 512
        fields = u32(kind, session, channel, port, 1, 0, info, 0)
        self.area_memory[self.area + at : self.area + at + len(fields)] = fields
        self.sent += 1
        self.head(self.sent)
        self.ring()

    def idle(self) -> None:
        self.say("idle")
        while self.socket.recv(1 << 18):
            pass
        os._exit(0)


def main(hostile: int, behaviour: str, real: str, folder: str) -> None:
    import hostile_acts
    import hostile_bells
    import hostile_buffers
    import hostile_grants

    if Path(folder, "good").exists():
        os.set_inheritable(3, True)
        os.execv(real, [real, *sys.argv[1:]])
    guest = Guest(hostile, os.open(f"{folder}/reports", os.O_WRONLY))
    guest.real = real
    guest.folder = folder
    modules = (hostile_acts, hostile_bells, hostile_buffers, hostile_grants)
    (act,) = (
        vars(each)[behaviour]
        for each in modules
        if getattr(vars(each).get(behaviour), "__module__", "") == each.__name__
    )
    act(guest)
    os._exit(0)
