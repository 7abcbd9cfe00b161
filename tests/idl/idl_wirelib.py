"""The Python twin of cpp/driver.cpp: same calls, same handler, same answers in text."""

from __future__ import annotations

import contextlib
import types
from dataclasses import dataclass
from typing import Any

from hyplink.errors import HyplinkError, LinkError
from hyplink.idl.runtime import BadBlock

__all__ = ["Recorder", "Request", "box_of", "decode", "encode", "make_echo", "read_reply"]

_AT = 64


@dataclass
class Request:
    proc: int
    params: memoryview
    out: memoryview
    is_call: bool


class Recorder:
    """A channel that keeps the last block and answers with prepared bytes."""

    def __init__(self, status: int = 0, answer: bytes = bytes(4096)) -> None:
        self.window = memoryview(bytearray(b"\xee" * (1 << 16) + answer))
        self.status, self.room = status, len(answer)
        self.size = 0

    def begin(self, proc: int, nbytes: int) -> int:
        self.window[: 1 << 16] = b"\xee" * (1 << 16)
        self.size = nbytes
        return _AT

    def begin_call(self, proc: int, in_bytes: int, out_bytes: int) -> int:
        return self.begin(proc, in_bytes)

    def post(self) -> None: ...

    def notify(self) -> None: ...

    def call(self, *, timeout: float | None = None) -> tuple[int, int, int]:
        return self.status, 1 << 16, self.room

    async def call_async(self) -> tuple[int, int, int]:
        return self.call()

    @property
    def block(self) -> bytes:
        return bytes(self.window[_AT : _AT + self.size])


def box_of(idl: types.ModuleType, tag: int) -> Any:
    colour, point = idl.shp.Colour, idl.shp.Point
    return idl.Box(
        tag=tag,
        corner=point(-1, 2),
        solid=True,
        weight=0.25,
        colours=[colour.RED, colour.GREEN, colour.BLUE],
        ratings=(-2, 0, 2),
        path=[point(3, 4), point(5, 6)],
        raw=bytes([1, 2, 3, 4, 5]),
        level=idl.Level.HIGH,
    )


def make_echo(idl: types.ModuleType, seen: Recorder) -> Any:
    """A handler that sends every argument through a client again."""
    again = idl.EverythingClient(seen)

    def forward(name: str) -> Any:
        def method(self: Any, *args: Any) -> Any:
            inputs = args[:-1] if name in ("several", "fill") else args
            # The reply is zeros, which not every type allows; the request is what counts.
            with contextlib.suppress(BadBlock):
                getattr(again, name)(*inputs)
            return _answer(idl, name, args)

        return method

    names = [n for n in vars(idl.EverythingHandler) if not n.startswith("_")]
    return type("Echo", (idl.EverythingHandler,), {n: forward(n) for n in names})()


def _answer(idl: types.ModuleType, name: str, args: tuple[Any, ...]) -> Any:
    if name == "is_set":
        return bool(args[0] & 1)
    if name == "get_level":
        return idl.Level.LOW
    if name == "get_box":
        if args[0] == 255:
            raise BlockingIOError(16, "busy")
        return box_of(idl, args[0])
    if name == "several":
        n, values = args
        for i in range(n):
            values[i] = i * 100
        levels = [idl.Level(i % 3 - 1) for i in range(n)]
        boxes = [box_of(idl, i) for i in range(n)]
        return n + 1, 1 << 40, "L" * n, (0.5, 1.5), boxes, [i % 2 == 0 for i in range(n)], levels
    if name == "fill":
        n, data = args
        for i in range(n):
            data[i] = i + 1
        if n == 63:
            raise OSError(12, "no memory")
        return None
    if name == "get_camel_case":
        return len(args[0].encode("utf-8", "surrogateescape"))
    if name == "bounded":
        return args[0], args[0]
    return None


def decode(idl: types.ModuleType, proc: int, is_call: bool, out_bytes: int, block: bytes) -> str:
    """What the driver answers to ``d``."""
    seen = Recorder()
    out = bytearray(b"\xdd" * out_bytes)
    request = Request(proc, memoryview(block), memoryview(out), is_call)
    try:
        status = idl.everything_dispatch(make_echo(idl, seen), request)
    except BadBlock as bad:
        return f"reject {bad.rule} {bad.field} {bad.offset}"
    performed = proc in idl.everything_procedures
    same = not performed or seen.block == block
    return f"ok {status} {out.hex() or '-'} {int(same)}"


def encode(idl: types.ModuleType) -> dict[str, str]:
    """What the driver answers to ``e``."""
    seen = Recorder()
    client = idl.EverythingClient(seen)
    level, loose, colour, pair = idl.Level, idl.Loose, idl.shp.Colour, idl.Pair
    box, many = box_of(idl, 9), bytes([0x55]) * 128
    bad = box_of(idl, 9)
    bad.colours = [colour.RED, 3, colour.BLUE]
    five = bytes([1, 2, 3, 4, 5])
    fixed = ([1, 2, 3, 4], [True, False, True], [level.LOW, level.HIGH], five + b"\6")
    pairs = [pair(1, 2), pair(3, 4), pair(5, 6)]
    calls: dict[str, tuple[Any, ...]] = {
        "scalars": (1, 2, 3, 4, -1, -2, -3, -4, 0.5, -0.25, True, 5, -6),
        "keywords": (1, 2, 3, 4, 5, 6, 7, 8),
        "narrow": (2, 4, 32),
        "narrow_low": (0, 4, 32),
        "narrow_choice": (1, 3, 32),
        "kinds": (level.LOW, 99, colour.BLUE),
        "kinds_bad": (9, loose.NULL, colour.BLUE),
        "boxes": (box, pair(7, 8)),
        "boxes_bad": (bad, pair(7, 8)),
        "fixed": (*fixed, [0, 5, 9]),
        "fixed_bad": (*fixed, [0, 5, 10]),
        "texts": ("hello", 5, five, "grüß"),
        "texts_empty": ("", 0, b"", ""),
        "texts_seven": ("1234567", 5, five, "12345678"),
        "texts_long": ("hello", 5, five, "123456789"),
        "texts_nul": ("a\0b", 5, five, ""),
        "texts_count": ("a", 4, five, ""),
        "lists": (
            3,
            [-1, 0, 1],
            [True, False, True],
            [level.LOW, level.MIDDLE, level.HIGH],
            [box_of(idl, 1), box_of(idl, 2), box_of(idl, 3)],
            pairs,
            [1, 2, 1 << 63],
            [1, 500, loose.NULL],
        ),
        "lists_empty": (0, [], [], [], [], [], [], []),
        "in_place": (3, [1.0, 2.0, 3.0], pairs),
        "square": (3, many[:9]),
        "square_wrap": (65536, b""),
        "maths_roundup": (60, 7, -1, many[:63]),
        "maths_other": (20, 6, -1, many[:11]),
        "signed": (3, many[:3]),
        "signed_negative": (-1, b""),
        "inside": (pair(4, 4), many[:3]),
        "nothing": (),
        "constant": (many[:8],),
        "ping": (),
        "is_set": (1,),
        "get_camel_case": ("mvp",),
    }
    found: dict[str, str] = {}
    for name, arguments in calls.items():
        method = name if hasattr(client, name) else name.split("_")[0]
        for known in ("in_place", "is_set", "get_camel_case"):
            if name.startswith(known):
                method = known
        try:
            getattr(client, method)(*arguments)
            found[name] = seen.block.hex() or "-"
        except LinkError as error:
            found[name] = f"error {error.errno}"
    return found


def read_reply(idl: types.ModuleType, what: str, status: int, answer: bytes) -> str:
    """What the driver answers to ``r``."""
    client = idl.EverythingClient(Recorder(status, answer))
    try:
        if what == "get_level":
            return f"ok {int(client.get_level())}"
        if what == "is_set":
            return f"ok {int(client.is_set(1))}"
        if what == "fill":
            return f"ok {client.fill(5).hex()}"
        if what == "get_box":
            box = client.get_box(1)
            twin = box_of(idl, 1)
            same = all(
                list(getattr(box, n)) == list(getattr(twin, n))
                if n in ("colours", "ratings", "path", "raw")
                else getattr(box, n) == getattr(twin, n)
                for n in box.__slots__
            )
            return "ok equal" if same else "ok other"
        if what == "bounded":
            return f"ok {client.bounded(1)[1]}"
        result, big, label, values, vector, boxes, bits, levels = client.several(2)
        good = (result, big, label) == (3, 1 << 40, "LL") and list(values) == [0, 100]
        good = good and vector[1] == 1.5 and boxes[1].tag == 1 and list(bits) == [True, False]
        return "ok equal" if good and levels[1] == idl.Level.MIDDLE else "ok other"
    except HyplinkError as error:
        return f"error {getattr(error, 'errno', 0)} {getattr(error, 'strerror', '')}"
