"""vEvent (document 001, 4.5): a device's events in other VMs, the focus, and what a full ring loses."""

from __future__ import annotations

import asyncio
import random
import struct
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conformance_lib import EVERYWHERE, REAL_TIME, ctrl_c
from event_lib import (
    BOARD,
    DEVICE,
    DROPPED,
    REPORT,
    Ends,
    Follower,
    all_of,
    all_on,
    back_end,
    key,
    send,
    words,
)

import hyplink
from hyplink import errors, event
from hyplink.testing import background

pytestmark = [EVERYWHERE, pytest.mark.hyplink_dts(BOARD)]


@pytest.fixture
def ends(bench: hyplink.Bench) -> Iterator[Ends]:
    with all_on(bench) as three:
        yield three


def test_events_arrive_in_order_with_their_reports_and_times(ends: Ends) -> None:
    back, three, _ = ends
    for code in (30, 31, 32):
        back.key(code)
    events = []
    while len(events) < 12:
        events += three.read()
    assert words(events) == [
        one for code in (30, 31, 32) for value in (1, 0) for one in (key(code, value), REPORT)
    ]
    times = [e.time for e in events]
    assert times == sorted(times)
    assert times[0] == times[1]  # a packet has one time


def test_nothing_is_seen_before_its_report(ends: Ends) -> None:
    back, three, _ = ends
    back.emit(*key(30, 1))
    assert all_of(three) == []
    back.sync()
    assert all_of(three) == [key(30, 1), REPORT]


def test_the_front_end_sees_what_the_device_is(ends: Ends) -> None:
    _, three, _ = ends
    assert three.properties == DEVICE
    assert three.axis(event.ABS_X) == 5
    assert three.touches() == [-1] * 4


def test_bytes_are_the_kernels_input_events(ends: Ends) -> None:
    back, three, _ = ends
    send(back, key(30, 1))
    data = three.read_bytes()
    assert [struct.unpack_from("@llHHi", data, at)[2:] for at in (0, 24)] == [key(30, 1), REPORT]


def test_everybody_one_or_nobody_gets_the_events(ends: Ends) -> None:
    back, three, four = ends
    assert back.focus == event.EVERYBODY
    back.key(30)
    assert len(all_of(three)) == len(all_of(four)) == 4
    back.focus = 4
    back.key(30)
    assert (len(all_of(three)), len(all_of(four))) == (0, 4)
    back.focus = event.NOBODY
    back.key(30)
    assert (len(all_of(three)), len(all_of(four))) == (0, 0)
    assert (back.sent, back.dropped, back.lost) == (4, 2, 0)
    for nowhere in (2, 9, -1, "vm3"):
        with pytest.raises(errors.NotFound):
            back.focus = nowhere
    assert back.focus == event.NOBODY


def test_who_loses_the_focus_gets_releases_and_who_gets_it_no_half_strokes(ends: Ends) -> None:
    back, three, four = ends
    back.focus = 3
    send(back, key(30, 1))
    send(back, key(31, 1))
    back.focus = 4
    assert all_of(three)[4:] == [key(30, 0), key(31, 0), REPORT]
    assert three.pressed() == frozenset()
    send(back, key(30, 2))  # repeats, and is released: it was pressed for VM 3
    send(back, key(30, 0))
    assert all_of(four) == []
    send(back, key(31, 0), key(32, 1))
    assert all_of(four) == [key(32, 1), REPORT]
    back.key(30)
    assert all_of(four) == [key(30, 1), REPORT, key(30, 0), REPORT]
    assert all_of(three) == []


def test_who_gets_the_focus_is_told_of_switches_and_axes(ends: Ends) -> None:
    back, three, four = ends
    back.focus = 3
    lid, x = (event.EV_SW, event.SW_LID, 1), (event.EV_ABS, event.ABS_X, 700)
    send(back, lid, x)
    assert all_of(three) == [lid, x, REPORT]
    back.focus = 4
    assert all_of(three) == []
    assert all_of(four) == [lid, x, REPORT]
    assert (four.switches(), four.axis(event.ABS_X)) == ({event.SW_LID}, 700)


def test_a_finger_that_is_down_ends_with_the_focus(ends: Ends) -> None:
    back, three, four = ends
    slot, tracked, x = (
        lambda value, code=code: (event.EV_ABS, code, value)
        for code in (event.ABS_MT_SLOT, event.ABS_MT_TRACKING_ID, event.ABS_MT_POSITION_X)
    )
    back.focus = 3
    send(back, slot(1), tracked(77), x(10), key(event.BTN_TOUCH, 1))
    assert all_of(three) == [slot(1), tracked(77), x(10), key(event.BTN_TOUCH, 1), REPORT]
    assert three.touches() == [-1, 77, -1, -1]
    back.focus = 4
    assert all_of(three) == [slot(1), tracked(-1), key(event.BTN_TOUCH, 0), REPORT]
    send(back, x(20))
    send(back, tracked(-1), key(event.BTN_TOUCH, 0))
    assert all_of(four) == []
    send(back, slot(0), tracked(78), x(30), key(event.BTN_TOUCH, 1))
    assert all_of(four) == [slot(0), tracked(78), x(30), key(event.BTN_TOUCH, 1), REPORT]
    assert four.touches(event.ABS_MT_POSITION_X)[0] == 30


def test_a_key_can_move_the_focus_when_it_is_released(ends: Ends) -> None:
    back, three, four = ends
    back.focus_on_release(60, 4)
    back.focus_on_release(61, 3)
    back.focus = 3
    back.key(60)
    back.key(30)
    back.key(61)
    back.key(31)
    assert [w for w in all_of(three) if w != REPORT] == [
        key(60, 1), key(60, 0), key(31, 1), key(31, 0),
    ]  # fmt: skip
    assert [w for w in all_of(four) if w != REPORT] == [
        key(30, 1), key(30, 0), key(61, 1), key(61, 0),
    ]  # fmt: skip


@REAL_TIME
def test_the_focus_moves_while_events_flow_and_every_stroke_is_whole_somewhere(
    bench: hyplink.Bench, ends: Ends
) -> None:
    back, three, four = ends
    back.focus = 3
    over = threading.Event()

    def emit() -> None:
        dice = random.Random(5)
        while not over.is_set():
            back.key(dice.randrange(1, 60))
        back.focus = event.NOBODY

    emitting = background(bench, emit)
    readers = {3: Follower(three), 4: Follower(four)}
    for turn in range(200):
        back.request_focus(3 + turn % 2)
        readers[3 + turn % 2].until_a_press()
    over.set()
    emitting.result()
    for reader in readers.values():
        reader.rest()
        assert reader.down == reader.front.pressed() == frozenset()


# --- names, ends, mistakes ------------------------------------------------------------------------


def test_an_event_the_device_does_not_have_is_refused(ends: Ends) -> None:
    back, three, _ = ends
    for wrong in (
        (event.EV_KEY, 300, 1),
        (event.EV_REL, 0, 1),
        (event.EV_ABS, event.ABS_Y, 1),
        (event.EV_SYN, event.SYN_DROPPED, 0),
        (99, 0, 0),
    ):
        with pytest.raises(errors.BadArgument):
            back.emit(*wrong)
    back.sync()
    assert all_of(three) == []


def test_impossible_back_ends_are_refused(bench: hyplink.Bench) -> None:
    for ring in (0, 4, 24, 1 << 17):
        with pytest.raises(errors.BadArgument):
            back_end(bench, ring=ring)
    many = event.Properties(axes={event.ABS_MT_SLOT: event.AbsInfo(0, 64)})
    with pytest.raises(errors.BadArgument, match="65 touches"):
        bench.vm(2).event_backend("vkp", many)
    with pytest.raises(errors.NotFound, match='"vkp" to VM 3'):
        bench.vm(2).event_backend("vts", DEVICE)
    with pytest.raises(errors.NotFound, match="VM 7"):
        back_end(bench, focus=7)
    with back_end(bench), pytest.raises(errors.Busy):
        back_end(bench)
    back_end(bench).close()


def test_a_longer_name_is_another_device_and_a_node_has_its_own(bench: hyplink.Bench) -> None:
    with (
        back_end(bench) as back,
        bench.vm(2).event_backend("vkp-other", event.mouse()) as other,
        bench.vm(3).event("/dev/input/event0") as first,
        bench.vm(3).event("input/event1") as second,
    ):
        other.wait_front(3)
        back.wait_front(3)
        back.key(30)
        assert [len(all_of(front)) for front in (first, second)] == [4, 0]
        assert (first.info, second.info) == ("vkp", "vkp-other")
        assert second.properties.name == "hyplink mouse"
        with pytest.raises(errors.Busy):
            bench.vm(3).event("input/event1")
    with pytest.raises(errors.NoSuchLink):
        bench.vm(3).event("input/event2")


def test_without_a_back_end_there_is_nothing_to_read(bench: hyplink.Bench) -> None:
    with bench.vm(3).event("vkp", wait=False) as three:
        with pytest.raises(errors.LinkDown):
            three.read()
        three.timeout = 0.05
        with pytest.raises(errors.DeadlineExceeded):
            three.wait_on()
        three.timeout = 60
        waiting = background(bench, three.wait_on)
        with back_end(bench) as back:
            waiting.result()
            back.wait_front(3)
            back.key(30)
            assert len(all_of(three)) == 4


def test_a_back_end_that_closes_leaves_no_key_pressed(bench: hyplink.Bench) -> None:
    back = back_end(bench)
    with bench.vm(3).event("vkp") as three:
        back.wait_front(3)
        send(back, key(30, 1))
        back.close()
        with pytest.raises(errors.HandleClosed):
            back.emit(*key(30, 0))
        assert [words([e])[0] for e in three] == [key(30, 1), REPORT, key(30, 0), REPORT]
        with pytest.raises(errors.PeerDied):
            three.read()
        with back_end(bench) as again:
            three.wait_on()
            again.wait_front(3)
            again.key(31)
            assert all_of(three)[0] == key(31, 1)


def test_front_ends_come_and_go_while_the_back_end_does_nothing(bench: hyplink.Bench) -> None:
    with back_end(bench) as back:
        for _ in range(5):
            with bench.vm(3).event("vkp") as three:  # waits for the back end, which does not move
                assert three.is_on
        with bench.vm(3).event("vkp") as three:
            back.wait_front(3)
            assert back.front_ends == [3]
            back.key(30)
            assert len(all_of(three)) == 4
    assert back.lost == 0


# --- event loops, signals, sources ------------------------------------------------------------------


@REAL_TIME
def test_async_for_takes_events_and_ends_with_the_back_end(
    bench: hyplink.Bench, ends: Ends
) -> None:
    back, three, _ = ends

    async def collect() -> list[Any]:
        return [e.code async for e in three if e.type == event.EV_KEY and e.value]

    def emit() -> None:
        for code in range(1, 20):
            back.key(code)
        back.close()

    emitting = background(bench, emit)
    seen = asyncio.run(collect())
    emitting.result()
    assert seen == sorted(seen)
    assert seen[0] == 1


@REAL_TIME
def test_ctrl_c_ends_a_wait(ends: Ends) -> None:
    _, three, _ = ends
    three.timeout = None
    with ctrl_c():
        three.read()


def test_a_recording_is_played_as_it_was(bench: hyplink.Bench, tmp_path: Path) -> None:
    board = event.keyboard("typist")
    with (
        bench.vm(2).event_backend("vkp", board, ring=256) as back,
        bench.vm(3).event("vkp") as three,
    ):
        back.wait_front(3)
        count = back.play(event.typing("Hello, World!\n"))
        assert event.record(three, tmp_path / "keys", count) == count
        recording = event.Recording(tmp_path / "keys")
        assert recording.properties == board
        assert back.play(recording) == count == len(recording)
        assert words(list(recording)) == all_of(three)
        assert words(list(recording)) == words(list(event.typing("Hello, World!\n")))


def test_a_bare_recording_says_what_its_device_has() -> None:
    raw = b"".join(
        struct.pack("<qqHHi", 5, 6, *one)
        for one in (
            key(30, 1),
            (event.EV_ABS, event.ABS_X, 70),
            (event.EV_ABS, 0, 3),
            REPORT,
            DROPPED,
        )
    )
    recording = event.Recording(raw)
    assert len(recording) == 4
    assert recording.properties.keys == {30}
    assert recording.properties.axes == {event.ABS_X: event.AbsInfo(3, 70)}
    with pytest.raises(errors.BadArgument):
        event.Recording(raw[:-1])
    with pytest.raises(errors.BadArgument):
        list(event.typing("é"))
