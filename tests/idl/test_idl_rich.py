"""The rest of the language in Python: state, handles, callbacks, tables, nested texts, versions."""

from __future__ import annotations

import errno
import struct
import types
from pathlib import Path
from typing import Any

import pytest
from idl_loop import Loop

from hyplink import idl
from hyplink.errors import BadArgument, ProtocolViolation
from hyplink.idl import linked
from hyplink.idl.runtime import BadBlock, UmemRef

DATA = Path(__file__).parent / "data"
HEAD = "idl 1; module t.rich version 1.2;\n"


@pytest.fixture(scope="module")
def gl() -> types.ModuleType:
    return idl.load(DATA / "glslice.vidl")


@pytest.fixture(scope="module")
def cam() -> types.ModuleType:
    return idl.load(DATA / "camera.vidl")


def server_of(module: types.ModuleType, **methods: Any) -> Any:
    """A handler with these methods; the others do nothing."""
    base = module.Handler
    names = [n for n in base.__abstractmethods__ if n not in methods]
    body = {n: (lambda *_: None) for n in names} | methods
    return type("Server", (base,), body)()


def loop_of(module: types.ModuleType, **methods: Any) -> tuple[Any, Loop]:
    loop = Loop(next(iter(module.INTERFACES.values())).bind, server_of(module, **methods))
    return module.Client(loop), loop


# -- sizes, state, nested texts --------------------------------------------------------------------


def read_pixels(self: Any, ctx: Any, *arguments: Any) -> None:
    arguments[-1][:] = b"\x7f" * len(arguments[-1])


def test_a_size_follows_from_state_on_both_sides(gl: types.ModuleType) -> None:
    client, _ = loop_of(gl, gl_read_pixels=read_pixels)
    area = (0, 0, 3, 2, gl.px.PixelFormat.RGB, gl.px.PixelType.UNSIGNED_BYTE)
    assert len(client.gl_read_pixels(*area)) == 12 + 9
    client.gl_pixel_storei(gl.PixelStore.PACK_ALIGNMENT, 1)
    assert len(client.gl_read_pixels(*area)) == 18
    client.gl_pixel_storei(gl.PixelStore.UNPACK_ALIGNMENT, 8)
    assert len(client.gl_read_pixels(*area)) == 18


def test_a_pair_without_a_size_is_refused_by_both_sides(gl: types.ModuleType) -> None:
    client, loop = loop_of(gl, gl_read_pixels=read_pixels)
    with pytest.raises(BadArgument, match="pixels"):
        client.gl_read_pixels(0, 0, 1, 1, gl.px.PixelFormat.ALPHA, 5)
    good = (0, 0, 1, 1, gl.px.PixelFormat.ALPHA, gl.px.PixelType.UNSIGNED_BYTE)
    client.gl_read_pixels(*good)
    assert loop.statuses == [0]


def test_texts_travel_without_count_and_lengths(gl: types.ModuleType) -> None:
    seen: list[Any] = []
    client, loop = loop_of(gl, gl_shader_source=lambda _, __, s, source: seen.append((s, source)))
    shader = object()
    number = loop._serve._handles.reserve("test.glslice.Shader")
    loop._serve._handles.fill(number, shader)
    assert number == 1 << 20 | 1
    client.gl_shader_source(gl.Shader(number), ["void main(){", b"}"])
    assert seen == [(shader, ["void main(){", "}"])]
    assert loop.blocks[-1].hex(" ", 8) == (
        "0100100002000000 1000000010000000 200000000c000000 3000000001000000"
        " 766f6964206d6169 6e28297b00000000 7d00000000000000"
    )
    client.gl_shader_source(gl.Shader(number), [])
    assert seen[-1] == (shader, [])


def test_an_absent_part_is_none(gl: types.ModuleType) -> None:
    seen: list[Any] = []
    client, loop = loop_of(gl, gl_tex_image2_d=lambda *a: seen.append(a[-1]))
    head = (1, 0, 2, 2, 2, 0, gl.px.PixelFormat.RGB, gl.px.PixelType.UNSIGNED_BYTE)
    client.gl_tex_image2_d(*head)
    assert loop.blocks[-1][32:] == bytes(32)
    client.gl_tex_image2_d(*head, bytes(8 + 6))
    assert seen == [None, bytes(14)]
    with pytest.raises(BadArgument, match="pixels"):
        client.gl_tex_image2_d(*head, bytes(13))


class Table:
    """Buffers that lie in one piece of memory."""

    def __init__(self) -> None:
        self.memory = bytearray(1 << 20)
        self.refused = False

    def reference(self, buffer: Any, rights: str, transfer: str, /) -> UmemRef:
        return UmemRef(1, 0, 0, len(buffer))

    def resolve(self, reference: UmemRef, rights: str, transfer: str, /) -> memoryview:
        if reference.slot != 1 or self.refused:
            raise LookupError(reference)
        return memoryview(self.memory)[reference.offset : reference.offset + reference.length]

    def place(self, data: memoryview, first: bool, /) -> UmemRef:
        self.memory[: len(data)] = data
        return UmemRef(1, 0, 0, len(data))


def test_a_large_part_travels_as_a_buffer_where_there_is_a_table(gl: types.ModuleType) -> None:
    seen: list[Any] = []
    handler = server_of(gl, gl_tex_image2_d=lambda *a: seen.append(a[-1]))
    table = Table()
    loop = Loop(gl.glslice_bind, handler, buffers=table)
    client = gl.Client(loop, buffers=table)
    head = (1, 0, 2, 256, 64, 0, gl.px.PixelFormat.RGBA, gl.px.PixelType.UNSIGNED_BYTE)
    client.gl_tex_image2_d(*head, b"\x11" * 65536)
    assert len(loop.blocks[-1]) == 64
    assert seen == [b"\x11" * 65536]
    table.refused = True
    with pytest.raises(BadBlock, match=r"D13.*pixels"):
        client.gl_tex_image2_d(*head, b"\x11" * 65536)


# -- callbacks -------------------------------------------------------------------------------------


def test_a_registered_callback_comes_with_its_cookie(gl: types.ModuleType) -> None:
    refs: list[Any] = []
    client, _ = loop_of(gl, gl_debug_message_callback=lambda _, __, ref: refs.append(ref))
    seen: list[Any] = []
    cookie = object()
    client.gl_debug_message_callback(lambda *a: seen.append(a), cookie)
    refs[0](1, 2, 3, gl.DebugSeverity.HIGH, "careful")
    assert seen == []
    assert client.handle_callbacks() == 1
    assert seen == [(1, 2, 3, gl.DebugSeverity.HIGH, "careful", cookie)]
    client.gl_debug_message_callback(None)
    assert refs[1] is None
    refs[0](1, 2, 3, gl.DebugSeverity.LOW, "too late")
    client.handle_callbacks()
    assert len(seen) == 1
    assert client._me._callbacks.dropped == 1


def test_a_slow_client_loses_the_oldest(gl: types.ModuleType) -> None:
    refs: list[Any] = []
    client, loop = loop_of(gl, gl_debug_message_callback=lambda _, __, ref: refs.append(ref))
    seen: list[str] = []
    client.gl_debug_message_callback(lambda *a: seen.append(a[4]))
    loop.server.room = 2
    for number in range(300):
        refs[0](1, 2, number, gl.DebugSeverity.LOW, str(number))
    loop.server.room = 1000
    refs[0](1, 2, 3, gl.DebugSeverity.LOW, "last")
    client.handle_callbacks()
    assert seen == ["0", "1", *map(str, range(300 - 256, 300)), "last"]


def camera(cam: types.ModuleType) -> dict[str, Any]:
    class Device:
        def __init__(self, name: str) -> None:
            self.name = name
            self.asked: Any = None

    def open_(self: Any, ctx: Any, name: str) -> Any:
        if name == "busy":
            raise cam.StatusError(cam.Status.BUSY)
        if name == "broken":
            raise OSError(5, "broken")
        return Device(name)

    def configure(self: Any, ctx: Any, device: Any, cfg: Any) -> Any:
        device.asked = cfg
        return ["stream of", device]

    def start(self: Any, ctx: Any, stream: Any) -> None:
        info = cam.FrameInfo(timestamp_ns=7, sequence=1, bytes_used=3)
        ctx.on_frame(stream, UmemRef(1, 2, 0, 64), info)

    def stop(self: Any, ctx: Any, stream: Any) -> None:
        stream.append(ctx.on_overrun(stream, 9))

    def enumerate_(self: Any, ctx: Any, limit: int) -> Any:
        return cam.Status.OK, "front,back"

    return {
        "open": open_,
        "configure": configure,
        "start": start,
        "stop": stop,
        "enumerate": enumerate_,
    }


def test_handles_are_objects_at_the_server_and_names_at_the_client(cam: types.ModuleType) -> None:
    client, loop = loop_of(cam, **camera(cam))
    front = client.open("front")
    assert isinstance(front, cam.Camera)
    config = cam.StreamConfig(format=cam.Format.NV12, size=cam.Size(1920, 1080))
    assert (config.fps, config.buffers) == (30, 4)
    stream = client.configure(front, config)
    device = loop._serve._handles.get("test.camera.Camera", front)
    assert (device.name, device.asked) == ("front", config)
    with pytest.raises(BadBlock, match="D13"):
        client.start(cam.Stream(front))
    client.close(front)
    assert len(loop._serve._handles) == 0
    with pytest.raises(BadBlock, match="D13"):
        client.start(stream)


def test_a_declared_failure_is_an_exception_with_its_status(cam: types.ModuleType) -> None:
    client, loop = loop_of(cam, **camera(cam))
    with pytest.raises(cam.StatusError) as caught:
        client.open("busy")
    assert caught.value.status is cam.Status.BUSY
    assert loop.statuses == [0x1FFFE]
    with pytest.raises(OSError, match="EIO"):
        client.open("broken")
    assert len(loop._serve._handles) == 0


def test_a_failure_that_was_not_declared_is_a_broken_protocol(cam: types.ModuleType) -> None:
    client, loop = loop_of(cam, **camera(cam))
    loop._serve = lambda _: 0x10063
    with pytest.raises(ProtocolViolation, match="unknown failure 99"):
        client.open("x")


def test_a_capacity_cuts_a_text(cam: types.ModuleType) -> None:
    client, _ = loop_of(cam, **camera(cam))
    assert client.enumerate(32) == (cam.Status.OK, "front,back")
    assert client.enumerate(6) == (cam.Status.OK, "front")
    assert client.enumerate(1) == (cam.Status.OK, "")


def test_callbacks_of_an_interface_go_to_what_the_client_set(cam: types.ModuleType) -> None:
    client, _ = loop_of(cam, **camera(cam))
    stream = client.configure(client.open("x"), config(cam))
    frames: list[Any] = []

    @client.on_frame
    def _(handle: Any, frame: Any, info: Any) -> None:
        frames.append((handle, frame, info.timestamp_ns, info.exposure_us))

    client.start(stream)
    client.handle_callbacks()
    assert frames == [(stream, UmemRef(1, 2, 0, 64), 7, 0)]


def config(cam: types.ModuleType) -> Any:
    return cam.StreamConfig(format=cam.Format.NV12, size=cam.Size(1920, 1080), fps=60)


def test_a_synchronous_callback_answers_or_gives_what_on_lost_says(cam: types.ModuleType) -> None:
    client, loop = loop_of(cam, **camera(cam))
    stream = client.configure(client.open("x"), config(cam))
    client.on_overrun(lambda _, dropped: dropped + 1)
    client.stop(stream)
    loop.server.room = 0
    client.stop(stream)
    assert loop._serve._handles.get("test.camera.Stream", stream)[2:] == [10, 0]


# -- tables ----------------------------------------------------------------------------------------


def test_a_shorter_table_has_defaults_and_a_longer_tail_is_ignored(cam: types.ModuleType) -> None:
    client, loop = loop_of(cam, **camera(cam))
    front = client.open("x")
    client.configure(front, config(cam))
    block = loop.blocks[-1]
    device = loop._serve._handles.get("test.camera.Camera", front)

    def send(length: int, body: bytes) -> int:
        data = block[:8] + length.to_bytes(4, "little") + block[12:16]
        return loop._serve(request_of(cam, 3, data + body + bytes(-len(body) % 8)))

    whole = block[16:36]
    assert send(12, whole[:12]) == 0
    assert device.asked.fps == 30
    assert send(24, whole + b"more") == 0
    assert device.asked.fps == 60
    for broken, rule in ((whole[:14], "D5"), (whole[:12] + bytes(4), "D7")):
        with pytest.raises(BadBlock, match=f"{rule}.*cfg"):
            send(len(broken), broken)


def request_of(module: types.ModuleType, ordinal: int, block: bytes) -> Any:
    from idl_wirelib import Request

    group = next(iter(module.INTERFACES.values())).schema.group
    return Request(group << 16 | ordinal, memoryview(block), memoryview(bytearray(64)), True)


# -- who owns a buffer ---------------------------------------------------------------------------------

GIFTS = (
    HEAD
    + """
umem Blob client(read write) server(read) max 1M;
interface g group 3 {
    async give(gives Blob b, gives Blob other?) = 1;
    sync u32 trade(gives Blob b) = 2;
    async lend(lends Blob b) = 3;
    callback async returned(gives Blob b) = 1;
}
"""
)


class _Table:
    """Buffers that are their own references, and who was told to own them."""

    def __init__(self) -> None:
        self.moved: list[tuple[int, bool]] = []

    def reference(self, buffer: Any, rights: str, transfer: str, /) -> Any:
        return buffer

    def resolve(self, reference: Any, rights: str, transfer: str, /) -> Any:
        if reference.slot == 9:
            raise LookupError(reference)
        return reference

    def transferred(self, reference: Any, given: bool, /) -> None:
        self.moved.append((reference.slot, given))

    def place(self, data: memoryview, first: bool, /) -> None:
        return None


def test_a_buffer_changes_hands_once_whatever_becomes_of_its_request() -> None:
    module = idl.load(text=GIFTS)
    info = next(iter(module.INTERFACES.values()))
    own, theirs = _Table(), _Table()
    one, two, third = (linked.UmemRef(n, 1, 0, 8) for n in (1, 2, 3))

    def moved() -> tuple[list[Any], list[Any]]:
        found = own.moved[:], theirs.moved[:]
        own.moved.clear()
        theirs.moved.clear()
        return found

    class Handler(module.Handler):  # type: ignore[misc, name-defined]
        def give(self, ctx: Any, b: Any, other: Any) -> None:
            ctx.returned(b)

        def trade(self, ctx: Any, b: Any) -> int:
            if b == third:
                raise OSError(errno.EBUSY, "busy")
            return int(b.length)

        def lend(self, ctx: Any, b: Any) -> None: ...

    loop = Loop(info.bind, Handler(), buffers=theirs)
    client = info.client(loop, buffers=own)
    client.lend(one)
    assert moved() == ([], [])
    client.give(one)
    assert moved() == ([(1, True)], [(1, False), (1, True)])
    assert client.handle_callbacks() == 1  # nobody listens, and it is back all the same
    assert moved() == ([(1, False)], [])
    client.give(one, two)
    assert moved() == ([(1, True), (2, True)], [(1, False), (2, False), (1, True)])
    with pytest.raises(BadArgument, match="given once"):
        client.give(one, one)
    assert moved() == ([], [])
    assert client.trade(two) == 8
    assert moved() == ([(2, True)], [(2, False)])
    with pytest.raises(OSError, match="refused by the server"):
        client.trade(third)
    assert moved() == ([(3, True)], [(3, False)])
    with pytest.raises(BadBlock, match="D13"):
        client.trade(linked.UmemRef(9, 1, 0, 8))
    assert moved() == ([(9, True)], [])
    twice = struct.pack("<IIQQ", *one) * 2
    with pytest.raises(BadBlock, match="D13"):
        loop._serve(post_of(module, 1, twice))
    assert moved() == ([], [])


# -- the rest --------------------------------------------------------------------------------------


SMALL = (
    HEAD
    + """
struct Point { i32 x; i32 y; }
interface s group 3 {
    async void attributes(in i32 list[until 99 step 2] max 9) = 1;
    async void maybe(in Point p?, in u32 n?, in string text? max 9) = 2;
    sync string name() = 3 max 8 @cacheable;
    sync string? other(u32 n) = 4 max 8 @cacheable(until: forget);
    async void forget() = 5;
    sync void grow(inout u32 n, u32 m in 0..4, inout u8 data[m] max 4) = 6;
    sync void answer(out u16 found[reply] max 4) = 7;
    async void old() = 8 @deprecated;
}
"""
)


@pytest.fixture(scope="module")
def small() -> types.ModuleType:
    return idl.load(text=SMALL)


def test_a_list_ends_with_its_mark(small: types.ModuleType) -> None:
    seen: list[Any] = []
    client, loop = loop_of(small, attributes=lambda _, found: seen.append(list(found)))
    client.attributes([1, 99])
    client.attributes([1, 2, 99])
    client.attributes([])
    assert seen == [[1, 99, 99], [1, 2, 99], [99]]
    with pytest.raises(BadArgument):
        client.attributes([99, 1, 99])
    with pytest.raises(BadArgument):
        client.attributes(range(12))
    broken = loop.blocks[1].replace(b"\x63", b"\x62")
    with pytest.raises(BadBlock, match=r"D5.*list"):
        loop._serve(post_of(small, 1, broken))


def post_of(module: types.ModuleType, ordinal: int, block: bytes) -> Any:
    request = request_of(module, ordinal, block)
    request.is_call = False
    return request


def test_what_may_be_absent_is_none(small: types.ModuleType) -> None:
    seen: list[Any] = []
    client, loop = loop_of(small, maybe=lambda _, *a: seen.append(a))
    client.maybe()
    assert loop.blocks[-1] == bytes(24)
    client.maybe(small.Point(1, 2), 3, "")
    assert seen == [(None, None, None), (small.Point(1, 2), 3, "")]


def test_answers_that_never_change_are_asked_once(small: types.ModuleType) -> None:
    asked: list[int] = []

    def other(self: Any, n: int) -> str | None:
        asked.append(n)
        return None if n == 0 else f"n{n}"

    client, loop = loop_of(small, name=lambda _: "soft", other=other)
    assert [client.name(), client.name()] == ["soft", "soft"]
    assert len(loop.blocks) == 1
    assert [client.other(0), client.other(1), client.other(1)] == [None, "n1", "n1"]
    client.forget()
    client.other(1)
    assert asked == [0, 1, 1]


def test_inout_comes_back(small: types.ModuleType) -> None:
    def grow(self: Any, n: int, m: int, data: memoryview) -> int:
        data[0] += 1
        return n * 2

    client, _ = loop_of(small, grow=grow)
    assert client.grow(21, 2, b"\x05\x06") == (42, b"\x06\x06")


def test_the_server_decides_how_much_it_answers(small: types.ModuleType) -> None:
    client, _ = loop_of(small, answer=lambda _: [5, 6])
    assert list(client.answer()) == [5, 6]


def test_a_deprecated_procedure_warns_its_caller(small: types.ModuleType) -> None:
    client, _ = loop_of(small)
    with pytest.warns(DeprecationWarning, match=r"s\.old") as caught:
        client.old()
    assert caught[0].filename == __file__


def test_versions_that_differ_in_major_or_text_do_not_meet(small: types.ModuleType) -> None:
    own = small.hello()
    assert len(own) == 24
    assert linked.hello_problem(own + b"user", own) == ""
    assert linked.user_info(own + b"user") == b"user"
    assert linked.hello_problem(b"no hello", own) == ""
    (schema,) = (i.schema for i in small.INTERFACES.values())
    older = linked.hello([schema._replace(minor=1, hash=5)])
    assert linked.hello_problem(older, own) == ""
    other = linked.hello([schema._replace(hash=5)])
    assert "another text" in linked.hello_problem(other, own)
    assert "2.2" in linked.hello_problem(linked.hello([schema._replace(major=2)]), own)
    assert "cut short" in linked.hello_problem(own[:-1], own)


def test_a_handle_that_was_destroyed_stays_dead() -> None:
    table = linked.HandleTable(most=1)
    first = table.reserve("k")
    table.fill(first, "a")
    with pytest.raises(OSError, match="no handle is left"):
        table.reserve("k")
    table.drop(first)
    second = table.reserve("k")
    assert (second & 0xFFFFF, second >> 20) == (1, 2)
    for number in (first, second):  # destroyed; not filled yet
        with pytest.raises(LookupError):
            table.get("k", number)
