"""Values to bytes and back, the same in C++ and Python, the same as last year."""

from __future__ import annotations

import asyncio
import types
from collections.abc import Callable
from pathlib import Path

import pytest
from idl_wirelib import Recorder, box_of, decode, encode, make_echo, read_reply

Golden = Callable[[Path, str], None]
Driver = Callable[[str], list[str]]
VECTORS = Path(__file__).parent / "golden" / "vectors.txt"
SEVERAL = 0x70018


def test_python_encodes_the_shared_vectors(everything: types.ModuleType, golden: Golden) -> None:
    golden(VECTORS, "".join(f"{k} {v}\n" for k, v in encode(everything).items()))


def test_cpp_encodes_the_shared_vectors(driver: Driver) -> None:
    assert driver("e\n") == VECTORS.read_text().splitlines()


def procedure_of(idl: types.ModuleType, vector: str) -> tuple[int, bool]:
    by_name = {info.name.split(".")[1]: (k, info) for k, info in idl.everything_procedures.items()}
    by_name["get_camel_case"] = by_name["getCamelCase"]
    name = vector if vector in by_name else vector.rsplit("_", 1)[0]
    return by_name[name][0], by_name[name][1].is_call


def test_both_languages_accept_the_vectors_and_see_the_same_values(
    everything: types.ModuleType, driver: Driver
) -> None:
    lines, expected = [], []
    for line in VECTORS.read_text().splitlines():
        name, _, block = line.partition(" ")
        if block.startswith("error"):
            continue
        proc, is_call = procedure_of(everything, name)
        lines.append(f"d {proc:x} {int(is_call)} 64 {block}")
        data = b"" if block == "-" else bytes.fromhex(block)
        expected.append(decode(everything, proc, is_call, 64, data))
    assert len(lines) > 20
    assert all(answer.startswith("ok 0 ") and answer.endswith(" 1") for answer in expected)
    assert driver("\n".join(lines) + "\n") == expected


@pytest.mark.parametrize("count", [0, 1, 2, 8])
def test_both_languages_write_the_same_reply(
    everything: types.ModuleType, driver: Driver, count: int
) -> None:
    block = count.to_bytes(4, "little") + bytes(4)
    python = decode(everything, SEVERAL, True, 1024, block)
    assert python.startswith("ok 0 ")
    assert driver(f"d {SEVERAL:x} 1 1024 {block.hex()}\n") == [python]


def test_both_languages_read_the_reply_they_wrote(
    everything: types.ModuleType, driver: Driver
) -> None:
    block = (2).to_bytes(4, "little") + bytes(4)
    reply = decode(everything, SEVERAL, True, 264, block).split()[2]
    assert read_reply(everything, "several", 0, bytes.fromhex(reply)) == "ok equal"
    assert driver(f"r several 0 {reply}\n") == ["ok equal"]


def test_a_handlers_errno_becomes_the_status_and_the_reply_is_zero(
    everything: types.ModuleType, driver: Driver
) -> None:
    box = bytes([255]) + bytes(7)
    fill = (63).to_bytes(4, "little") + bytes(4)
    for proc, block, status in ((0x70017, box, 16), (0x70019, fill, 12)):
        expected = f"ok {status} {bytes(96).hex()} 1"
        assert decode(everything, proc, True, 96, block) == expected
        assert driver(f"d {proc:x} 1 96 {block.hex()}\n") == [expected]


def test_an_impossible_value_from_a_handler_never_reaches_the_client(
    everything: types.ModuleType, driver: Driver
) -> None:
    block = bytes([254]) + bytes(7)
    assert driver(f"d 70017 1 56 {block.hex()}\n") == [f"ok 131 {bytes(56).hex()} 1"]
    handler = make_echo(everything, Recorder())
    bad = box_of(everything, 1)
    bad.ratings = (0, 77, 0)
    type(handler).get_box = lambda _self, _tag: bad
    from idl_wirelib import Request

    request = Request(0x70017, memoryview(block), memoryview(bytearray(56)), True)
    with pytest.raises(ValueError, match="get_box"):
        everything.everything_dispatch(handler, request)


def test_a_status_that_is_no_errno_is_a_protocol_violation(
    everything: types.ModuleType, driver: Driver
) -> None:
    for status in (-5, 100_000):
        expected = f"error 71 Everything.get_level: impossible status {status}"
        assert driver(f"r get_level {status} -\n") == [expected]
        assert read_reply(everything, "get_level", status, b"") == expected


def test_a_call_can_be_awaited(everything: types.ModuleType) -> None:
    channel = Recorder(answer=(1).to_bytes(4, "little") + bytes(4))
    client = everything.EverythingClient(channel)
    assert asyncio.run(client.aio.get_level()) is everything.Level.HIGH


def test_text_that_is_not_utf8_survives_a_round_trip(everything: types.ModuleType) -> None:
    seen = Recorder()
    text = b"\xff\xfe".decode("utf-8", "surrogateescape")
    everything.SecondClient(seen).note(text)
    assert b"\xff\xfe\0" in seen.block
