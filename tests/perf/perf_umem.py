"""A vUmem buffer's life against a memfd passed by hand; access to one of vUmem and one of vION against local memory."""

from __future__ import annotations

import mmap
import os
import socket
import statistics
import time
from collections.abc import Callable
from multiprocessing import get_context
from typing import Any

import measure
import numpy

from hyplink import Bench, umem

SIZE = 2 << 20
BOARD = """
&vm2_vdevs {
    be: vogl@be { compatible = "vogl"; info = "vumem-pdev=128K"; server; };
    i: vrpc@i { compatible = "vrpc"; info = "vion"; server; };
};
&vm3_vdevs {
    vogl@fe { peer-phandle = <&be>; client; info = "vumem-pdev=128K"; };
    vrpc@i { peer-phandle = <&i>; client; info = "vion"; };
};
"""

# What a life cannot do without: two calls, each from the client's application through its kernel and the peer's to
# the server's application and back the same way.
WAKES = 2 * 6
PING = b"ping"


class Frames:
    """A server that makes memory for each buffer and forgets it with it."""

    def __init__(self) -> None:
        self.memory: dict[int, Any] = {}

    def alloc(self, request: umem.Request) -> Any:
        self.memory[request.buffer] = umem.Memory(int.from_bytes(request.argument, "little"))
        return self.memory[request.buffer]

    def free(self, request: umem.Request) -> None:
        self.memory.pop(request.buffer, None)


def by_hand(back: socket.socket) -> None:
    """The server without hyplink: a memfd, mapped here, handed over; a word to free it."""
    while (asked := back.recv(8)) and int.from_bytes(asked, "little"):
        if asked == PING:
            back.send(PING)
            continue
        size = int.from_bytes(asked, "little")
        fd = os.memfd_create("by-hand")
        os.ftruncate(fd, size)
        mapped = mmap.mmap(fd, size)
        socket.send_fds(back, [b"ok"], [fd])
        back.recv(8)
        mapped.close()
        os.close(fd)
        back.send(b"ok")


def ping(front: socket.socket) -> None:
    """Two wakes and nothing else."""
    front.send(PING)
    front.recv(8)


def touch(view: Any) -> None:
    numpy.frombuffer(view, "u1")[:: mmap.PAGESIZE] = 1


def hand_life(front: socket.socket, touched: bool) -> None:
    front.send(SIZE.to_bytes(8, "little"))
    _, fds, _, _ = socket.recv_fds(front, 8, 1)
    mapped = mmap.mmap(fds[0], SIZE)
    if touched:
        touch(mapped)
    mapped.close()
    os.close(fds[0])
    front.send(bytes(8))
    front.recv(8)


def umem_life(session: umem.Session, touched: bool) -> None:
    buffer = session.alloc(SIZE.to_bytes(8, "little"))
    view = buffer.map()
    if touched:
        touch(view)
    del view
    buffer.unmap()
    buffer.free()


def seconds(body: Callable[[], object], rounds: int) -> float:
    body()
    began = time.perf_counter()
    for _ in range(rounds):
        body()
    return (time.perf_counter() - began) / rounds


def typical(body: Callable[[], object], rounds: int) -> float:
    """Seconds of the median round: each is short, and what interrupts one of them does not count."""
    took = []
    for _ in range(rounds):
        began = time.perf_counter()
        body()
        took.append(time.perf_counter() - began)
    return statistics.median(took)


def main() -> None:
    options = measure.arguments(__doc__ or "", passes=7)
    rounds = max(10, int(200 * options.scale))

    def body() -> list[dict[str, Any]]:
        found: dict[str, list[float]] = {}
        context = get_context("spawn")
        front, back = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        hand = context.Process(target=by_hand, args=(back,))
        hand.start()
        back.close()
        with Bench.from_dts(BOARD, backend="process") as bench:
            bench.vm(2).start(umem.serve("vogl0", Frames))
            session = bench.vm(3).umem("vogl0").session()
            buffer = session.alloc((4 * SIZE).to_bytes(8, "little"))
            shared = numpy.frombuffer(buffer.map(), "u8")
            lender, borrower = bench.vm(2).ion(), bench.vm(3).ion()
            exported = lender.alloc(4 * SIZE)
            imported = borrower.import_buffer(exported.share())
            lent = numpy.frombuffer(imported.map(), "u8")
            local = numpy.frombuffer(mmap.mmap(-1, 4 * SIZE), "u8")
            order = numpy.random.default_rng(1).permutation(len(local))[: 1 << 16]
            for _ in range(options.passes):
                one = seconds(lambda: ping(front), rounds) / 2
                found.setdefault("floor", []).append(WAKES * one * 1e6)
                for touched, name in ((False, "untouched"), (True, "every page touched")):
                    for who, life in (
                        ("by hand", lambda touched=touched: hand_life(front, touched)),
                        ("vUmem", lambda touched=touched: umem_life(session, touched)),
                    ):
                        took = seconds(life, rounds) * 1e6
                        found.setdefault(f"{who}, {name}", []).append(took)
                for where, memory in (("local", local), ("vUmem", shared), ("vION", lent)):
                    took = typical(lambda memory=memory: memory.fill(7), 20)
                    found.setdefault(f"{where}, fill", []).append(memory.nbytes / took / 1e9)
                    took = typical(lambda memory=memory: memory[order].sum(), 20)
                    found.setdefault(f"{where}, random", []).append(len(order) / took / 1e6)
            del shared, lent, memory
            buffer.free()
            session.close()
        front.send(bytes(8))
        front.close()
        hand.join()
        made = [
            measure.figure(
                f"the floor of a life: {WAKES} wakes of a process by a socket", "us", found["floor"]
            ),
            measure.figure(
                "a life, untouched, of that floor",
                "us",
                found["vUmem, untouched"],
                limit=("the floor", found["floor"]),
            ),
        ]
        for name in ("untouched", "every page touched"):
            limit = ("memfd passed by hand", found[f"by hand, {name}"])
            made.append(
                measure.figure(
                    f"alloc, map, unmap, free of 2 MiB, {name}",
                    "us",
                    found[f"vUmem, {name}"],
                    goal=1.5,
                    limit=limit,
                )
            )
        for what, unit in (("fill", "GB/s"), ("random", "M/s")):
            limit = ("local memory", found[f"local, {what}"])
            for whose in ("vUmem", "vION"):
                name = f"a mapped {whose} buffer of 8 MiB, {what}"
                made.append(
                    measure.figure(name, unit, found[f"{whose}, {what}"], goal=0.95, limit=limit)
                )
        return made

    measure.run("perf_umem", options, body)


if __name__ == "__main__":
    main()
