"""vIPC (document 001, 4.4): many calls over one vMQ, in any order, safe over restarts.

Each test runs on both faces of the client: Python's, and the calls of the C++ one as they are.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import random
import struct
from typing import Any

import pytest
from conformance_lib import EVERYWHERE, REAL_TIME

import hyplink
from hyplink import _core, errors, ipc, mq
from hyplink.testing import background

BOARD = """
&vm2_vdevs { a: vmq@a { compatible = "vmq"; info = "disk"; server; }; };
&vm3_vdevs { vmq@a { peer-phandle = <&a>; client; info = "disk"; }; };
"""
pytestmark = [EVERYWHERE, pytest.mark.hyplink_dts(BOARD)]
TX = mq.Config(32, 32, data_count=4, data_max=512)


def on(bench: hyplink.Bench, server: mq.Queue, queue: mq.Queue) -> None:
    joining = background(bench, server.wait_on)
    queue.wait_on()
    joining.result()


class CoreCall:
    """A call of the C++ face: begun, filled in place, sent; the same names as in Python."""

    def __init__(self, context: CoreContext, core: Any, room: int) -> None:
        self._context, self._core, self._room = context, core, room

    @property
    def cookie(self) -> int:
        return int(self._core.cookie)

    def done(self) -> bool:
        return bool(self._core.done())

    def result(self) -> bytes:
        self._context.core.wait(self._core, self._context.queue.timeout)
        return bytes(self._core.answer())

    @property
    def data(self) -> bytes:
        copied = bytes(self._context.core.data(self._core)[: self._room])
        self._core.release()
        return copied


class CoreContext:
    """The C++ face: parameters are written in place, and nothing is sent before `flush` where it need not be."""

    def __init__(self, queue: mq.Queue) -> None:
        self.queue = queue
        self.core = _core.IpcContext(queue._core)

    @property
    def under_way(self) -> int:
        return int(self.core.under_way)

    @property
    def unknown(self) -> int:
        return int(self.core.unknown)

    def submit(self, params: bytes, data: bytes = b"", *, room: int = 0) -> CoreCall:
        if len(params) > self.core.room:
            raise errors.MessageTooLong(90, f"room for {self.core.room}")
        call = self.core.make_call()
        self.core.begin(call, max(len(data), room), room != 0, self.queue.timeout)
        view = self.core.params(call)
        view[:] = params.ljust(len(view), b"\0")
        if data or room:
            self.core.data(call)[: len(data)] = data
            view[-8:] = struct.pack("<Q", call.data_offset)
        if call.cookie % 2:
            self.core.send(call)
        else:
            self.core.send_async(call)
            self.core.flush()
        return CoreCall(self, call, room)

    def call(self, params: bytes) -> bytes:
        return self.submit(params).result()

    def wait(self) -> None:
        self.core.wait_any(self.queue.timeout)

    def abort_calls(self) -> int:
        return int(self.core.abort_calls(errno.EPIPE, "aborted"))


FACES = {"python": ipc.Context, "cpp": CoreContext}


@pytest.fixture(params=FACES)
def face(request: pytest.FixtureRequest) -> Any:
    return FACES[request.param]


@pytest.fixture
def ends(bench: hyplink.Bench, face: Any) -> Any:
    with bench.vm(2).mq("disk") as server, bench.vm(3).mq("disk", TX, returns=True) as queue:
        on(bench, server, queue)
        yield server, face(queue)


def params(request: ipc.Request) -> bytes:
    return bytes(request.params).rstrip(b"\0")


def serve(server: mq.Queue) -> None:
    with contextlib.suppress(errors.PeerDied):
        for request in ipc.requests(server):
            request.reply(params(request)[::-1].ljust(24, b"\0"))


@pytest.mark.parametrize("waits", ["wait", "wait_any"])
def test_who_waits_rings_for_what_was_sent_without_ringing(bench, waits: str) -> None:
    with bench.vm(2).mq("disk") as server, bench.vm(3).mq("disk", TX, returns=True) as queue:
        on(bench, server, queue)
        serving = background(bench, lambda: serve(server))
        core = _core.IpcContext(queue._core)
        call = core.make_call()
        core.begin(call, 0, False, queue.timeout)
        core.send_async(call)
        while not call.done():
            getattr(core, waits)(*((call,) if waits == "wait" else ()), queue.timeout)
        assert bytes(call.answer()).strip(b"\0") == b""
        queue.close()
        serving.result()


def test_calls_are_answered_in_any_order(ends) -> None:
    server, context = ends
    dice = random.Random(5)
    calls = [context.submit(b"call %02d" % number) for number in range(32)]
    got = [ipc.Request(server.receive()) for _ in range(32)]
    assert [params(request) for request in got] == [b"call %02d" % number for number in range(32)]
    dice.shuffle(got)
    for request in got:
        request.reply(params(request).upper())
    waiting = list(enumerate(calls))
    dice.shuffle(waiting)
    for number, call in waiting:
        assert call.result().rstrip(b"\0") == b"CALL %02d" % number
    assert context.under_way == 0


def test_more_calls_than_messages_wait_for_answers(bench, ends) -> None:
    server, context = ends
    background(bench, lambda: serve(server))
    calls = [context.submit(b"n%03d" % number) for number in range(200)]
    assert [call.result().rstrip(b"\0") for call in calls] == [
        (b"n%03d" % number)[::-1] for number in range(200)
    ]
    context.queue.close()


def test_a_call_takes_a_buffer_along_and_frees_it_when_answered(bench, ends) -> None:
    server, context = ends
    for number in range(20):
        call = context.submit(b"write", bytes([number]) * 512)
        request = ipc.Request(server.receive())
        assert bytes(request.buffer()) == bytes([number]) * 512
        request.reply()
        call.result()


def test_nothing_of_an_earlier_message_travels_with_a_later_one(ends) -> None:
    server, context = ends
    for _ in range(32):
        context.submit(b"long" * 6)
        server.receive().reply()
    for _ in range(32):
        context.submit(b"short")
        message = server.receive()
        assert bytes(message.header[8:]) == b"short".ljust(24, b"\0")
        message.reply()


def test_what_does_not_fit_is_refused(ends) -> None:
    _, context = ends
    with pytest.raises(errors.MessageTooLong, match="24"):
        context.submit(bytes(25))
    assert context.under_way == 0


def test_an_answer_lies_in_the_buffer_where_the_caller_asked_for_room(ends) -> None:
    server, context = ends
    calls = [context.submit(b"read %d" % number, room=300) for number in range(3)]
    for number in range(3):
        request = ipc.Request(server.receive())
        request.buffer()[:300] = bytes([number + 1]) * 300
        request.reply()
    for number, call in enumerate(calls):
        call.result()
        assert call.data == bytes([number + 1]) * 300
    with context.queue.allocate(data=512).header:  # all four are free again
        others = [context.queue.allocate(data=512) for _ in range(3)]
    assert len(others) == 3


def test_calls_wait_for_the_buffers_of_other_calls(bench, ends) -> None:
    server, context = ends
    background(bench, lambda: serve(server))
    calls = [context.submit(b"w%03d" % number, b"data") for number in range(40)]  # four buffers
    for number, call in enumerate(calls):
        assert call.result().rstrip(b"\0").endswith((b"w%03d" % number)[::-1])
    context.queue.close()


def test_a_message_with_a_wrong_cookie_ends_its_own_call_and_no_other(ends) -> None:
    server, context = ends
    calls = [context.submit(b"call %d" % number) for number in range(4)]
    got = [server.receive() for _ in range(4)]
    cookies = [bytes(message.header[:8]) for message in got]
    for number, forged in enumerate([cookies[1], bytes(8), b"\xff" * 8]):
        got[number].header[:8] = forged
        got[number].reply()
    got[3].reply()
    assert calls[3].result().rstrip(b"\0") == b"call 3"
    for call in calls[:3]:
        with pytest.raises(errors.CorruptRing, match="cookie"):
            call.result()
    assert (context.unknown, context.under_way) == (3, 0)
    again = context.submit(b"again")
    ipc.Request(server.receive()).reply()
    assert again.result().rstrip(b"\0") == b"again"


def test_a_call_that_is_freed_instead_of_answered_ends(ends) -> None:
    server, context = ends
    calls = [context.submit(b"first", b"data"), context.submit(b"second")]
    server.receive().free()
    ipc.Request(server.receive()).reply()
    assert calls[1].result().rstrip(b"\0") == b"second"
    with pytest.raises(errors.ProtocolViolation):
        calls[0].result()
    for _ in range(100):  # nothing of it is lost
        calls = [context.submit(b"x", b"y") for _ in range(4)]
        for _ in calls:
            server.receive().free()
        last = context.submit(b"last")
        ipc.Request(server.receive()).reply()
        last.result()
        assert all(call.done() for call in calls)


def test_answers_to_a_context_that_is_gone_are_nobodys(bench, ends) -> None:
    server, context = ends
    gone = type(context)(context.queue)
    lost = [gone.submit(b"lost", b"data") for _ in range(3)]
    got = [server.receive() for _ in range(3)]
    del lost, gone
    call = context.submit(b"mine", b"data")
    for message in got:
        message.reply()
    ipc.Request(server.receive()).reply()
    assert call.result().startswith(b"mine")
    assert (context.unknown, context.under_way) == (3, 0)


def test_a_call_that_nobody_has_any_more_costs_nothing(bench, ends) -> None:
    server, context = ends
    background(bench, lambda: serve(server))
    for number in range(100):
        context.submit(b"drop %d" % number, b"data" if number % 2 else b"")
    assert context.call(b"kept").rstrip(b"\0") == b"tpek"
    assert (context.unknown, context.under_way) == (0, 0)
    context.queue.close()


def test_an_abort_ends_what_is_under_way_and_late_answers_are_dropped(ends) -> None:
    server, context = ends
    calls = [context.submit(b"slow", b"data") for _ in range(4)]
    assert context.abort_calls() == 4
    for call in calls:
        with pytest.raises(errors.PeerDied):
            call.result()
    for _ in range(4):
        ipc.Request(server.receive()).reply()
    call = context.submit(b"next", b"data")  # a buffer is free again
    ipc.Request(server.receive()).reply()
    assert call.result().startswith(b"next")
    assert context.unknown == 0


def test_a_time_limit_leaves_the_call_under_way(ends) -> None:
    server, context = ends
    context.queue.timeout = 0.05
    call = context.submit(b"slow")
    with pytest.raises(errors.DeadlineExceeded):
        call.result()
    with pytest.raises(errors.DeadlineExceeded):
        context.wait()
    assert context.under_way == 1
    context.queue.timeout = 60
    ipc.Request(server.receive()).reply()
    assert call.result().rstrip(b"\0") == b"slow"


def test_many_threads_call_through_one_context(bench, ends) -> None:
    server, context = ends
    background(bench, lambda: serve(server))

    def ask(number: int) -> list[bytes]:
        return [context.call(b"%d-%d" % (number, turn)).rstrip(b"\0") for turn in range(25)]

    threads = [background(bench, lambda number=number: ask(number)) for number in range(6)]
    for number, thread in enumerate(threads):
        assert thread.result() == [(b"%d-%d" % (number, turn))[::-1] for turn in range(25)]
    context.queue.close()


def test_threads_that_wait_all_hear_of_a_death(bench, ends) -> None:
    server, context = ends
    calls = [context.submit(b"never") for _ in range(5)]
    threads = [background(bench, call.result) for call in calls]
    early = context.submit(b"early")
    for _ in range(6):
        got = ipc.Request(server.receive())
        if params(got) == b"early":
            got.reply()
    assert early.result().rstrip(b"\0") == b"early"
    bench.vm(2).kill()
    for thread in threads:
        with pytest.raises(errors.PeerDied):
            thread.result()


def test_one_thread_gives_up_and_the_others_go_on(bench, ends) -> None:
    server, context = ends
    first = context.submit(b"first")
    second = context.submit(b"second")
    waiting = background(bench, second.result)
    core = context._core if isinstance(context, ipc.Context) else context.core
    for _ in range(5):  # taking turns with the other one at the queue
        with pytest.raises(errors.DeadlineExceeded):
            core.wait(first._core, 0.02)
    got = [ipc.Request(server.receive()) for _ in range(2)]
    got[1].reply()
    assert waiting.result().rstrip(b"\0") == b"second"
    got[0].reply()
    assert first.result().rstrip(b"\0") == b"first"


def test_cookies_of_a_later_context_are_none_of_an_earlier_one(ends) -> None:
    server, context = ends
    seen = []
    for made in (context, type(context)(context.queue)):
        calls = [made.submit(b"x") for _ in range(5)]
        for call in calls:
            ipc.Request(server.receive()).reply()
            call.result()
        seen.append({call.cookie for call in calls})
    assert not seen[0] & seen[1]


@pytest.mark.parametrize("end", ["kill", "shutdown"])
def test_the_servers_death_aborts_every_call_and_the_context_goes_on(bench, ends, end) -> None:
    server, context = ends
    calls = [context.submit(b"never", b"data") for _ in range(4)]
    waiting = background(bench, calls[2].result)
    ipc.Request(server.receive())
    getattr(bench.vm(2), end)()
    with pytest.raises(errors.PeerDied):
        waiting.result()
    for call in calls:
        with pytest.raises(errors.PeerDied):
            call.result()
    with pytest.raises(errors.PeerDied):
        context.submit(b"nobody")
    bench.vm(2).boot()
    server.close()
    with bench.vm(2).mq("disk") as again:
        on(bench, again, context.queue)
        background(bench, lambda: serve(again))
        assert context.call(b"good").rstrip(b"\0") == b"doog"
        context.queue.close()


@REAL_TIME
def test_calls_can_be_awaited_together(bench, ends) -> None:
    server, other = ends
    context = ipc.Context(other.queue)
    background(bench, lambda: serve(server))

    async def ask() -> list[bytes]:
        return await asyncio.gather(*(one(number) for number in range(32)))

    async def one(number: int) -> bytes:
        return (await context.submit(b"a%02d" % number)).rstrip(b"\0")

    assert asyncio.run(ask()) == [(b"a%02d" % number)[::-1] for number in range(32)]
    context.queue.close()


@REAL_TIME
def test_a_loop_awaits_answers_and_takes_messages_at_the_same_time(bench) -> None:
    with (
        bench.vm(2).mq("disk", mq.Config(8, 32)) as server,
        bench.vm(3).mq("disk", TX, returns=True) as queue,
    ):
        on(bench, server, queue)
        context = ipc.Context(queue)

        def other() -> None:
            for number in range(20):
                message = server.allocate()
                message.header[0] = number
                message.send()
                request = ipc.Request(server.receive())
                request.reply(params(request).upper())

        other_end = background(bench, other)

        async def hear() -> list[int]:
            heard: list[int] = []
            async for message in queue:
                heard.append(message.header[0])
                message.free()
                if len(heard) == 20:
                    break
            return heard

        async def ask() -> list[bytes]:
            return [(await context.submit(b"n%d" % turn)).rstrip(b"\0") for turn in range(20)]

        async def both() -> Any:
            return await asyncio.gather(hear(), ask())

        heard, answers = asyncio.run(both())
        assert heard == list(range(20))
        assert answers == [b"N%d" % turn for turn in range(20)]
        other_end.result()


STEPS = ["nothing", "sent", "received", "written", "answered", "taken"]


@pytest.mark.parametrize("vm", [2, 3])
@pytest.mark.parametrize("step", STEPS)
def test_either_vm_may_die_at_every_step_of_a_call(bench, face, vm: int, step: str) -> None:
    server = bench.vm(2).mq("disk")
    queue = bench.vm(3).mq("disk", TX, returns=True)
    on(bench, server, queue)
    context = face(queue)
    call = got = None
    if step != "nothing":
        call = context.submit(b"question", b"data")
    if step in STEPS[2:]:
        got = ipc.Request(server.receive())
    if step in STEPS[3:]:
        got.params[:8] = b"answered"
    if step in STEPS[4:]:
        got.reply()
    if step == "taken":
        assert call.result().startswith(b"answered")
    bench.vm(vm).kill()
    if vm == 2:
        if step in ("answered", "taken"):  # given before it died: delivered
            assert call.result().startswith(b"answered")
        elif call is not None:
            with pytest.raises(errors.PeerDied):
                call.result()
        with pytest.raises(errors.PeerDied):
            context.call(b"nobody")
        server.close()
    else:
        # Until the death is heard of what was sent may still be taken.
        assert len(list(ipc.requests(server))) <= (step == "sent")
        if step in ("received", "written"):
            with pytest.raises(errors.PeerDied):
                got.reply()
        server.close()
        call = context = None
        queue.close()
    bench.vm(vm).boot()
    if vm == 2:
        server = bench.vm(2).mq("disk")
    else:
        server = bench.vm(2).mq("disk")
        queue = bench.vm(3).mq("disk", TX, returns=True)
    on(bench, server, queue)
    if vm == 3:
        context = face(queue)
    again = context.submit(b"again", b"data")
    request = ipc.Request(server.receive())
    assert params(request).startswith(b"again")
    request.reply()
    assert again.result().startswith(b"again")
    queue.close()
    server.close()


def test_a_server_that_answers_anything_costs_only_its_own_calls(bench, face) -> None:
    dice = random.Random(29)
    for _ in range(12):
        server = bench.vm(2).mq("disk")
        queue = bench.vm(3).mq("disk", TX, returns=True)
        on(bench, server, queue)
        context = face(queue)
        queue.timeout = 0.05
        port = server._core.port()
        for _ in range(12):
            calls: list[Any] = []
            with contextlib.suppress(errors.LinkError):
                calls += [context.submit(dice.randbytes(16), b"data"[: dice.randrange(5)])]
                calls += [context.submit(dice.randbytes(24))]
            with contextlib.suppress(errors.LinkError):
                while (message := server.try_receive()) is not None:
                    at = dice.randrange(32)
                    message.header[at:] = dice.randbytes(32 - at)
                    dice.choice([message.reply, message.free])()
            if dice.random() < 0.3:
                at = 1024 + dice.randrange((len(port) - 1024) // 4) * 4
                port[at : at + 4] = dice.choice([dice.randbytes(4), struct.pack("<I", 3)])
            for call in calls:
                with contextlib.suppress(errors.LinkError):
                    call.result()
        context.abort_calls()
        assert context.under_way == 0
        del calls, context
        queue.close()
        server.close()
    with bench.vm(2).mq("disk") as server, bench.vm(3).mq("disk", TX, returns=True) as queue:
        on(bench, server, queue)
        call = face(queue).submit(b"after all of it")
        ipc.Request(server.receive()).reply()
        assert call.result().startswith(b"after all of it")
