"""What the ends of vUmem and vION have counted, and `hyplink stat` of them."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hyplink import errors
from hyplink.bench import Bench
from hyplink.cli import main
from hyplink.observe import Observer
from hyplink.stats import BufferEnd, BufferStats, Stats
from hyplink.testing import background, eventually
from hyplink.umem import Command, Memory

sys.path.insert(0, str(Path(__file__).parent.parent / "conformance"))

from umem_lib import PAGE, Pair

BOARD = """
&vm2_vdevs {
    be: vogl@be { compatible = "vogl"; info = "vumem-pdev=8K"; server; };
    i: vrpc@i { compatible = "vrpc"; info = "vion,1K"; server; };
};
&vm3_vdevs {
    vogl@fe { peer-phandle = <&be>; client; info = "vumem-pdev=8K"; };
    vrpc@i { peer-phandle = <&i>; client; info = "vion,1K"; };
};
"""
pytestmark = [
    pytest.mark.hyplink_dts(BOARD),
    pytest.mark.hyplink_backend("thread", "process"),
]


def end(
    bench: Bench, role: str, found: BufferStats | None = None, link: str = "vogl0"
) -> BufferEnd:
    (only,) = (
        one
        for one in (bench.stats.buffers() if found is None else found)
        if (one.link, one.role) == (link, role)
    )
    return only


@pytest.fixture
def pair(bench: Bench) -> Iterator[Pair]:
    pair = Pair(bench)
    yield pair
    pair.close()


def test_both_ends_count_buffers_bytes_and_requests_by_kind(bench: Bench, pair: Pair) -> None:
    first, second = pair.alloc(Memory(3 * PAGE)), pair.alloc(Memory(PAGE))
    first.map()
    first.unmap()
    pair.free(first)
    pair.asking(lambda: second.control(b"?"), *pair.fine(Command.CONTROL))
    asked, served = end(bench, "client"), end(bench, "server")
    for one in (asked, served):
        assert (one.mechanism, one.sessions) == ("vUmem", 1)
        assert (one.buffers, one.buffers_peak) == (1, 2)
        assert (one.nbytes, one.nbytes_peak) == (PAGE, 4 * PAGE)
        assert (one.errors, one.area_nbytes) == (0, 4096)
        assert one.xirqs == 5
    assert dict(served.requests) == {"alloc": 2, "session": 1, "free": 1, "control": 1}
    assert dict(asked.requests) == {**served.requests, "map": 1, "unmap": 1}
    assert (served.answers, asked.answers) == (5, 7)
    assert all(row.latency_count for row in served.kinds)
    # A slot, the head of an answer, one chunk; of the request, as much without the chunk.
    assert (served.area_peak, asked.area_peak) == (128 + 160 + 16, 128 + 160)


def test_a_refusal_is_an_error_at_both_ends(bench: Bench, pair: Pair) -> None:
    before = bench.stats
    with pytest.raises(errors.LinkError):
        pair.asking(pair.session.alloc, pair.failing(28))
    for role in ("client", "server"):
        fresh = end(bench, role, bench.stats.buffers(since=before))
        assert (fresh.answers, fresh.errors, dict(fresh.requests)) == (1, 1, {"alloc": 1})
        assert (fresh.sessions, fresh.buffers) == (1, 0)


def test_who_waits_for_its_turn_is_counted(bench: Bench, pair: Pair) -> None:
    asked = [background(bench, pair.session.alloc) for _ in range(3)]
    eventually(bench, lambda: end(bench, "client").waited == 2)
    for _ in asked:
        pair.server.receive()
        pair.server.respond(Memory(PAGE))
    buffers = [one.result() for one in asked]
    assert end(bench, "client").buffers == len(buffers)
    # A free that nobody answers would hold up the end of the session.
    pair.server.close()


def test_a_server_that_closes_leaves_nothing_at_either_end(bench: Bench, pair: Pair) -> None:
    pair.alloc(Memory(PAGE)).map()
    pair.server.close()
    for role in ("client", "server"):
        one = end(bench, role)
        assert (one.sessions, one.buffers, one.nbytes, one.nbytes_peak) == (0, 0, 0, PAGE)
        assert one.requests["revoke"] == 1


@pytest.mark.parametrize("vm", [2, 3])
def test_a_vm_that_died_has_nothing_and_its_next_life_counts_on(
    bench: Bench, pair: Pair, vm: int
) -> None:
    pair.alloc(Memory(PAGE))
    bench.vm(vm).kill()
    pair.server.close()
    pair.client_application.close()
    role = "server" if vm == 2 else "client"
    one = end(bench, role)
    assert (one.buffers, one.nbytes, one.sessions, one.requests["alloc"]) == (0, 0, 0, 1)
    bench.vm(vm).boot()
    again = Pair(bench)
    again.alloc(Memory(2 * PAGE))
    one = end(bench, role)
    assert (one.buffers, one.nbytes, one.nbytes_peak) == (1, 2 * PAGE, 2 * PAGE)
    assert one.requests["alloc"] == 2
    again.close()


def test_an_export_counts_where_it_is_lent_and_where_it_is_imported(bench: Bench) -> None:
    with bench.vm(2).ion() as lends, bench.vm(3).ion() as borrows:
        mine = lends.alloc(2 * PAGE)
        ident = mine.share()
        theirs = borrows.import_buffer(ident)
        with pytest.raises(errors.NotFound):
            borrows.import_buffer(ident + 1)
        ends = [end(bench, role, link="vrpc0") for role in ("server", "client")]
        for one in ends:
            assert (one.mechanism, one.buffers, one.nbytes) == ("vION", 1, 2 * PAGE)
            assert (dict(one.requests), one.errors, one.area_nbytes) == ({"import": 2}, 1, 1024)
        theirs.close()
        eventually(bench, lambda: end(bench, "server", link="vrpc0").buffers == 0)
        eventually(bench, lambda: end(bench, "client", link="vrpc0").requests.get("release") == 1)
        assert end(bench, "client", link="vrpc0").buffers == 0


def test_hyplink_stat_shows_them_from_elsewhere(
    bench: Bench, pair: Pair, capsys: pytest.CaptureFixture[str]
) -> None:
    pair.alloc(Memory(3 * PAGE)).map()
    eventually(bench, lambda: end(bench, "client").requests.get("map") == 1)  # is told later
    with Observer(bench) as seen:
        me = ["stat", "--bench", str(seen.address)]
        assert main(me) == 0
        shown = capsys.readouterr().out
        assert main([*me, "--json"]) == 0
        told = json.loads(capsys.readouterr().out)["buffers"]
    rows = [line.split() for line in shown.splitlines() if line.startswith("vogl0")]
    assert ["vogl0", "VM", "3", "client", "vUmem", "1", "1", "1"] in [row[:8] for row in rows]
    assert ["vogl0", "VM", "3", "client", "map", "1", "-", "-"] in rows
    (mine,) = (one for one in told if one["role"] == "client")
    assert (mine["mechanism"], mine["nbytes"]) == ("vUmem", 3 * PAGE)
    assert {row["request"]: row["requests"] for row in mine["kinds"]} == {
        "session": 1,
        "alloc": 1,
        "map": 1,
    }


def test_counters_survive_the_way_through_json(bench: Bench, pair: Pair) -> None:
    pair.alloc(Memory(PAGE))
    now = bench.stats
    assert list(Stats.from_json(now.to_json()).buffers()) == list(now.buffers())


def test_nothing_lent_and_nothing_said_of_a_bench_without(bench: Bench) -> None:
    assert str(BufferStats([])) == "no buffer was asked for yet"
    assert len(bench.stats.buffers()) == 0
