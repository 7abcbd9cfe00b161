"""What the ends of pipes, calls and queues have counted, and `hyplink stat` of them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from hyplink import errors, mq
from hyplink.bench import Bench
from hyplink.cli import main
from hyplink.observe import Observer
from hyplink.stats import FlowStats, LinkEnd
from hyplink.testing import background, eventually

BOARD = """
&vm2_vdevs {
    p: vpipe@p { compatible = "vpipe"; info = "108"; server; };
    u: vupipe@u { compatible = "vupipe"; info = "64"; server; };
    c: vrpc@c { compatible = "vrpc"; info = "calls,256"; server; };
    q: vmq@q { compatible = "vmq"; info = "queue"; server; };
};
&vm3_vdevs {
    vpipe@p { peer-phandle = <&p>; client; };
    vupipe@u { peer-phandle = <&u>; client; };
    vrpc@c { peer-phandle = <&c>; client; info = "calls"; };
    vmq@q { peer-phandle = <&q>; client; info = "queue"; };
};
"""
pytestmark = [
    pytest.mark.hyplink_dts(BOARD),
    pytest.mark.hyplink_backend("thread", "process"),
]


def end(bench: Bench, link: str, role: str, flows: FlowStats | None = None) -> LinkEnd:
    found = bench.stats.flows() if flows is None else flows
    (only,) = (one for one in found if (one.link, one.role) == (link, role))
    return only


@pytest.fixture
def pipe(bench: Bench) -> Any:
    opening = background(bench, lambda: bench.vm(2).pipe("vpipe0", "r"))
    with bench.vm(3).pipe("vpipe0", "w") as out, opening.result(timeout=60) as into:
        yield into, out


@pytest.fixture
def queues(bench: Bench) -> Any:
    with (
        bench.vm(2).mq("queue") as server,
        bench.vm(3).mq("queue", mq.Config(4, 32, 2, 100)) as client,
    ):
        joining = background(bench, server.wait_on)
        client.wait_on()
        joining.result(timeout=60)
        yield server, client


def test_a_pipe_counts_writes_reads_bytes_and_what_is_in_the_ring(bench, pipe) -> None:
    into, out = pipe
    for _ in range(3):
        out.write(bytes(20))
    assert into.read(50) == bytes(50)
    writes, reads = (end(bench, "vpipe0", role) for role in ("client", "server"))
    assert (writes.vm, writes.sent, writes.received, writes.nbytes) == (3, 3, 0, 60)
    assert (reads.vm, reads.sent, reads.received, reads.nbytes) == (2, 0, 1, 50)
    assert (writes.depth_peak, reads.depth, reads.device_class) == (60, 10, "vpipe")


def test_a_writer_that_finds_no_room_is_counted(bench, pipe) -> None:
    _, out = pipe
    out.nonblock = True
    out.write(bytes(100))
    before = bench.stats
    assert out.write(b"x") is None
    after = end(bench, "vpipe0", "client", bench.stats.flows(since=before))
    assert (after.full_events, after.nbytes, after.depth) == (1, 0, 100)


def test_openers_of_an_end_are_summed(bench, pipe) -> None:
    _, out = pipe
    with bench.vm(3).pipe("vpipe0", "w") as second:
        out.write(b"one")
        second.write(b"second")
    writes = end(bench, "vpipe0", "client")
    assert (writes.sent, writes.nbytes) == (2, 9)


def test_a_upipe_counts_what_is_handed_over_in_place(bench) -> None:
    opening = background(bench, lambda: bench.vm(2).upipe("vupipe0"))
    with bench.vm(3).upipe("vupipe0") as out, opening.result(timeout=60) as into:
        out.available_room(60)
        out.notify_write(60)
        into.notify_read(45)
        writes, reads = (end(bench, "vupipe0", role) for role in ("client", "server"))
        assert (writes.sent, writes.nbytes, writes.depth) == (1, 60, 60)
        assert (reads.received, reads.nbytes, reads.depth) == (1, 45, 15)
        assert sum(channel.copies for channel in bench.stats) == 0


def test_a_call_counts_at_both_ends_with_the_bytes_each_sent(bench) -> None:
    with bench.vm(2).rpc_server("calls") as server, bench.vm(3).rpc_client("calls") as client:
        calling = background(bench, lambda: client.call(b"question"))
        call = server.receive()
        assert end(bench, "vrpc0", "server").depth == 1
        call.answer(b"yes")
        assert calling.result(timeout=60) == b"yes"
        asks, answers = (end(bench, "vrpc0", role) for role in ("client", "server"))
        assert (asks.sent, asks.nbytes, answers.received, answers.nbytes) == (1, 8, 1, 3)
        assert answers.depth == 0


def test_a_queue_counts_messages_buffers_and_what_is_under_way(bench, queues) -> None:
    server, client = queues
    for _ in range(2):
        client.allocate(data=70).send_async()
    client.send_flush()
    server.receive().free()
    client.allocate().send()
    sends, gets = (end(bench, "vmq0", role) for role in ("client", "server"))
    # The room of three messages, and what was asked for of two buffers.
    assert (sends.sent, sends.nbytes, sends.depth_peak) == (3, 3 * 32 + 2 * 70, 3)
    assert (gets.received, gets.sent) == (1, 0)


def test_a_queue_whose_messages_are_all_under_way_is_full(bench, queues) -> None:
    server, client = queues
    for _ in range(4):
        client.allocate().send()
    waiting = background(bench, client.allocate)
    eventually(bench, lambda: end(bench, "vmq0", "client").full_events == 1)
    for _ in range(4):
        server.receive().free()
    waiting.result(timeout=60)
    assert end(bench, "vmq0", "client").full_events == 1  # once, however long


def test_hyplink_stat_shows_them_from_elsewhere(bench, pipe, capsys) -> None:
    _, out = pipe
    out.write(b"seven b")
    with Observer(bench) as seen:
        me = ["stat", "--bench", str(seen.address)]
        assert main(me) == 0
        shown = capsys.readouterr().out
        assert main([*me, "--json"]) == 0
        flows = json.loads(capsys.readouterr().out)["flows"]
    (row,) = (line for line in shown.splitlines() if line.startswith("vpipe0  VM 3 client"))
    assert row.split()[4] == "1"
    (mine,) = (flow for flow in flows if flow["role"] == "client")
    assert (mine["link"], mine["class"], mine["nbytes"]) == ("vpipe0", "vpipe", 7)


def test_what_has_sessions_is_no_flow_and_nothing_says_so() -> None:
    assert str(FlowStats([])) == "no pipe, call or queue was opened yet"
    with Bench.from_dts("vogl") as bench:
        bench.vm(2)
        with pytest.raises(errors.DeadlineExceeded):
            bench.vm(3).rpq("vogl0").session(timeout=0)
        assert len(bench.stats.flows()) == 0
