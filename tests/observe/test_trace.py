from __future__ import annotations

import json
import re
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hyplink import board, errors
from hyplink.bench import LinkState, VmState
from hyplink.trace import EventKind, Trace, flows
from hyplink.trace.words import LINK_STATES, ROLES, VM_STATES

NO_LINK = 0xFFFFFFFF


def record(kind: int, vm: int = 0, link: int = NO_LINK, *numbers: int, **more: int) -> bytes:
    a, b, c = (*numbers, 0, 0, 0)[:3]
    time, app = more.get("time", 0), more.get("app", 0)
    return struct.pack("<QHHIIIQQ16xQ", time, kind, vm, app, link, a, b, c, 1)


def sentence(*arguments: int, **more: int) -> str:
    return Trace.from_bytes(record(*arguments, **more), board.load("vogl"))[0].text


def test_the_events_of_the_journal_and_of_python_are_the_same(root: Path) -> None:
    header = (root / "src/cpp/hyplink/base/journal.hpp").read_text()
    block = re.search(r"enum class Event[^{]*\{(.*?)\n\};", header, re.DOTALL)
    assert block is not None
    there = {name: int(value) for name, value in re.findall(r"^\s*(\w+) = (\d+),", block[1], re.M)}
    # What one mechanism alone writes stands with it.
    for path in (root / "src/cpp/hyplink/app").rglob("*.hpp"):
        for name, value in re.findall(r"^constexpr Event k(\w+)\{(\d+)\};", path.read_text(), re.M):
            there[re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()] = int(value)
    assert {kind.name.lower(): kind.value for kind in EventKind} == there


def test_states_have_the_names_that_the_bench_gives_them() -> None:
    assert [state.name for state in VmState] == list(VM_STATES)
    assert [state.name for state in LinkState] == list(LINK_STATES)


def test_a_record_keeps_its_numbers_on_the_way(run: Any) -> None:
    mark = run.trace.events(kind="mark")
    assert [(event.a, event.b, event.c, event.vm, event.link) for event in mark] == [
        (7, 8, 9, 0, None)
    ]


def test_a_death_is_told_from_kill_to_the_next_session(run: Any) -> None:
    told = iter(event.text for event in run.trace)
    for expected in (
        "VM 2 OFF→BOOTING",
        "VM 2 BOOTING→RUNNING",
        "VM 2 vogl0 server RESET→ON",
        "VM 3 app 1 notify vogl0 channel 1: 16 requests",
        "VM 2 RUNNING→DEAD",
        "VM 3 vogl0 session 1 aborted (client)",
        "VM 3 vogl0 client ON→OFF",
        "VM 2 DEAD→BOOTING",
        "VM 2 vogl0 server RESET→ON",
        "VM 2 vogl0 session 1 opened (server)",
        "VM 3 app 1 notify vogl0 channel 1: 16 requests",
    ):
        assert any(text.startswith(expected) for text in told), expected
    assert any("EPIPE on vogl0 channel 1" in event.text for event in run.trace.events(vm=3))


def test_events_are_in_the_order_of_time_and_count_from_the_start(run: Any) -> None:
    times = [event.time_ns for event in run.trace]
    assert times == sorted(times)
    assert run.trace[0].time_s == 0
    assert run.trace[-1].time_s == pytest.approx((times[-1] - times[0]) / 1e9)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((1, 0, NO_LINK, 4, 2, 2), "VM 2 RUNNING→DEAD"),
        ((2, 0, 0, 0, 1, 0), "VM 2 vogl0 server OFF→RESET"),
        ((2, 0, 0, 1, 2, 1), "VM 3 vogl0 client RESET→ON"),
        ((3, 0, 0, 1, 2, 0), "VM 3 vogl0 client asked for ON: refused, stays OFF"),
        ((4, 0, 0, 0), "VM 2 vogl0 server taken OFF by the hypervisor"),
        ((6, 0, 0, 513, 2, 1), "XIRQ 513 of vogl0 to VM 2: woke"),
        ((9, 3, NO_LINK, 4, 1), "VM 3 app 4 died without closing"),
        (
            (18, 2, 0, 1, (2 << 16) + 16, 22),
            "VM 2 reply vogl0 channel 1: procedure 2.16, reason EINVAL",
        ),
        (
            (19, 3, 0, 1, int.from_bytes(b"tail", "little"), 255),
            "VM 3 finds vogl0 channel 1 corrupt: tail holds 0xff",
        ),
        ((20, 0, 0, 0, 0, 8192), "vogl0 PMEM 0 allocated: 8 KiB"),
        ((21, 3, 0, 1, 64), "VM 3 EPIPE on vogl0 channel 1: 64 requests lost"),
        ((23, 2, NO_LINK, 3, 4096, 65536), "VM 2 grants 64 KiB at 0x1000 to VM 3"),
        ((99, 2, NO_LINK, 1, 2, 3), "VM 2 event 99: 1, 2, 3"),
    ],
)
def test_a_sentence_says(arguments: tuple[int, ...], text: str) -> None:
    assert sentence(*arguments) == text


@pytest.mark.parametrize(
    ("flags", "said"),
    [(0, "no XIRQ, the peer is awake"), (1, "XIRQ sent"), (3, "XIRQ sent, woke")],
)
def test_a_notify_says_whether_it_cost_an_xirq(flags: int, said: str) -> None:
    text = sentence(15, 3, 0, 1, 64, flags, app=2)
    assert text == f"VM 3 app 2 notify vogl0 channel 1: 64 requests, {said}"


def hostile() -> Iterator[bytes]:
    top64, top32, top16 = 2**64 - 1, 2**32 - 1, 2**16 - 1
    for kind in (*range(30), top16):
        yield record(kind, top16, 7, top32, top64, top64, time=top64, app=top32)
        yield record(kind, 0, 0, top32, 0, 0)


def test_whatever_a_record_holds_it_can_be_told_drawn_and_saved() -> None:
    for known in (board.load("vogl"), None):
        trace = Trace.from_bytes(b"".join(hostile()), known)
        assert len(trace.tail(len(trace)).splitlines()) == len(trace) == 62
        assert trace.timeline().to_svg()
        assert json.loads(trace._as_text(Path("x.json")))


def test_only_what_is_asked_for_is_given(run: Any) -> None:
    trace = run.trace
    states = trace.events(kind=["vm_state", EventKind.LINK_STATE])
    assert {event.kind for event in states} == {EventKind.VM_STATE, EventKind.LINK_STATE}
    about = trace.events(vm=2)
    assert about
    assert all(2 in (event.vm, event.subject) for event in about)
    assert all(event.link == "vogl0" for event in trace.events(link="vogl0"))
    assert trace.events(link="vogl1") == []


def test_an_unknown_kind_is_answered_with_those_there_are() -> None:
    with pytest.raises(errors.BadArgument, match="'nothing': there are none, vm_state"):
        Trace([]).events(kind="nothing")


def test_the_tail_is_the_end_with_times(run: Any) -> None:
    lines = run.trace.tail(3).splitlines()
    assert len(lines) == 3
    assert all(re.match(r" *\d+\.\d{4} ms  \S", line) for line in lines)
    assert run.trace.tail(0) == ""


def test_every_batch_that_was_received_is_tied_to_its_notify(run: Any) -> None:
    found = list(flows(run.trace))
    batches = [flow for flow in found if flow.source.kind is EventKind.NOTIFY]
    # Two streams were answered in full: their batches and their calls.
    assert len(batches) >= 14
    assert all(flow.target.kind is EventKind.RECEIVE for flow in batches)
    assert all((flow.source.vm, flow.target.vm) == (3, 2) for flow in batches)


def test_every_call_is_tied_to_its_reply(story: Callable[..., Any]) -> None:
    trace = story(seed=1).trace
    answers = [flow for flow in flows(trace) if flow.source.kind is EventKind.REPLY]
    assert [flow.target for flow in answers] == trace.events(kind="call")
    assert all((flow.source.vm, flow.target.vm) == (2, 3) for flow in answers)


def test_a_reply_is_found_even_if_it_was_written_down_late_or_its_call_given_up() -> None:
    def at(time: int, kind: int, vm: int, c: int) -> bytes:
        return record(kind, vm, 0, 1, 5, c, time=time, app=1)

    given_up = at(100, 18, 2, 0)
    late = at(1000, 17, 3, 300) + at(1010, 18, 2, 0)
    pairs = [(f.source.time_ns, f.target.time_ns) for f in flows(Trace.from_bytes(given_up + late))]
    assert pairs == [(1010, 1000)]


def test_one_receive_may_end_several_notifies() -> None:
    def at(time: int, kind: int, vm: int, a: int, b: int) -> bytes:
        return record(kind, vm, 0, a, b, time=time, app=1)

    data = at(1, 15, 3, 1, 4) + at(2, 15, 3, 1, 4) + at(3, 16, 2, 1, 8)
    pairs = [(f.source.time_ns, f.target.time_ns) for f in flows(Trace.from_bytes(data))]
    assert pairs == [(1, 3), (2, 3)]


def test_a_journal_is_read_as_it_was_saved(run: Any, tmp_path: Path) -> None:
    run.trace.save(tmp_path / "run.journal")
    again = Trace.load(tmp_path / "run.journal")
    assert list(again) == list(run.trace)
    assert again.names == run.trace.names
    assert again.to_bytes() == run.trace.to_bytes()
    part = run.trace[-5:]
    part.save(tmp_path / "part.journal")
    assert [event.text for event in Trace.load(tmp_path / "part.journal")] == [
        event.text for event in part
    ]


@pytest.mark.parametrize(
    "data", [b"x", b"\0" * 65, b"HYPLINK-JOURNAL 1 ", b"HYPLINK-JOURNAL 1 {}\n", b"\xff" * 63]
)
def test_what_is_no_journal_is_refused(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(data)
    with pytest.raises(errors.BadArgument):
        Trace.load(tmp_path / "file")


def test_an_ending_that_nobody_knows_is_refused(tmp_path: Path) -> None:
    with pytest.raises(errors.BadArgument, match=r"\.json .*\.svg"):
        Trace([]).save(tmp_path / "run.doc")


def test_runs_with_one_seed_do_not_differ_even_in_time(story: Callable[..., Any]) -> None:
    first, again = (story(seed=7).trace for _ in range(2))
    assert first.diff(again, times=True) is None


def test_the_first_difference_is_found() -> None:
    same = record(15, 3, 0, 1, 64, 3)
    mine = Trace.from_bytes(same * 5 + record(16, 2, 0, 1, 64))
    theirs = Trace.from_bytes(same * 5 + record(16, 2, 0, 1, 63))
    found = mine.diff(theirs)
    assert found is not None
    assert found.index == 5
    assert len(found.before) == 3
    assert "- VM 2 receive link 0 channel 1: 64 requests" in str(found)
    assert "+ VM 2 receive link 0 channel 1: 63 requests" in str(found)
    shorter = mine.diff(mine[:4])
    assert shorter is not None
    assert shorter.theirs is None


def test_times_differ_only_where_times_are_asked_for() -> None:
    one = Trace.from_bytes(record(17, 3, 0, 1, 5, 1000, time=10))
    two = Trace.from_bytes(record(17, 3, 0, 1, 5, 2000, time=20))
    assert one.diff(two) is None
    assert one.diff(two, times=True) is not None


def test_perfetto_gets_slices_and_flows_that_end(run: Any, tmp_path: Path) -> None:
    run.trace.save(tmp_path / "run.json")
    events = json.loads((tmp_path / "run.json").read_text())["traceEvents"]
    names = {e["args"]["name"] for e in events if e["ph"] == "M" and e["name"] == "process_name"}
    assert {"VM 2 vm2", "VM 3 vm3"} <= names
    starts = {event["id"] for event in events if event["ph"] == "s"}
    assert starts
    assert starts == {event["id"] for event in events if event["ph"] == "f"}
    assert all(event.get("dur", 0) >= 0 and event.get("ts", 0) >= 0 for event in events)
    dead = [e for e in events if e["ph"] == "X" and e["name"] == "DEAD"]
    assert [event["pid"] for event in dead] == [2]


def test_roles_are_those_of_the_core() -> None:
    assert ROLES == ("server", "client")


def test_a_short_table_is_shown_in_a_notebook(run: Any) -> None:
    html = run.trace._repr_html_()
    assert html.count("<tr>") == 21
    assert f"{len(run.trace) - 20:,} earlier events" in html
