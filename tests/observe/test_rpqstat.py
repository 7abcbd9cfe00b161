"""The guides' vrpqstat: both ends of a channel together, procedures, history, drawings."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

import pytest

from hyplink.bench import Bench
from hyplink.cli import main
from hyplink.observe import Observer
from hyplink.stats import History, RpqChannel, RpqStats, Stats, procedure_names
from hyplink.testing import RpqPair, background, connect_rpq, eventually

BOARD = """
&vm2_vdevs {
    be: vogl@be { compatible = "vogl"; info = "vrpq-reqs=256,vrpq-pmem=64K"; server; };
};
&vm3_vdevs { vogl@fe { peer-phandle = <&be>; client; }; };
"""
GROUP = 5 << 16
IDL = """idl 1;
module t.stat version 1.0;
interface thing group 5 { async draw(u32 n) = 1; sync u32 count() = 2; }
"""


pytestmark = [pytest.mark.hyplink_dts(BOARD), pytest.mark.hyplink_backend("thread")]


@pytest.fixture
def pair(bench: Bench) -> Iterator[RpqPair]:
    with connect_rpq(bench, parameter_bytes=32 << 10, timeout=60) as both:
        yield both


def channel(pair: RpqPair, since: Stats | None = None) -> RpqChannel:
    (only,) = pair.bench.stats.rpq(since=since)
    assert isinstance(only, RpqChannel)
    return only


def drain(pair: RpqPair, count: int) -> None:
    while count:
        count -= len(pair.server.receive())
    pair.server.acknowledge()


def post(pair: RpqPair, count: int, proc: int = GROUP | 1, size: int = 16) -> None:
    for _ in range(count):
        pair.client.post_bytes(proc, bytes(size))
    pair.client.notify()


def call(pair: RpqPair, proc: int = GROUP | 2) -> None:
    answer = pair.call(proc, b"", 8)
    (request,) = pair.server.receive(timeout=60)
    assert request.proc == proc
    pair.server.acknowledge()
    answer.result()


def test_stacked_requests_are_those_nobody_picked_up(pair: RpqPair) -> None:
    post(pair, 10)
    assert channel(pair).stacked == 10
    drain(pair, 10)
    one = channel(pair)
    assert one.stacked == 0
    assert one.requests == one.received == 10
    assert one.stacked_peak == 10


def test_pmem_in_use_and_its_peak(pair: RpqPair) -> None:
    post(pair, 4, size=100)
    assert len(pair.server.receive()) == 4
    assert channel(pair).pmem == 4 * (16 + 104)
    drain(pair, 0)
    assert pair.server.try_receive() is None
    one = channel(pair)
    assert one.pmem == 0
    assert one.pmem_peak == 4 * (16 + 104)


def test_posts_per_notify_mean_and_most(pair: RpqPair) -> None:
    for count in (2, 8, 5):
        post(pair, count)
    drain(pair, 15)
    one = channel(pair)
    assert one.posts_per_notify == 5
    assert one.posts_per_notify_max == 8


@pytest.mark.parametrize(("size", "for_want_of_requests"), [(0, True), (4096, False)])
def test_full_events_say_what_ran_out(pair: RpqPair, size: int, for_want_of_requests: bool) -> None:
    filling = background(pair.bench, lambda: post(pair, 300, size=size))
    eventually(pair.bench, lambda: channel(pair).full_events > 0)
    while not filling.done():
        pair.server.try_receive()
    filling.result()
    one = channel(pair)
    assert one.full_requests == (one.full_events if for_want_of_requests else 0)


def test_recycle_passes_are_counted(pair: RpqPair) -> None:
    for _ in range(10):
        post(pair, 64)
        drain(pair, 64)
    one = channel(pair)
    assert 0 < one.recycle_passes < 640
    assert one.requests_per_recycle == pytest.approx(640 / one.recycle_passes)


def test_nothing_is_counted_by_procedure_until_asked(pair: RpqPair) -> None:
    post(pair, 3)
    drain(pair, 3)
    assert channel(pair).procedures == []
    assert "procedures are not counted" in str(pair.bench.stats.rpq())


def test_procedures_are_counted_and_calls_timed(pair: RpqPair) -> None:
    pair.bench.count_procedures()
    post(pair, 5, size=12)
    drain(pair, 5)
    call(pair)
    call(pair)
    draw, count = channel(pair).procedures
    assert (draw.proc, draw.requests, draw.bytes) == (GROUP | 1, 5, 5 * 16)
    assert (count.group, count.ordinal, count.requests, count.latency_count) == (5, 2, 2, 2)
    assert 0 < count.latency_mean_ns <= count.latency_max_ns
    pair.bench.count_procedures(False)
    post(pair, 5)
    drain(pair, 5)
    assert channel(pair).procedures[0].requests == 5


def test_an_application_that_starts_later_counts_too(bench: Bench) -> None:
    bench.count_procedures()
    with connect_rpq(bench, timeout=60) as both:
        post(both, 1)
        drain(both, 1)
        assert len(channel(both).procedures) == 1


def test_the_table_of_procedures_is_bounded(pair: RpqPair) -> None:
    pair.bench.count_procedures()
    for start in range(0, 600, 50):
        for proc in range(start, start + 50):
            pair.client.post_bytes(proc)
        pair.client.notify()
        drain(pair, 50)
    one = channel(pair)
    assert one.server is not None
    rows = one.procedures
    assert 128 <= len(rows) <= 256
    assert sum(row.requests for row in rows) + one.server.uncounted == 600


def test_a_counter_slot_used_again_starts_empty(pair: RpqPair) -> None:
    pair.bench.count_procedures()
    for number in range(130):
        server, client = pair.channel(parameter_bytes=4096)
        if number == 0:
            client.post_bytes(GROUP | 1)
            client.notify()
            assert len(server.receive()) == 1
            assert any(end.procedures for end in pair.bench.stats)
        client.close()
        server.close()
    rows = [row for end in pair.bench.stats for row in end.procedures]
    assert rows == []


def test_a_difference_keeps_what_is_so_now(pair: RpqPair) -> None:
    pair.bench.count_procedures()
    post(pair, 4)
    drain(pair, 4)
    before = pair.bench.stats
    post(pair, 3)
    one = channel(pair, since=before)
    assert one.requests == 3
    assert one.stacked == 3
    drain(pair, 3)
    (draw,) = channel(pair, since=before).procedures
    assert draw.requests == 3


def test_json_and_back_keeps_procedures(pair: RpqPair) -> None:
    pair.bench.count_procedures()
    post(pair, 2)
    drain(pair, 2)
    call(pair)
    stats = pair.bench.stats
    again = Stats.from_json(json.loads(json.dumps(stats.to_json())))
    assert again.rpq().to_json() == stats.rpq().to_json()


def test_names_come_from_an_interface(pair: RpqPair, tmp_path: Path) -> None:
    file = tmp_path / "a.vidl"
    file.write_text(IDL)
    names = procedure_names(file)
    assert names == {GROUP | 1: "thing.draw", GROUP | 2: "thing.count"}
    pair.bench.count_procedures()
    post(pair, 2)
    drain(pair, 2)
    stats = pair.bench.stats.rpq(names)
    assert "thing.draw" in str(stats)
    assert stats.to_json()["procedures"][0]["name"] == "thing.draw"
    assert "5.1" in str(pair.bench.stats.rpq())


def test_the_drawing_has_a_bar_for_each_procedure(pair: RpqPair) -> None:
    pair.bench.count_procedures()
    for proc in range(1, 31):
        post(pair, proc, GROUP | proc)
        drain(pair, proc)
    call(pair)
    svg = pair.bench.stats.rpq({GROUP | 30: "thing.most"}).svg()
    root = ET.fromstring(svg)
    text = "".join(root.itertext())
    assert "thing.most" in text
    assert "and 6 more" in text
    assert "<svg" in pair.bench.stats.rpq()._repr_html_()


def test_history_draws_what_happened_between_looks(pair: RpqPair) -> None:
    times = iter([0.0, 0.5, 1.0, 1.5])
    history = History(lambda: pair.bench.stats, clock=lambda: next(times), most=3)
    history.look()
    post(pair, 10)
    history.look()
    drain(pair, 10)
    history.look()
    history.look()
    assert len(history) == 3
    assert [m.stacked for m in history.moments] == [10, 0, 0]
    assert [m.requests for m in history.moments] == [20, 0, 0]
    assert history.moments[0].notifies == 2
    root = ET.fromstring(history.svg())
    text = "".join(root.itertext())
    assert "requests stacked" in text
    assert "20/s" in text
    assert json.loads(json.dumps(history.to_json()))[0]["at"] == 0.5
    ET.fromstring(History(lambda: pair.bench.stats).svg())


def test_hyplink_stat_shows_it_from_elsewhere(
    pair: RpqPair, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, svg = tmp_path / "a.vidl", tmp_path / "a.svg"
    file.write_text(IDL)
    with Observer(pair.bench) as seen:
        me = ["stat", "--bench", str(seen.address), "--idl", str(file)]
        assert main([*me, "--count", "on"]) == 0
        assert "procedures are not counted" in capsys.readouterr().out
        post(pair, 7)
        drain(pair, 7)
        assert main([*me, "--svg", str(svg)]) == 0
        assert "thing.draw" in capsys.readouterr().out
        assert "thing.draw" in svg.read_text()
        assert main([*me, "--ends"]) == 0
        assert "copies/req" in capsys.readouterr().out
        assert main([*me, "--json"]) == 0
        data = json.loads(capsys.readouterr().out)
    assert data["rpq"]["procedures"][0]["requests"] == 7
    assert data["channels"][0]["link"] == "vogl0"


def test_an_empty_bench_says_so() -> None:
    assert str(RpqStats([])) == "no channel was opened yet"
