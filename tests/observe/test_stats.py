from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from hyplink import errors
from hyplink.stats import ChannelStats, Stats
from hyplink.stats.channels import _NUMBERS

BATCHES, BATCH = 6, 16


def end(run: Any, role: str, stats: Stats | None = None) -> list[ChannelStats]:
    return [c for c in (run.stats if stats is None else stats) if c.role == role]


def test_the_fields_stand_in_the_order_of_the_core(root: Path) -> None:
    header = (root / "src/cpp/hyplink/base/journal.hpp").read_text()
    block = re.search(r"struct ChannelCounters \{(.*?)\n\};", header, re.DOTALL)
    assert block is not None
    wide = re.findall(r"std::uint64_t ([^;]+);", block[1])
    names = [n.strip() for line in wide for n in line.split(",") if "[" not in n]
    names.remove("procedures")  # for the reader of the core: whether there is a table
    assert [name.removesuffix("_ns") for name in _NUMBERS] == names


def test_both_ends_count_what_was_sent(run: Any) -> None:
    (client,) = end(run, "client", run.before_kill)
    (server,) = end(run, "server", run.before_kill)
    assert (client.posts, client.batches, client.calls) == (BATCHES * BATCH, BATCHES + 1, 1)
    assert (server.requests, server.calls) == (BATCHES * BATCH + 1, 1)
    assert (client.vm, server.vm, client.link) == (3, 2, "vogl0")
    assert client.copied_bytes == BATCHES * BATCH * 16
    assert 0 < client.latency_max_ns == client.latency_sum_ns
    assert client.wakes <= client.xirqs <= client.batches


def test_xirqs_are_those_of_the_journal(run: Any) -> None:
    sent = run.trace.events(kind="notify")
    clients = end(run, "client")
    assert sum(event.c & 1 for event in sent) == sum(c.xirqs for c in clients)
    assert sum(event.c >> 1 for event in sent) == sum(c.wakes for c in clients)


def test_lost_requests_are_counted(run: Any) -> None:
    deaths = run.trace.events(kind="peer_death", vm=3)
    assert sum(event.b for event in deaths) == sum(c.lost for c in end(run, "client"))


def test_a_difference_counts_only_what_came_after(run: Any) -> None:
    after = run.stats.since(run.before_kill)
    whole, before = run.stats.totals, run.before_kill.totals
    assert after.totals["posts"] == whole["posts"] - before["posts"]
    assert after.totals["calls"] == whole["calls"] - before["calls"]
    assert all(c.posts == c.requests == 0 for c in run.stats.since(run.stats))


def test_totals_are_sums_and_peaks(run: Any) -> None:
    totals = run.stats.totals
    assert totals["posts"] == sum(c.posts for c in run.stats)
    assert totals["ring_peak"] == max(c.ring_peak for c in run.stats)
    sent = totals["posts"] + totals["calls"]
    assert totals["copies_per_request"] == pytest.approx(totals["copies"] / sent)
    assert Stats([]).totals["latency_mean_ns"] == 0


def test_json_and_back_is_the_same(run: Any) -> None:
    data = json.loads(json.dumps(run.stats.to_json()))
    assert list(Stats.from_json(data)) == list(run.stats)


@pytest.mark.parametrize("data", [{}, {"channels": [{}]}, {"channels": 3}])
def test_other_json_is_refused(data: dict[str, Any]) -> None:
    with pytest.raises(errors.BadArgument):
        Stats.from_json(data)


def test_half_a_slot_is_refused() -> None:
    with pytest.raises(errors.BadArgument, match="256"):
        Stats.from_bytes(b"\0" * 255)


def test_the_table_has_a_row_for_each_end_and_a_summary(run: Any) -> None:
    lines = str(run.stats).splitlines()
    assert len(lines) == len(run.stats) + 2
    assert "VM 3 app 1 client" in str(run.stats)
    assert run.stats._repr_html_().count("<tr>") == len(run.stats) + 1
    assert str(Stats([])) == "no channel was opened yet"
