"""vMQ (document 001, 4.3): messages and buffers both ways, replies in place, whoever dies or lies."""

from __future__ import annotations

import asyncio
import contextlib
import random
import struct
from typing import Any

import pytest
from conformance_lib import EVERYWHERE, REAL_TIME, ctrl_c

import hyplink
from hyplink import errors, mq
from hyplink.testing import background

BOARD = """
&vm2_vdevs {
    a: vmq@a { compatible = "vmq"; info = "disk"; server; };
    b: vmq@b { compatible = "vmq"; info = "other"; server; };
};
&vm3_vdevs {
    vmq@a { peer-phandle = <&a>; client; info = "disk"; };
    vmq@b { peer-phandle = <&b>; client; info = "other"; };
};
"""
pytestmark = [EVERYWHERE, pytest.mark.hyplink_dts(BOARD)]
TX = mq.Config(8, 32, data_count=4, data_max=4096)


def pair(bench: hyplink.Bench, name: str = "disk") -> tuple[mq.Queue, mq.Queue]:
    """(VM 2's end, VM 3's end), both on."""
    two = bench.vm(2).mq(name, mq.Config(4, 16), returns=True)
    three = bench.vm(3).mq(name, TX, returns=True)
    on(bench, two, three)
    return two, three


def on(bench: hyplink.Bench, two: mq.Queue, three: mq.Queue) -> None:
    joining = background(bench, two.wait_on)
    three.wait_on()
    joining.result()


@pytest.fixture
def ends(bench: hyplink.Bench) -> Any:
    two, three = pair(bench)
    yield two, three
    two.close()
    three.close()


def test_messages_arrive_in_order_and_slots_come_back_in_any(ends) -> None:
    two, three = ends
    dice = random.Random(3)
    sent = received = 0
    held: list[Any] = []
    for _ in range(500):
        while (message := attempt(three)) is not None:
            message.header[:4] = struct.pack("<I", sent)
            dice.choice([message.send, message.send_async])()
            sent += 1
        three.send_flush()
        while (got := two.try_receive()) is not None:
            assert struct.unpack("<I", got.header[:4]) == (received,)
            received += 1
            held.append(got)
        dice.shuffle(held)
        for _ in range(dice.randint(1, len(held))):
            held.pop().free()
    assert received > 1000


def attempt(queue: mq.Queue) -> mq.Message | None:
    try:
        return queue.allocate(block=False)
    except errors.WouldBlock:
        return None


def test_both_ends_send_at_the_same_time(ends) -> None:
    two, three = ends
    for queue, word in ((two, b"from two"), (three, b"from three")):
        message = queue.allocate()
        message.header[: len(word)] = word
        message.send()
    assert bytes(two.receive().header[:10]) == b"from three"
    assert bytes(three.receive().header[:8]) == b"from two"


def test_a_reply_lies_in_the_same_slot(ends) -> None:
    two, three = ends
    asked = [three.allocate() for _ in range(3)]
    for number, message in enumerate(asked):
        message.header[:1] = bytes([number])
        message.send()
    got = [two.receive() for _ in range(3)]
    for message in (got[2], got[0]):
        message.reply(bytes([message.header[0] + 100]))
    got[1].free()
    back = [three.return_receive() for _ in range(2)]
    assert [(m.slot, m.header[0]) for m in back] == [(asked[2].slot, 102), (asked[0].slot, 100)]
    for message in back:
        message.free()
    assert three.try_return_receive() is None
    assert three.under_way == 0


def test_who_wants_no_replies_has_them_freed(bench) -> None:
    with bench.vm(2).mq("disk") as two, bench.vm(3).mq("disk", mq.Config(4, 8)) as three:
        on(bench, two, three)
        for _ in range(20):
            three.allocate().send()
            two.receive().reply(b"thanks")
        assert three.try_return_receive() is None


def test_buffers_are_the_senders_and_travel_as_offsets(ends) -> None:
    two, three = ends
    messages = [three.allocate(data=4096) for _ in range(4)]
    with pytest.raises(errors.RingFull):
        three.allocate(data=1)
    with pytest.raises(errors.MessageTooLong):
        three.allocate(data=4097)
    for number, message in enumerate(messages):
        message.data[:] = bytes([number]) * 4096
        message.header[:8] = struct.pack("<Q", message.data_offset)
        message.send()
    for number in range(4):
        got = two.receive()
        (offset,) = struct.unpack("<Q", got.header[:8])
        assert bytes(got.buffer(offset)) == bytes([number]) * 4096
        got.reply()
    for bad in (1, 4096 * 4, 2**63):
        with pytest.raises(errors.BadArgument):
            got.buffer(bad)
    back = three.return_receive()
    back.data_free()
    with pytest.raises(errors.BadArgument):
        back.data_free()
    back.free()
    three.allocate(data=4096)


def test_what_is_sent_async_is_seen_when_it_is_flushed(ends) -> None:
    two, three = ends
    for _ in range(3):
        three.allocate().send_async()
    assert two.try_receive() is None
    three.send_flush()
    assert [two.try_receive() is not None for _ in range(4)] == [True] * 3 + [False]


@pytest.mark.parametrize("count", [31, 32, 33, 64])
def test_whoever_waits_for_a_reply_has_told_of_all_that_was_sent(bench, count: int) -> None:
    with (
        bench.vm(2).mq("disk") as two,
        bench.vm(3).mq("disk", mq.Config(64, 8), returns=True) as three,
    ):
        on(bench, two, three)

        def answer() -> None:  # asleep until it is rung
            for _ in range(count):
                two.receive().reply()

        answering = background(bench, answer)
        for _ in range(count):
            three.allocate().send_async()
        for _ in range(count):
            three.return_receive().free()
        answering.result()


def test_allocate_flushes_before_it_waits_and_wakes_when_one_comes_back(bench, ends) -> None:
    two, three = ends
    for _ in range(8):
        three.allocate().send_async()
    with pytest.raises(errors.WouldBlock):
        three.allocate(block=False)
    waiting = background(bench, three.allocate)
    got = [two.receive() for _ in range(8)]  # nobody else has flushed
    got[5].free()
    assert waiting.result().slot == got[5].slot


def test_a_sender_goes_on_before_all_that_was_seen_is_read(bench) -> None:
    with bench.vm(2).mq("disk") as two, bench.vm(3).mq("disk", mq.Config(64, 8)) as three:
        on(bench, two, three)
        for _ in range(64):
            three.allocate().send_async()
        three.send_flush()
        held = [two.receive()]  # a look that finds 64
        waiting = background(bench, three.allocate)
        held += [two.receive() for _ in range(20)]
        for message in held[:16]:
            message.free()
        assert waiting.result().slot in range(64)
        assert two.try_receive() is not None


def test_a_configuration_the_other_end_does_not_expect_is_refused(bench) -> None:
    with bench.vm(2).mq("disk", rx=mq.Config(16, 16)) as two, bench.vm(3).mq("disk", TX) as three:
        joining = background(bench, two.wait_on)
        three.wait_on()
        with pytest.raises(errors.ProtocolViolation, match="8 messages of 32"):
            joining.result()
    for bad in (
        mq.Config(3, 8),
        mq.Config(0, 8),
        mq.Config(4, 0),
        mq.Config(4, 8, 1, 0),
        mq.Config(1 << 17, 1),
    ):
        with pytest.raises(errors.BadArgument):
            bench.vm(2).mq("disk", bad)


def test_a_slot_is_used_by_who_has_it_and_once(ends) -> None:
    two, three = ends
    message = three.allocate()
    message.send()
    for act in (message.send, message.send_async, message.free):
        with pytest.raises(errors.BadArgument):
            act()
    got = two.receive()
    got.free()
    for act in (got.free, got.reply):
        with pytest.raises(errors.BadArgument):
            act()


def test_nobody_at_the_other_end_is_eagain(bench) -> None:
    with bench.vm(3).mq("disk", TX) as three:
        with pytest.raises(errors.WouldBlock):
            three.allocate()
        three.timeout = 0.05
        with pytest.raises(errors.DeadlineExceeded):
            three.wait_on()
        with bench.vm(2).mq("disk") as two:
            three.timeout = 60
            on(bench, two, three)
        with pytest.raises(errors.PeerDied):
            three.receive()
        with pytest.raises(errors.WouldBlock):
            three.allocate()


@REAL_TIME
def test_async_for_takes_messages_and_ends_with_the_other_end(bench, ends) -> None:
    two, three = ends

    async def collect() -> list[int]:
        seen = []
        async for message in two:
            seen.append(message.header[0])
            message.free()
        return seen

    def send() -> None:
        for number in range(100):
            message = three.allocate()
            message.header[0] = number
            message.send()
        while (
            three.under_way
        ):  # what was not taken when an end closes is still delivered, but not more
            three.try_return_receive()
        three.close()

    sending = background(bench, send)
    assert asyncio.run(collect()) == list(range(100))
    sending.result()


@REAL_TIME
def test_ctrl_c_ends_a_wait(ends) -> None:
    two, _ = ends
    two.timeout = None
    with ctrl_c():
        two.receive()


STEPS = ["joining", "on", "allocated", "sent", "received", "returned", "closed"]


@pytest.mark.parametrize("vm", [2, 3])
@pytest.mark.parametrize("step", STEPS)
def test_either_vm_may_die_at_every_step_and_come_back(bench, vm: int, step: str) -> None:
    survivor = 5 - vm
    two = bench.vm(2).mq("disk", mq.Config(4, 16), returns=True)
    three = bench.vm(3).mq("disk", TX, returns=True)
    ends = {2: two, 3: three}
    message = got = None
    if step == "joining":
        joining = background(bench, lambda: hear(ends[survivor], None, None))
    else:
        on(bench, two, three)
    if step in STEPS[2:6]:
        message = three.allocate()
    if step in STEPS[3:6]:
        message.send()
    if step in STEPS[4:6]:
        got = two.receive()
    if step == "returned":
        got.reply(b"back")
    if step == "closed":
        ends[survivor].close()
    waiting = None
    if step in ("on", "allocated"):
        waiting = background(bench, two.receive if survivor == 2 else three.receive)
    bench.vm(vm).kill()
    if waiting is not None:
        with pytest.raises(errors.PeerDied):
            waiting.result()
    ends[vm].close()
    mine = ends[survivor]
    bench.vm(vm).boot()
    if step == "closed":
        mine = bench.vm(survivor).mq(
            "disk", TX if survivor == 3 else mq.Config(4, 16), returns=True
        )
    if step != "joining":
        # What is held comes back first.
        joining = background(
            bench,
            lambda: hear(mine, message if survivor == 3 else None, got if survivor == 2 else None),
        )
    other = bench.vm(vm).mq("disk", TX if vm == 3 else mq.Config(4, 16), returns=True)
    other.wait_on()
    message = other.allocate()
    message.header[:4] = b"good"
    message.send()
    assert joining.result() == b"good"
    mine.close()
    other.close()


def hear(queue: mq.Queue, message: Any, got: Any) -> bytes:
    """Give back what is held, then the first words of the next message of whoever comes."""
    for held in (message, got):
        if held is not None:
            with contextlib.suppress(errors.BadArgument):
                held.free()
    while True:
        # A death that was not heard of yet: there seems to be nothing to wait for.
        queue.wait_on()
        with contextlib.suppress(errors.PeerDied):
            return bytes(queue.receive().header[:4])


def test_what_is_held_must_come_back_before_the_next_link(bench) -> None:
    two, three = pair(bench)
    message, got = three.allocate(data=16), None
    three.allocate().send()
    got = two.receive()
    bench.vm(2).kill()
    with pytest.raises(errors.PeerDied):
        three.receive()
    with pytest.raises(errors.Busy, match="1 messages and 1 buffers"):
        three.wait_on()
    message.data_free()
    message.free()
    bench.vm(2).boot()
    with bench.vm(2).mq("disk") as again:
        on(bench, again, three)
        assert three.is_on
    del got
    two.close()
    three.close()


def test_a_corrupt_end_costs_that_link_only(bench) -> None:
    dice = random.Random(11)
    for number in range(40):
        two, three = pair(bench)
        bystander_two, bystander_three = pair(bench, "other")
        three.timeout = two.timeout = 0.05
        liar, honest = (three, two) if number % 2 else (two, three)
        port = liar._core.port()
        for _ in range(30):
            lie = dice.randrange(3)
            if lie == 0:
                at = 1024 + dice.randrange((len(port) - 1024) // 4) * 4
                port[at : at + 4] = dice.choice(
                    [dice.randbytes(4), b"\xff" * 4, struct.pack("<I", dice.randrange(99))]
                )
            elif lie == 1:
                at = dice.choice([64, 128, 192, 256])
                port[at : at + 4] = dice.randbytes(4)
            try:
                work(honest)
            except errors.GrantRevoked:
                break
            except (errors.DeadlineExceeded, errors.WouldBlock, errors.PeerDied):
                pass
        message = bystander_three.allocate()
        message.header[:2] = b"ok"
        message.send()
        assert bytes(bystander_two.receive().header[:2]) == b"ok"
        for queue in (two, three, bystander_two, bystander_three):
            queue.close()


def work(queue: mq.Queue) -> None:
    with contextlib.suppress(errors.WouldBlock):
        queue.allocate(block=False).send()
    if got := queue.try_receive():
        got.reply(b"x")
    if back := queue.try_return_receive():
        back.free()


@pytest.mark.parametrize("value", [5, 99, 2**31, 2**32 - 1])
def test_an_impossible_index_is_estale_and_the_peer_sees_the_link_go(bench, value) -> None:
    two, three = pair(bench)
    # VM 2 is the server: its direction comes first. Its c_idx is in VM 3's part.
    three._core.port()[1024 + 64 : 1024 + 68] = struct.pack("<I", value)
    with pytest.raises(errors.GrantRevoked, match="c_idx"):
        send_until_it_fails(two)
    with pytest.raises(errors.GrantRevoked):
        two.receive()
    assert len(list(three)) <= 4  # what was sent before, then the end
    assert not three.is_on
    two.close()
    three.close()
    again = pair(bench)
    work(again[0])
    for queue in again:
        queue.close()


def test_an_index_that_goes_back_is_impossible_too(bench) -> None:
    two, three = pair(bench)
    for _ in range(3):
        three.allocate().send()
    held = [two.receive() for _ in range(3)]
    # VM 3 is the client: its part lies behind the server's, of 4 messages of a line each.
    three._core.port()[1024 + 512 : 1024 + 516] = struct.pack("<I", 1)
    with pytest.raises(errors.GrantRevoked, match="p_idx = 1"):
        two.receive()
    for message in held:
        message.free()
    two.close()
    three.close()


def test_a_wait_ends_when_another_thread_closes_the_end(bench, ends) -> None:
    two, _three = ends
    two.timeout = None
    waiting = background(bench, two.receive)
    two.close()
    with pytest.raises((errors.Cancelled, errors.HandleClosed)):
        waiting.result()


def send_until_it_fails(queue: mq.Queue) -> None:
    for _ in range(5):
        queue.allocate(block=False).send()


LOOPBACK = """
&vm2_vdevs {
    a: vmq@a { compatible = "vmq"; info = "loop"; server; };
    vmq@b { peer-phandle = <&a>; client; info = "loop"; };
};
"""


@pytest.mark.hyplink_dts(LOOPBACK)
def test_both_ends_may_lie_in_one_vm(bench) -> None:
    vm = bench.vm(2)
    with (
        vm.mq("loop", mq.Config(4, 16), role="server", returns=True) as back,
        vm.mq("loop", TX, role="client", returns=True) as front,
    ):
        on(bench, back, front)
        for one, other in ((front, back), (back, front)):
            for number in range(20):
                message = one.allocate()
                message.header[0] = number
                message.send()
                got = other.receive()
                assert got.header[0] == number
                got.reply(bytes([number + 1]))
                reply = one.return_receive()
                assert reply.header[0] == number + 1
                reply.free()
        vm.kill()
        for queue in (back, front):
            with pytest.raises(errors.PeerDied):
                queue.receive()
    vm.boot()
    with vm.mq("loop", role="server") as back, vm.mq("loop", TX, role="client") as front:
        on(bench, back, front)
        front.allocate().send()
        back.receive().free()
