"""``hyplink idl size``: the suggestion holds on a bench, half of it does not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import hyplink
from hyplink import errors
from hyplink.idl.cli import main
from hyplink.idl.front import compile_text
from hyplink.idl.sizing import Suggestion, parse_mix, read_mix, suggest
from hyplink.idl.sizing.accounting import port_bytes, requests_for
from hyplink.testing import RpqPair, connect_rpq

TEXT = """idl 1;
module t.size version 1.0;
interface thing group 3 {
    async small(u32 a, u32 b, u32 c) = 1;
    async data(u32 n in 0..64K, bytes data[n] max 64K @zero_copy) = 2;
    async nothing() = 3;
    sync void ask(string name max 32, out string answer max 64) = 4;
}
"""
MODEL = compile_text(TEXT).require()
MIXES = [
    "small=300",
    "small=1000,nothing=100",
    "data=3:60K",
    "small=300,data=2:64K",
    "data=40:1000",
    "nothing=2000",
]
BOARD = """
&vm2_vdevs {{
    be: vogl@be {{ compatible = "vogl"; info = "{}"; server; }};
}};
&vm3_vdevs {{ vogl@fe {{ peer-phandle = <&be>; client; }}; }};
"""


def drain(pair: RpqPair, count: int) -> None:
    """Receive a batch and go back to receiving, which acknowledges the last of it."""
    while count:
        count -= len(pair.server.receive(min(count, 256)))
    pair.server.acknowledge()


def full_events(found: Suggestion, requests: int, pmem: int, batches: int = 12) -> int:
    """How often the client ran out of room, with a server that is one batch behind."""
    board = BOARD.format(f"vrpq-reqs={requests},vrpq-pmem={pmem}")
    blocks = [row.request for row in found.rows for _ in range(row.count)]
    size = pmem // found.channels
    with (
        hyplink.Bench.from_dts(board, backend="thread").boot() as bench,
        connect_rpq(bench, parameter_bytes=size) as pair,
    ):
        pair.client.timeout = 0.05  # how long a full port is waited for: nobody empties it
        if requests == found.requests and pmem == found.pmem:
            share = requests_for(size, pmem, requests)
            assert len(pair.client.window) == port_bytes(size, share)
        waiting = 0
        for _ in range(batches):
            posted = 0
            for block in blocks:
                try:
                    pair.client.begin(1, block)
                except errors.DeadlineExceeded:
                    break
                except errors.MessageTooLong:
                    return 1
                pair.client.post()
                posted += 1
            pair.client.notify()
            drain(pair, waiting)
            waiting = posted
        return pair.client.stats["full_events"]


@pytest.mark.parametrize("text", MIXES)
def test_nothing_waits_with_the_suggested_sizes(text: str) -> None:
    found = suggest(MODEL, parse_mix(text))
    assert full_events(found, found.requests, found.pmem) == 0


@pytest.mark.parametrize("text", MIXES)
def test_something_waits_with_half_of_them(text: str) -> None:
    found = suggest(MODEL, parse_mix(text))
    requests = max(256, found.requests // 2)
    assert full_events(found, requests, found.pmem // 2) > 0


def test_the_info_string_is_one_that_a_board_takes() -> None:
    for text in MIXES:
        found = suggest(MODEL, parse_mix(text))
        for info in (found.info, found.default_info):
            options = hyplink.board.load(BOARD.format(info)).links[0].options
            assert options["vrpq-reqs"] >= 256


def test_channels_that_ask_for_nothing_fit_into_the_default_sizes() -> None:
    found = suggest(MODEL, parse_mix("small=300,data=2:64K"))
    board = BOARD.format(found.default_info)
    with (
        hyplink.Bench.from_dts(board, backend="thread").boot() as bench,
        connect_rpq(bench) as pair,
    ):
        for _ in range(12):
            for row in found.rows:
                for _ in range(row.count):
                    pair.client.begin(1, row.request)
                    pair.client.post()
            pair.client.notify()
            drain(pair, sum(row.count for row in found.rows))
        assert pair.client.stats["full_events"] == 0


def test_several_channels_share_both_sizes() -> None:
    one = suggest(MODEL, parse_mix("small=300"))
    mix = parse_mix("small=300")
    mix.channels = 3
    three = suggest(MODEL, mix)
    assert three.port == one.port
    assert three.pmem == 3 * one.pmem
    assert requests_for(three.port, three.pmem, three.requests) >= 601


def test_answers_take_room_in_the_ring() -> None:
    (row,) = suggest(MODEL, parse_mix("ask=1:8/30")).rows
    assert row.request == 8 + 16
    assert row.answer == 8 + 40
    (most,) = suggest(MODEL, parse_mix("ask=1")).rows
    assert (most.request, most.answer) == (48, 80)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("smal=1", "did you mean 'small'"),
        ("small", "is not PROCEDURE=COUNT"),
        ("data=1:65K", "the interface allows"),
        ("small=1:4", "nothing in it has a variable length"),
        ("small=1/4", "is async"),
        ("small=0", "needs a procedure"),
        ("data=100000:64K", "at most 1G"),
    ],
)
def test_a_mix_that_does_not_fit_says_why(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        suggest(MODEL, parse_mix(text))


def test_a_mix_may_come_from_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    toml = tmp_path / "mix.toml"
    toml.write_text(
        'in_flight = 3\n[calls]\nsmall = 300\n"thing.data" = { count = 2, bytes = "4K" }\n'
    )
    mix = read_mix(toml)
    assert mix.in_flight == 3
    assert [(i.procedure, i.count, i.bytes) for i in mix.items] == [
        ("small", 300, None),
        ("thing.data", 2, 4096),
    ]
    same = tmp_path / "mix.json"
    calls = {"small": 300, "thing.data": {"count": 2, "bytes": 4096}}
    same.write_text(json.dumps({"in_flight": 3, "calls": calls}))
    assert suggest(MODEL, read_mix(same)).info == suggest(MODEL, mix).info
    file = tmp_path / "a.vidl"
    file.write_text(TEXT)
    assert main(["size", str(file), "--mix", str(toml), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["info"] == suggest(MODEL, mix).info
    assert main(["size", str(file), "--mix", "small=300"]) == 0
    text = capsys.readouterr().out
    assert 'info     "vrpq-reqs=1024,' in text
    assert "601 with one filler" in text
    assert main(["size", str(file), "--mix", "other=300"]) == 1


@pytest.mark.parametrize("text", ["", "calls = 3", "[calls]\nsmall = -1", "[calls]\na = {b = 1}"])
def test_a_file_that_is_no_mix_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "mix.toml"
    file.write_text(text)
    with pytest.raises(ValueError, match=r"mix\.toml"):
        read_mix(file)


def test_large_parts_take_no_room_in_a_port_whose_client_has_a_buffer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = TEXT.replace("@zero_copy", "@large(4K, umem)")
    model = compile_text(text).require()
    inside, outside = parse_mix("data=4"), parse_mix("data=4:32K")
    assert suggest(model, inside).rows[0].request == 40 + 65536
    inside.buffers = outside.buffers = True
    # Those just below the threshold still travel inside.
    assert [suggest(model, mix).rows[0].request for mix in (inside, outside)] == [40 + 4096] * 2
    assert suggest(model, parse_mix("data=4:1K")).rows[0].request == 40 + 1024
    file = tmp_path / "size.vidl"
    file.write_text(text)
    assert main(["size", str(file), "--mix", "data=4", "--buffers", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["procedures"][0]["request"] == 40 + 4096
