"""vEvent: either end killed at every step, and ends that write what they like."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import struct
from typing import Any

import pytest
from conformance_lib import EVERYWHERE, PROCESS
from event_lib import BOARD, DEVICE, DROPPED, REPORT, all_of, all_on, back_end, key, send, words

import hyplink
from hyplink import errors, event
from hyplink.testing import background
from stopping import stopped

pytestmark = [EVERYWHERE, pytest.mark.hyplink_dts(BOARD)]
#: Where the parts of a port begin: behind its head; the back end's first.
RING_AT = 1024

STEPS = ["alone", "joined", "half a packet", "unread", "read", "full", "no focus", "closed"]


def reach(bench: hyplink.Bench, step: str) -> tuple[Any, Any]:
    """The two ends (None: not there yet) at a step of their life."""
    back = back_end(bench, ring=16)
    if step == "alone":
        return back, None
    three = bench.vm(3).event("vkp")
    back.wait_front(3)
    if step == "half a packet":
        back.emit(*key(30, 1))
    elif step in ("unread", "read"):
        send(back, key(30, 1))
    elif step == "full":
        for _ in range(20):
            back.key(30)
        send(back, key(30, 1))
    elif step == "no focus":
        back.focus = 4
    if step == "read":
        all_of(three)
    return back, three


@pytest.mark.parametrize("how", ["kill", "shutdown"])
@pytest.mark.parametrize("step", STEPS)
def test_the_back_ends_vm_may_end_at_every_step(bench: hyplink.Bench, step: str, how: str) -> None:
    back, three = reach(bench, step)
    if step == "closed":
        back.close()
    getattr(bench.vm(2), how)()
    if three is None:
        three = bench.vm(3).event("vkp", wait=False)
    else:
        got = words(list(three))  # ends with the back end
        assert three.pressed() == frozenset()
        if step in ("unread", "read", "full"):
            assert got[-2:] == [key(30, 0), REPORT]
        else:
            assert got == []
        assert (DROPPED in got) == (step == "full")
        with pytest.raises(errors.PeerDied):
            three.read()
    with contextlib.suppress(OSError):
        back.key(30)  # its VM is gone; it says so or finds nobody, and does not hang
    back.close()
    bench.vm(2).boot()
    waiting = background(bench, three.wait_on)
    with back_end(bench) as again:
        waiting.result()
        again.wait_front(3)
        again.key(31)
        assert words(three.read())[0] == key(31, 1)
    three.close()


@PROCESS
def test_nobody_joins_a_back_end_that_is_dead_though_its_kernel_has_yet_to_hear_of_it(
    bench: hyplink.Bench,
) -> None:
    dead = back_end(bench)
    three = bench.vm(3).event("vkp", wait=False)
    bench.link("vevent0").wait_on()
    with stopped(bench.vm(3).pid):
        bench.vm(2).kill()
        waiting = background(bench, three.wait_on)
        bench.vm(2).boot()
        dead.close()
    with back_end(bench) as again:
        waiting.result()
        again.wait_front(3)
        again.key(31)
        assert words(three.read())[0] == key(31, 1)
    three.close()


@pytest.mark.parametrize("how", ["kill", "shutdown"])
@pytest.mark.parametrize("step", STEPS)
def test_a_front_ends_vm_may_end_at_every_step(bench: hyplink.Bench, step: str, how: str) -> None:
    back, three = reach(bench, step)
    four = bench.vm(4).event("vkp")
    back.wait_front(4)
    if step == "closed":
        three.close()
    getattr(bench.vm(3), how)()
    back.key(32)  # whoever has the focus and lives gets it
    assert key(32, 1) in all_of(four)
    if three is not None:
        for _ in three:  # ends, whatever it had
            pass
        three.close()
    bench.vm(3).boot()
    with bench.vm(3).event("vkp") as again:
        back.wait_front(3)
        assert again.pressed() == frozenset()
        back.focus = event.EVERYBODY
        back.key(33)
        assert key(33, 1) in all_of(again)
    back.close()
    four.close()


class Typist:
    """Runs in VM 2: the back end in a process of its own, which kills itself in the midst."""

    def __call__(self, application: Any) -> None:
        back = application.event_backend("vkp", DEVICE)
        back.wait_front(3)
        for _ in range(200):
            back.key(30)
        send(back, key(31, 1))
        os.kill(os.getpid(), signal.SIGKILL)


@PROCESS
def test_an_application_that_dies_while_it_types_leaves_nothing_pressed(
    bench: hyplink.Bench,
) -> None:
    for _ in range(5):
        typist = bench.vm(2).start(Typist())
        with bench.vm(3).event("vkp") as three:
            got = words(list(three))
            assert three.pressed() == frozenset()
            assert got[-2:] == [key(31, 0), REPORT]
        with pytest.raises(errors.VmCrashed):
            typist.result()


# --- ends that lie --------------------------------------------------------------------------------


def test_a_front_end_that_lies_costs_its_own_link_only(bench: hyplink.Bench) -> None:
    for lie in (1, 99, 2**31, 2**32 - 1):
        with all_on(bench) as (back, three, four):
            port = three._core.port()
            tail_at = front_part(port)
            port[tail_at : tail_at + 4] = struct.pack("<I", lie)
            back.key(30)
            assert len(all_of(four)) == 4
            assert back.front_ends == [4]
            for _ in three:
                pass
            assert not three.is_on
            three.wait_on()  # it may try again
            back.wait_front(3)
            back.key(31)
            assert key(31, 1) in all_of(three)
            found = [e for e in bench.trace if e.kind.name == "CORRUPT"]
            assert found


def front_part(port: memoryview) -> int:
    """Where the front end's part begins: right behind the ring of 64 events."""
    state = 4 * (92 + 4 * 14)
    back = 64 + state
    back = (back + 63) // 64 * 64 + 64 * 24
    return RING_AT + (back + 63) // 64 * 64


LIES = {
    "p_idx": (0, struct.pack("<I", 70)),
    "event": (704, struct.pack("<qqHHi", 0, 0, 1, 700, 1)),
    "time": (704, struct.pack("<qqHHi", 0, 1_000_000, 1, 30, 1)),
}


@pytest.mark.parametrize("field", LIES)
def test_a_back_end_that_lies_is_named_and_left(bench: hyplink.Bench, field: str) -> None:
    with back_end(bench) as back, bench.vm(3).event("vkp") as three:
        back.wait_front(3)
        send(back, key(31, 1))
        all_of(three)
        send(back, key(30, 1))
        at, data = LIES[field]
        at += 2 * 24 if at else 0
        port = back._core.port(3)
        port[RING_AT + at : RING_AT + at + len(data)] = data
        with pytest.raises(errors.CorruptRing, match=field):
            three.read()
        # What was held is released all the same, then it is corrupt for good.
        assert words(three.read()) == [key(31, 0), REPORT]
        with pytest.raises(errors.CorruptRing):
            three.read()
        three.wait_on()
        back.wait_front(3)
        back.key(32)
        assert words(three.read())[0] == key(32, 1)


def test_random_words_in_every_shared_field_hang_nobody(bench: hyplink.Bench) -> None:
    dice = random.Random(23)
    with bench.vm(4).event("vkp", wait=False) as four, back_end(bench) as back:
        four.wait_on()
        back.wait_front(4)
        for _ in range(30):
            three = bench.vm(3).event("vkp")
            back.wait_front(3)
            liar = dice.choice(["back", "front"])
            port = three._core.port()
            for _ in range(20):
                at = dice.randrange(front_part(port), len(port) - 4)
                if liar == "back":
                    at = dice.choice([0, 8, dice.randrange(RING_AT, front_part(port)) - RING_AT])
                    at += RING_AT
                value = dice.choice([dice.randbytes(4), struct.pack("<I", dice.randrange(70))])
                port[at : at + 4] = value
                back.key(dice.randrange(1, 60))
                try:
                    three.try_read(dice.randrange(1, 20))
                except (errors.CorruptRing, errors.PeerDied):
                    break
            assert all_of(four)
            three.close()
        back.key(30)
        assert all_of(four)[-4:] == [key(30, 1), REPORT, key(30, 0), REPORT]
