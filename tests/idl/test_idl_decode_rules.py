"""One broken block per decode rule, answered alike by generated C++ and Python."""

from __future__ import annotations

import types
from collections.abc import Callable

import pytest
from idl_wirelib import decode, read_reply
from test_idl_wire import VECTORS, procedure_of

Driver = Callable[[str], list[str]]

GOOD = dict(line.split(" ", 1) for line in VECTORS.read_text().splitlines())


def patched(vector: str, *changes: tuple[int, str]) -> bytes:
    block = bytearray.fromhex(GOOD[vector].replace("-", ""))
    for at, data in changes:
        new = bytes.fromhex(data)
        block[at : at + len(new)] = new
    return bytes(block)


#: rule and case, vector, block, field, offset
REQUESTS = [
    ("D2 too short", "scalars", patched("scalars")[:-8], "in_bytes", 0),
    ("D2 too long", "scalars", patched("scalars") + bytes(8), "in_bytes", 0),
    ("D2 not a multiple of 8", "texts", patched("texts") + bytes(4), "in_bytes", 0),
    ("D2 empty", "texts", b"", "in_bytes", 0),
    ("D2 more than the largest block", "texts", patched("texts") + bytes(120), "in_bytes", 0),
    ("D2 bytes behind the last part", "texts", patched("texts") + bytes(8), "in_bytes", 0),
    ("D3 part before its place", "texts", patched("texts", (0, "18000000")), "first", 0),
    ("D3 part behind its place", "texts", patched("texts", (12, "30000000")), "data", 12),
    ("D3 offset that wraps", "texts", patched("texts", (0, "fffffff8")), "first", 0),
    ("D3 text longer than its maximum", "texts", patched("texts", (4, "11000000")), "first", 0),
    ("D3 length of 4 GiB", "texts", patched("texts", (4, "ffffffff")), "first", 0),
    ("D3 text to the end of the block", "texts", patched("texts")[:-8], "second", 20),
    ("D3 two parts at one place", "texts", patched("texts", (12, "20000000")), "data", 12),
    ("D4 length above its maximum", "square", patched("square", (0, "09000000")), "data", 4),
    (
        "D4 product that wraps at 32 bits",
        "square",
        patched("square", (0, "00000100"), (8, "00000000")),
        "data",
        4,
    ),
    ("D4 negative length", "signed", patched("signed", (0, "ffffffff")), "data", 4),
    ("D5 carried length differs", "texts", patched("texts", (8, "04000000")), "data", 12),
    (
        "D5 length of an expression",
        "maths_roundup",
        patched("maths_roundup", (0, "40000000")),
        "data",
        12,
    ),
    ("D5 length through a struct", "inside", patched("inside", (0, "05000000")), "data", 8),
    ("D7 value below its range", "narrow", patched("narrow", (0, "00000000")), "a", 0),
    ("D7 value above its range", "narrow", patched("narrow", (8, "2100000000000000")), "c", 8),
    ("D7 value not among the choices", "narrow", patched("narrow", (4, "03000000")), "b", 4),
    ("D7 unknown enumerator", "kinds", patched("kinds", (0, "02000000")), "level", 0),
    ("D7 unknown imported enumerator", "kinds", patched("kinds", (6, "03")), "colour", 6),
    ("D7 bool of 2", "scalars", patched("scalars", (48, "02")), "k", 48),
    ("D7 gap in the fixed part", "scalars", patched("scalars", (1, "01")), "padding", 1),
    ("D7 gap at the end", "kinds", patched("kinds", (7, "01")), "padding", 7),
    ("D7 gap in a struct", "boxes", patched("boxes", (1, "01")), "box", 0),
    ("D7 enumerator in a struct", "boxes", patched("boxes", (17, "03")), "box", 0),
    ("D7 range in a struct", "boxes", patched("boxes", (19, "7f")), "box", 0),
    ("D7 bool in a struct", "boxes", patched("boxes", (6, "ff")), "box", 0),
    ("D7 bool in a fixed array", "fixed", patched("fixed", (17, "02")), "flags", 16),
    ("D7 enumerator in a fixed array", "fixed", patched("fixed", (20, "05000000")), "levels", 20),
    ("D7 range in a fixed array", "fixed", patched("fixed", (38, "0a00")), "few", 34),
    ("D7 padding behind a part", "texts", patched("texts", (45, "01")), "data", 12),
    ("D7 NUL inside a text", "texts", patched("texts", (33, "00")), "first", 0),
    ("D7 no NUL behind a text", "texts", patched("texts", (37, "21")), "first", 0),
    ("D7 padding behind a text", "texts", patched("texts", (39, "01")), "first", 0),
    ("D7 bool in an array", "lists", patched("lists", (0x48, "02")), "bits", 12),
    ("D7 enumerator in an array", "lists", patched("lists", (0x54, "02000000")), "levels", 20),
    ("D7 gap of a struct in an array", "lists", patched("lists", (0x61, "01")), "boxes", 28),
]


@pytest.mark.parametrize(
    ("rule", "vector", "block", "field", "offset"), REQUESTS, ids=[r[0] for r in REQUESTS]
)
def test_a_request_that_breaks_a_rule_is_refused_with_its_place(
    everything: types.ModuleType, rule: str, vector: str, block: bytes, field: str, offset: int
) -> None:
    proc, is_call = procedure_of(everything, vector)
    answer = decode(everything, proc, is_call, 64, block)
    assert answer == f"reject {rule.split()[0]} {field} {offset}"


def test_cpp_refuses_the_same_requests_with_the_same_words(
    everything: types.ModuleType, driver: Driver
) -> None:
    lines, expected = [], []
    for rule, vector, block, field, offset in REQUESTS:
        proc, is_call = procedure_of(everything, vector)
        lines.append(f"d {proc:x} {int(is_call)} 64 {block.hex() or '-'}")
        expected.append(f"reject {rule.split()[0]} {field} {offset}")
    assert driver("\n".join(lines) + "\n") == expected


def test_a_post_that_comes_as_a_call_and_the_reverse_break_d2(
    everything: types.ModuleType, driver: Driver
) -> None:
    for proc, is_call in ((0x7000E, 1), (0x70014, 0)):
        assert decode(everything, proc, bool(is_call), 0, b"") == "reject D2 is_call 0"
        assert driver(f"d {proc:x} {is_call} 0 -\n") == ["reject D2 is_call 0"]


def test_room_for_the_answer_that_is_too_small_breaks_d6(
    everything: types.ModuleType, driver: Driver
) -> None:
    block = (8).to_bytes(4, "little") + bytes(4)
    assert decode(everything, 0x70019, True, 16, block).startswith("ok")
    assert decode(everything, 0x70019, True, 8, block) == "reject D6 out_bytes 0"
    assert driver(f"d 70019 1 8 {block.hex()}\n") == ["reject D6 out_bytes 0"]


def test_an_unknown_procedure_is_answered_and_harms_nothing(
    everything: types.ModuleType, driver: Driver
) -> None:
    for proc in (0x7001E, 0x90001, 0xFFFFFFFF):
        assert decode(everything, proc, False, 0, b"") == "ok 95 - 1"
        assert driver(f"d {proc:x} 0 0 -\n") == ["ok 95 - 1"]


def test_the_whole_answer_area_is_zeroed_before_use(
    everything: types.ModuleType, driver: Driver
) -> None:
    """D14: what the client finds behind the answer is never what the server's memory held."""
    block = (2).to_bytes(4, "little") + bytes(4)
    expected = f"ok 0 {'08000000020000000102'}{bytes(86).hex()} 1"
    assert decode(everything, 0x70019, True, 96, block) == expected
    assert driver(f"d 70019 1 96 {block.hex()}\n") == [expected]


REPLIES = [
    ("D6 short", "get_level", "01000000", "out_bytes", 0),
    ("D7 unknown enumerator", "get_level", "05000000" + "00" * 4, "result", 0),
    ("D7 padding", "get_level", "01000000" + "01" + "00" * 3, "padding", 4),
    ("D7 bool", "is_set", "02" + "00" * 7, "result", 0),
    ("D7 range", "bounded", "01000000" + "0a000000", "small", 4),
    ("D5 length", "fill", "08000000" + "04000000" + "00" * 8, "data", 0),
    ("D3 offset", "fill", "10000000" + "05000000" + "00" * 8, "data", 0),
    ("D7 padding of a part", "fill", "08000000" + "05000000" + "00" * 7 + "01", "data", 0),
    ("D7 struct", "get_box", "00" * 48, "result", 0),
]


@pytest.mark.parametrize(("rule", "case", "answer", "field", "offset"), REPLIES)
def test_a_reply_that_breaks_a_rule_is_refused_by_the_client(
    everything: types.ModuleType,
    driver: Driver,
    rule: str,
    case: str,
    answer: str,
    field: str,
    offset: int,
) -> None:
    name = rule.split()[0]
    python = read_reply(everything, case, 0, bytes.fromhex(answer))
    assert python.startswith(f"error 74 rpq block for Everything.{case}: rule {name} broken")
    assert python.endswith(f"field {field}, offset {offset})")
    assert driver(f"r {case} 0 {answer}\n") == [python]


def test_the_fixed_part_is_read_once(everything: types.ModuleType) -> None:
    """D1: a peer that changes the block while it is checked changes nothing that is used."""

    block = bytearray(patched("texts"))
    seen: list[object] = []

    class Handler:
        def texts(self, first: str, n: int, data: bytes, second: str) -> None:
            block[:] = b"\xff" * len(block)  # the arguments are copies already
            seen.append((first, n, data, second))

    from idl_wirelib import Request

    request = Request(0x70007, memoryview(block), memoryview(b""), False)
    assert everything.everything_dispatch(Handler(), request) == 0
    assert seen == [("hello", 5, bytes([1, 2, 3, 4, 5]), "grüß")]


def test_generated_cpp_loads_each_field_of_the_fixed_part_once(generated: object) -> None:
    """D1 in C++: no server function loads a field twice."""
    text = (generated / "everything.hpp").read_text()  # type: ignore[operator]
    body = text[
        text.index("namespace everything_server {") : text.index("// namespace everything_server")
    ]
    for function in body.split("inline std::int32_t ")[1:]:
        fields = [
            line.split("offsetof(_wire, ")[1].split(")")[0]
            for line in function.splitlines()
            if "_req.in + offsetof(_wire" in line
        ]
        assert len(fields) == len(set(fields))
