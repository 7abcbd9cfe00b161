"""vEvent: what a full ring loses, says and counts."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
from conformance_lib import EVERYWHERE
from event_lib import BOARD, DROPPED, REPORT, Ends, Follower, all_of, all_on, back_end, key, send

import hyplink
from hyplink import event

pytestmark = [EVERYWHERE, pytest.mark.hyplink_dts(BOARD)]


@pytest.fixture
def ends(bench: hyplink.Bench) -> Iterator[Ends]:
    with all_on(bench) as three:
        yield three


def test_a_full_ring_loses_whole_packets_says_so_and_counts_them(bench: hyplink.Bench) -> None:
    with back_end(bench, ring=16) as back, bench.vm(3).event("vkp") as three:
        back.wait_front(3)
        for code in range(1, 21):
            send(back, key(code, 1))
        assert three.pressed() == frozenset()
        got = all_of(three)
        kept = [one for code in range(1, 8) for one in (key(code, 1), REPORT)]
        assert got == [*kept, DROPPED, REPORT]
        assert three.pressed() == frozenset(range(1, 21))  # the state, not what was read
        assert (back.lost, back.lost_to(3), back.lost_to(4), three.lost) == (13, 13, 0, 13)
        for code in range(1, 21):
            send(back, key(code, 0))
            all_of(three)
        assert three.pressed() == frozenset()
        assert three.lost == 13
        (row,) = [c for c in bench.stats if c.vm == 2 and c.link == "vevent0"]
        assert (row.lost, row.full_events) == (13, 13)
        lost = [e for e in bench.trace if e.kind.name == "EVENT_LOST"]
        assert sum(e.b for e in lost) == 13
        assert "input event" in str(lost[0])


def test_a_slow_reader_costs_the_others_nothing(ends: Ends) -> None:
    back, three, four = ends
    for _ in range(100):
        back.key(30)
        assert len(all_of(three)) == 4
    assert (back.lost_to(3), three.lost) == (0, 0)
    assert back.lost_to(4) == four.lost > 0


def test_whatever_is_lost_the_state_is_right_in_the_end(bench: hyplink.Bench) -> None:
    dice = random.Random(17)
    with back_end(bench, ring=8) as back, bench.vm(3).event("vkp") as three:
        back.wait_front(3)
        down: set[int] = set()
        reader = Follower(three)
        for _ in range(600):
            if dice.random() < 0.7:
                code = dice.randrange(1, 12)
                down ^= {code}
                send(back, key(code, int(code in down)))
            elif got := three.try_read(1):
                reader.see(got[0])
        reader.rest()
        assert three.lost > 50
        assert reader.down == three.pressed() == back.pressed() == down


def test_a_long_packet_goes_in_parts(bench: hyplink.Bench) -> None:
    with back_end(bench, ring=16) as back, bench.vm(3).event("vkp") as three:
        back.wait_front(3)
        for code in range(1, 11):
            back.emit(*key(code, 1))
        back.sync()
        keys = [key(code, 1) for code in range(1, 11)]
        assert all_of(three) == [*keys[:7], REPORT, *keys[7:], REPORT]
        # Ten releases at once do not fit: the loser gets them in parts, too.
        back.focus = event.NOBODY
        assert len([w for w in all_of(three) if w != REPORT]) == 10
        assert three.pressed() == frozenset()
