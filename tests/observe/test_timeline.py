from __future__ import annotations

import struct
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from hyplink import board
from hyplink.display.scale import Scale
from hyplink.trace import LinkName, Names, Trace
from hyplink.trace.timeline import Timeline
from hyplink.trace.timeline.look import ARROWS

SVG = "{http://www.w3.org/2000/svg}"


def labels(svg: str) -> Iterator[tuple[str, float, float, float, float]]:
    """Each text with the place that it takes in a common font."""
    for node in ET.fromstring(svg).iter(f"{SVG}text"):
        text = "".join(part for part in node.itertext())
        size, x, y = (float(node.attrib[key]) for key in ("font-size", "x", "y"))
        wide = 0.6 * size * len(text)
        left = x - wide * {"start": 0, "middle": 0.5, "end": 1}[node.get("text-anchor", "start")]
        yield text, left, y - 0.75 * size, left + wide, y + 0.2 * size


def overlaps(svg: str) -> list[tuple[str, str]]:
    found = list(labels(svg))
    return [
        (a[0], b[0])
        for i, a in enumerate(found)
        for b in found[:i]
        if a[1] < b[3] and b[1] < a[3] and a[2] < b[4] and b[2] < a[4]
    ]


def texts(svg: str) -> list[str]:
    return [label[0] for label in labels(svg)]


@pytest.mark.parametrize("width", [640, 1200, 3000])
def test_no_label_lies_on_another_or_outside(run: Any, width: int) -> None:
    svg = run.trace.timeline(width=width).to_svg()
    assert overlaps(svg) == []
    assert all(left >= 0 and right <= width for _, left, _, right, _ in labels(svg))


def test_overlapping_labels_would_be_found() -> None:
    svg = (
        f'<svg xmlns="{SVG[1:-1]}"><text x="10" y="10" font-size="10">one</text>'
        '<text x="20" y="12" font-size="10">two</text></svg>'
    )
    assert overlaps(svg) == [("two", "one")]


def test_the_picture_tells_the_story_of_a_death(run: Any) -> None:
    svg = run.trace.timeline().to_svg()
    shown = texts(svg)
    for text in ("Timeline of vogl", "VM 2", "VM 3", "vogl0 server", "vogl0 client", "dies"):
        assert text in shown
    assert shown.count("app 1") == 2
    assert any(text.startswith("EPIPE") for text in shown)
    assert any(text.startswith("time, ") for text in shown)
    assert "application alive" in shown
    # Starting a process takes long; on threads there may be nothing to cut.
    assert run.backend == "thread" or "idle time cut out, its length above" in shown
    titles = [node.text or "" for node in ET.fromstring(svg).iter(f"{SVG}title")]
    assert any(title.startswith("VM 2: DEAD for ") for title in titles)
    drawn = Counter(node.get("stroke") for node in ET.fromstring(svg).iter(f"{SVG}path"))
    assert drawn[ARROWS["answer"]] >= 2
    assert drawn[ARROWS["xirq"]] >= 2
    assert drawn[ARROWS["woke"]] + drawn[ARROWS["sent"]] + drawn[ARROWS["awake"]] >= 2


def test_the_same_run_gives_the_same_picture(story: Callable[..., Any]) -> None:
    first, again = (story(seed=3).trace.timeline().to_svg() for _ in range(2))
    assert first == again


def test_it_is_shown_and_saved_alike(run: Any, tmp_path: Any) -> None:
    timeline = run.trace.timeline(last=50, width=900)
    timeline.save(tmp_path / "run.svg")
    assert (tmp_path / "run.svg").read_text() == timeline._repr_svg_()
    assert repr(timeline) == "<Timeline of 50 events>"


def record(time: int, kind: int, vm: int, app: int, link: int, a: int, b: int, c: int) -> bytes:
    return struct.pack("<QHHIIIQQ16xQ", time, kind, vm, app, link, a, b, c, 1)


def test_a_hundred_thousand_events_make_a_picture_of_bounded_size() -> None:
    def story() -> Iterator[bytes]:
        yield record(0, 1, 0, 0, 0xFFFFFFFF, 2, 1, 2)
        for i in range(50_000):
            yield record(1000 + i * 2000, 15, 3, 1, 0, 1, 8, 3)
            yield record(1700 + i * 2000, 16, 2, 1, 0, 1, 8, 0)
        yield record(10**9, 1, 0, 0, 0xFFFFFFFF, 4, 2, 2)

    trace = Trace.from_bytes(b"".join(story()), board.load("vogl"))
    svg = trace.timeline().to_svg()
    assert len(svg) < 300_000
    assert overlaps(svg) == []
    assert "dies" in texts(svg)


def test_a_board_of_ten_thousand_vlinks_shows_the_busy_ones_and_counts_the_rest() -> None:
    links = tuple(LinkName(f"vogl{i}", 2, 3) for i in range(10_000))
    data = b"".join(
        record(i, 2, 0, 0, i % 10_000, 0, state, 0)
        for i, state in enumerate([1] * 10_000 + [2] * 5)
    )
    events = list(Trace.from_bytes(data))
    named = Trace.from_bytes(data, None)
    trace = Trace(
        [
            type(e)(
                e.time_ns,
                e.time_s,
                e.kind,
                e.vm,
                e.app,
                f"vogl{i % 10_000}",
                e.a,
                e.b,
                e.c,
                e.number,
                links[i % 10_000],
            )
            for i, e in enumerate(events)
        ],
        Names("big", links, ((2, "vm2"), (3, "vm3"))),
    )
    assert len(named) == len(trace)
    shown = texts(trace.timeline().to_svg())
    assert {f"vogl{i} server" for i in range(5)} <= set(shown)
    assert "not shown: 9,992 vlinks" in shown


def test_a_run_of_nothing_is_a_picture_too() -> None:
    for trace in (Trace([]), Trace.from_bytes(record(5, 22, 0, 0, 0xFFFFFFFF, 1, 2, 3))):
        assert overlaps(Timeline(trace, trace.names).to_svg()) == []


def test_time_never_runs_backwards_on_the_axis(run: Any) -> None:
    moments = [(event.time_ns, False) for event in run.trace]
    scale = Scale(moments, 100, 1100)
    xs = [scale.x(time) for time, _ in moments]
    assert xs == sorted(xs)
    assert xs[0] >= 100
    assert xs[-1] <= 1100


def test_a_long_wait_is_cut_out_and_what_surrounds_it_gets_the_room() -> None:
    moments = [(i * 1000, False) for i in range(10)]
    moments += [(10**12 + i * 1000, False) for i in range(10)]
    scale = Scale(moments, 0, 1000)
    assert [block.cut for block in scale.blocks] == [0, 10**12 - 9000]
    assert scale.x(9000) > 400
    assert scale.x(10**12) < 600


def test_steady_traffic_does_not_squeeze_a_reboot() -> None:
    second = 10**9
    boot = [(i * 100_000, False) for i in range(20)]
    traffic = [(2_000_000 + i * 10_000, True) for i in range(200_000)]
    death = [(2 * second + 3_000_000 + i * 100_000, False) for i in range(20)]
    scale = Scale(boot + traffic + death, 0, 1000)
    assert scale.x(boot[-1][0]) - scale.x(boot[0][0]) > 80
    assert scale.x(death[-1][0]) - scale.x(death[0][0]) > 80
