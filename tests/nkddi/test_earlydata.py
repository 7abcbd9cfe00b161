"""The example: whoever runs it, in C or Python, exchanges data and survives restarts of either side."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import hyplink
from hyplink.examples.earlydata import earlydata

pytestmark = pytest.mark.hyplink_dts("earlydata")
PROCESS = pytest.mark.hyplink_backend("process")
BOTH = pytest.mark.hyplink_backend("thread", "process")


@pytest.fixture
def start(runner: Any, earlydata_c: Path) -> Callable[[int, str], Any]:
    """The example on one VM, in either language; its ``line()`` is what it says next."""

    def run(vm: int, language: str) -> Any:
        if language == "C":
            return runner.c(vm, earlydata_c)
        return runner.python(vm, earlydata.__name__)

    return run


@PROCESS
@pytest.mark.parametrize("client_language", ["C", "Python"])
@pytest.mark.parametrize("server_language", ["C", "Python"])
def test_c_and_python_talk_to_each_other_and_either_side_may_be_killed(
    bench: hyplink.Bench,
    start: Callable[[int, str], Any],
    server_language: str,
    client_language: str,
) -> None:
    languages = {2: server_language, 3: client_language}
    running = {vm: start(vm, language) for vm, language in languages.items()}
    exchanged = 'exchanged 10, last "answer 10 of VM 2"'
    assert running[2].line() == "VM 2 is the server of VM 3"
    assert running[3].line() == "VM 3 is the client of VM 2"
    assert [running[2].line(), running[3].line(), running[3].line()] == ["up", "up", exchanged]
    for victim, survivor in ((2, 3), (3, 2), (2, 3)):
        bench.vm(victim).kill()
        assert running[survivor].line() == "down"
        bench.vm(victim).boot()
        running[victim] = start(victim, languages[victim])
        assert running[victim].line().startswith(f"VM {victim} is the ")
        assert [running[2].line(), running[3].line(), running[3].line()] == ["up", "up", exchanged]


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


@BOTH
def test_what_is_heard_before_the_sysconf_is_answered_after_up(bench: hyplink.Bench) -> None:
    """An XIRQ rings its application directly, SYSCONF comes through the kernel of its VM."""
    from hyplink.nkddi import Nkddi

    said: list[str] = []
    with (
        bench.vm(2).application() as a,
        bench.vm(3).application() as b,
        Nkddi(a) as server_nk,
        Nkddi(b) as client_nk,
    ):
        server = earlydata.Early(server_nk, *server_nk.vlinks("vearlydata"), 1, said.append)
        client = earlydata.Early(client_nk, *client_nk.vlinks("vearlydata"), 1, said.append)
        assert not client.driver.step()
        assert not server.driver.step()
        assert client.driver.step()  # and its request is on the way
        server.on_data(0)
        client.on_data(0)
        assert said[2:] == ["up", "up", 'exchanged 1, last "answer 1 of VM 2"']


@BOTH
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
        while not all([server.driver.step(), peer.step()]):
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
