"""Granting through a whole bench: grant and deny of one importer, of one of three, and what its wake-ups cost bare."""

from __future__ import annotations

import os
import select
import socket
import statistics
import time
from collections.abc import Callable
from typing import Any

import measure

from hyplink import Bench, errors

PAGE = 4096
IMPORTERS = (2, 4, 5)
BOARD = "&vm3_vplatform { };\n" + "".join(
    f'&vm{vm}_vplatform {{ vm-memory@3 {{ compatible = "vl,vm-memory"; vl,vm-id = <3>; }}; }};\n'
    for vm in IMPORTERS
)


def median(body: Callable[[], float], rounds: int) -> float:
    """Microseconds; the body says itself what of it counts."""
    body()
    return statistics.median(body() for _ in range(rounds)) * 1e6


def work(
    app: Any, sizes: tuple[int, ...], rounds: int, orders: int, answers: int
) -> dict[str, float]:
    """Inside VM 3. Importers map when told to through a pipe: what they hold is not this process's."""
    clock = time.perf_counter
    found: dict[str, float] = {}
    region = app.memory.alloc(max(sizes))
    region.view[:] = b"\x05" * region.nbytes

    def timed(body: Callable[[], object]) -> float:
        began = clock()
        body()
        return clock() - began

    def importers(word: bytes, nbytes: int) -> None:
        """4: VM 4 maps them; k, s, l: VMs 2 and 5 map them, look at them, let them go."""
        os.write(orders, word + region.address.to_bytes(8, "little") + nbytes.to_bytes(8, "little"))
        os.read(answers, 1)

    for nbytes in sizes:
        pages = (region.address, nbytes)

        def one_more(
            words: bytes = b"4", pages: tuple[int, int] = pages, nbytes: int = nbytes
        ) -> float:
            app.memory.grant(4, pages, "rw")
            for word in words:
                importers(bytes([word]), nbytes)
            return timed(lambda: app.memory.deny(4, pages, "rw"))

        found[f"deny {nbytes}"] = median(one_more, rounds)
        for vm in (2, 5):
            app.memory.grant(vm, pages, "rw")
        importers(b"k", nbytes)
        found[f"deny of three {nbytes}"] = median(lambda: one_more(b"s4"), rounds)
        found[f"again {nbytes}"] = median(one_more, rounds)
        importers(b"l", nbytes)
        for vm in (2, 5):
            app.memory.deny(vm, pages, "rw")
    found["ask"] = median(
        lambda: timed(lambda: app.memory.verify(2, (region.address, PAGE))), rounds
    )
    return found


def chain(hops: list[int], rounds: int) -> float:
    """A word there and back through processes that sleep: hops[i] of them at depth i, all at a time."""

    def serve(up: socket.socket, depth: int) -> None:
        below = children(depth + 1)
        while up.recv(1):
            for child in below:
                child.send(b"x")
            for child in below:
                child.recv(1)
            up.send(b"x")
        os._exit(0)

    def children(depth: int) -> list[socket.socket]:
        made = []
        for _ in range(hops[depth] if depth < len(hops) else 0):
            mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            if os.fork() == 0:
                mine.close()
                for other in made:
                    other.close()
                serve(theirs, depth)
            theirs.close()
            made.append(mine)
        return made

    first = children(0)

    def once() -> float:
        began = time.perf_counter()
        for child in first:
            child.send(b"x")
        for child in first:
            child.recv(1)
        return time.perf_counter() - began

    took = median(once, rounds)
    for child in first:
        child.close()
    for _ in first:
        os.wait()
    return took


def main() -> None:
    options = measure.arguments(__doc__ or "", passes=5)
    rounds = max(20, int(300 * options.scale))
    sizes = (PAGE, 2 << 20)

    def body() -> list[dict[str, Any]]:
        found: dict[str, list[float]] = {}
        for _ in range(options.passes):
            for name, hops in (("bare deny", [1, 1]), ("bare hold", [1, 1, 2, 1])):
                found.setdefault(name, []).append(chain(hops, rounds))
            for figures in (through_a_bench(sizes, rounds // 2), maps_at_levels(rounds)):
                for name, value in figures.items():
                    found.setdefault(name, []).append(value)
        sums = [a + b for a, b in zip(found["bare deny"], found["bare hold"], strict=True)]
        made = [
            measure.figure(
                "a word through two sleeping processes and back", "us", found["bare deny"]
            ),
            measure.figure("… and on to two kernels and two applications of theirs", "us", sums),
            measure.figure("ask the hypervisor (verify)", "us", found["ask"]),
        ]
        for nbytes, size in ((PAGE, "4 KiB"), (2 << 20, "2 MiB")):
            one, three = found[f"deny {nbytes}"], found[f"deny of three {nbytes}"]
            made.append(measure.figure(f"deny the only importer, {size}", "us", one))
            made.append(
                measure.figure(
                    f"deny one of three, two keep it, {size}",
                    "us",
                    three,
                    goal=1.2,
                    limit=("deny of the only one", one),
                )
            )
            made.append(
                measure.figure(
                    f"… before those who keep it may have mapped what the last one left, {size}",
                    "us",
                    found[f"again {nbytes}"],
                    limit=("deny of the only one", one),
                )
            )
        made.append(
            measure.figure("map a page at level memfd and unmap it", "us", found["map memfd"])
        )
        if "map broker" in found:
            limit = ("memfd", found["map memfd"])
            made.append(measure.figure("… at level broker", "us", found["map broker"], limit=limit))
        return made

    measure.run("perf_grants", options, body)


def through_a_bench(sizes: tuple[int, ...], rounds: int) -> dict[str, float]:
    """The exporter is a program in VM 3; the importers one each in VMs 2, 4 and 5."""
    with Bench.from_dts(BOARD, backend="process") as bench:
        order, orders = os.pipe()
        answer, answers = os.pipe()
        pipes = {vm: (os.pipe(), os.pipe()) for vm in IMPORTERS}
        path = f"/proc/{os.getpid()}/fd"
        for vm, ((take, _), (_, say)) in pipes.items():
            bench.vm(vm).start(lambda app, take=take, say=say: importer(app, path, take, say))
        guest = bench.vm(3).start(
            lambda app: work(
                app,
                sizes,
                rounds,
                os.open(f"{path}/{orders}", os.O_WRONLY),
                os.open(f"{path}/{answer}", os.O_RDONLY),
            )
        )
        while not guest.done():
            word = read_ready(order, guest)
            if not word:
                break
            for vm in (4,) if word[:1] == b"4" else (2, 5):
                (_, tell), (hear, _) = pipes[vm]
                os.write(tell, word)
                os.read(hear, 1)
            os.write(answers, b"x")
        for (_, tell), _ in pipes.values():
            os.write(tell, bytes(17))
        found = guest.result()
        for ends in (
            (order, orders),
            (answer, answers),
            *(end for two in pipes.values() for end in two),
        ):
            for fd in ends:
                os.close(fd)
        return found


def maps_at_levels(rounds: int) -> dict[str, float]:
    """An importer maps a page and lets it go again."""
    found = {}
    with Bench.from_dts(BOARD, backend="process") as bench:
        exporter, importer = bench.vm(3).memory, bench.vm(2).memory
        for level in ("memfd", "broker"):
            region = exporter.alloc(PAGE)
            try:
                exporter.grant(2, region, "rw", level=level)
            except errors.Unsupported as refused:
                print(refused)
                continue

            def once(pages: tuple[int, int] = region.pages()) -> float:
                began = time.perf_counter()
                importer.map(*pages, writable=True).close()
                return time.perf_counter() - began

            found[f"map {level}"] = median(once, rounds)
    return found


def read_ready(order: int, guest: Any) -> bytes:
    while not select.select([order], [], [], 0.05)[0]:
        if guest.done():
            return b""
    return os.read(order, 17)


def importer(app: Any, path: str, take: int, say: int) -> None:
    """Map what it is told, until it is told something else."""
    orders, answers = os.open(f"{path}/{take}", os.O_RDONLY), os.open(f"{path}/{say}", os.O_WRONLY)
    window = None
    while (word := os.read(orders, 17)) and word[0]:
        if word[:1] == b"s":
            assert window is not None
            assert window.read(0, 1) == b"\x05"
            os.write(answers, b"x")
            continue
        if window is not None:
            window.close()
            window = None
        if word[:1] != b"l":
            at, nbytes = (int.from_bytes(word[i : i + 8], "little") for i in (1, 9))
            window = app.memory.map(at, nbytes, writable=True)
            assert window.view[0] == 5
        os.write(answers, b"x")


if __name__ == "__main__":
    main()
