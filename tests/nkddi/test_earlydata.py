"""The example: whoever runs it, in C or Python, exchanges data and survives restarts of either side."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import hyplink
from hyplink.examples.earlydata import earlydata

LABEL = "vearlydata0"


class Side:
    """The example on one VM, in either language; `line` gives what it says, one line a call."""

    def __init__(self, bench: hyplink.Bench, vm: int, c_program: Callable[[int], object] | None) -> None:
        self.bench, self.vm = bench, vm
        self._c_program = c_program
        self._open: list[object] = []
        self.start()

    def start(self) -> None:
        if self._c_program is not None:
            self.program = self._c_program(self.vm)
            self.lines = self.program.lines  # type: ignore[attr-defined]
            return
        read, write = os.pipe()
        self.lines = os.fdopen(read)
        path = f"/proc/{os.getpid()}/fd/{write}"
        opened = self.bench.vm(self.vm).start(lambda application: drive(application, path))
        self.guest = opened
        self._open.append(write)

    def line(self) -> str:
        return str(self.lines.readline().rstrip("\n"))

    def close(self) -> None:
        self.lines.close()
        for fd in self._open:
            os.close(fd)  # type: ignore[call-overload]
        self._open.clear()


def drive(application: hyplink.rpq.Application, path: str) -> int:
    """The Python example, saying its lines into a pipe of the test."""
    with open(path, "w", buffering=1) as out:
        return earlydata.run(application, say=lambda line: out.write(line + "\n"))


@pytest.fixture
def sides(
    processes: hyplink.Bench, run_c: Callable[..., object], earlydata_c: Path
) -> Iterator[Callable[[int, str], Side]]:
    made: list[Side] = []

    def make(vm: int, language: str) -> Side:
        made.append(Side(processes, vm, (lambda at: run_c(at, earlydata_c)) if language == "C" else None))
        return made[-1]

    yield make
    for side in made:
        side.close()


@pytest.mark.parametrize("client_language", ["C", "Python"])
@pytest.mark.parametrize("server_language", ["C", "Python"])
def test_c_and_python_talk_to_each_other_and_either_side_may_be_killed(
    processes: hyplink.Bench,
    sides: Callable[[int, str], Side],
    server_language: str,
    client_language: str,
) -> None:
    server, client = sides(2, server_language), sides(3, client_language)
    assert server.line() == "VM 2 is the server of VM 3"
    assert client.line() == "VM 3 is the client of VM 2"
    assert [server.line(), client.line(), client.line()] == [
        *("up", "up"),
        'exchanged 10, last "answer 10 of VM 2"',
    ]
    for victim, survivor, language in (
        (server, client, server_language),
        (client, server, client_language),
    ):
        processes.vm(victim.vm).kill()
        assert survivor.line() == "down"
        processes.vm(victim.vm).boot()
        again = sides(victim.vm, language)
        assert again.line().startswith(f"VM {victim.vm} is")
        assert [survivor.line(), again.line()] == ["up", "up"]
        talker = again if again.vm == 3 else survivor
        assert talker.line() == 'exchanged 10, last "answer 10 of VM 2"'
        if victim is server:
            server = again


def exchange(bench: hyplink.Bench, lives: int) -> tuple[list[str], list[str]]:
    """Both sides in Python; the client's VM is killed so often. What each has said."""
    said: tuple[list[str], list[str]] = ([], [])
    exchanged = hyplink._core.Event(bench._core)

    def note(line: str) -> None:
        said[1].append(line)
        if line.startswith("exchanged"):
            exchanged.set()

    server = bench.vm(2).start(lambda app: earlydata.run(app, lives=lives, say=said[0].append))
    for _ in range(lives):
        exchanged = hyplink._core.Event(bench._core)
        bench.vm(3).boot() if bench.vm(3).state.name == "DEAD" else None
        bench.vm(3).start(lambda app: earlydata.run(app, say=note))
        assert exchanged.wait(60.0)
        bench.vm(3).kill()
    assert server.result(timeout=60.0) == lives
    return said


def test_both_sides_as_threads_survive_restarts() -> None:
    with hyplink.Bench.from_dts("earlydata", backend="thread") as bench:
        server, client = exchange(bench, 3)
    assert server == ["VM 2 is the server of VM 3", *(["up", "down"] * 3)]
    assert client.count('exchanged 10, last "answer 10 of VM 2"') == 3


@pytest.mark.parametrize("seed", range(1, 13))
def test_every_order_that_a_seed_chooses_is_fine_and_repeats_byte_for_byte(seed: int) -> None:
    runs = []
    for _ in range(2):
        with hyplink.Bench.from_dts("earlydata", backend="thread", seed=seed) as bench:
            server, client = exchange(bench, 2)
            runs.append((server, client, bench.journal_bytes()))
    assert runs[0] == runs[1]
    assert runs[0][1].count('exchanged 10, last "answer 10 of VM 2"') == 2


def test_what_a_hostile_peer_writes_is_checked_before_it_is_used(bench: hyplink.Bench) -> None:
    from hyplink.nkddi import Nkddi

    said: list[str] = []
    with (
        bench.vm(2).application() as a,
        bench.vm(3).application() as b,
        Nkddi(a) as server_nk,
        Nkddi(b) as client_nk,
    ):
        (link,), (other,) = server_nk.vlinks("vearlydata"), client_nk.vlinks("vearlydata")
        server = earlydata.Early(server_nk, link, 10, said.append)
        peer = other.driver()
        while not (server.driver.step() and peer.step()):
            pass
        half = other.pmem(0, 2 * earlydata.HALF.size)[earlydata.HALF.size :]
        good = b"request"
        total = earlydata.checksum(1, good)
        for words in (
            (0, 1, 1, 7, total, good),
            (earlydata.MAGIC, 2, 1, 7, total, good),
            (earlydata.MAGIC, 1, 1, 7, total ^ 1, good),
            (earlydata.MAGIC, 1, 1, 0xFFFFFFFF, total, good),
            (earlydata.MAGIC, 1, 9, 7, earlydata.checksum(9, good), good),
        ):
            half[:] = earlydata.HALF.pack(*words)
            server.on_data(0)
            assert server.sequence == 0
        half[:] = earlydata.HALF.pack(earlydata.MAGIC, 1, 1, 7, total, good)
        server.on_data(0)
        assert server.sequence == 1
