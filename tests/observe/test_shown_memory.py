"""What shared memory looks like in a notebook: a small table of each thing, and one of all grants."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

import pytest

import hyplink
from hyplink import umem
from hyplink.testing import background

BOARD = """
&vm2_vplatform { vm-memory@3 { compatible = "vl,vm-memory"; vl,vm-id = <3>; }; };
&vm3_vdevs {
    v: vrpc@2 { compatible = "vrpc"; info = "vion"; server; };
    u: vogl@2 { compatible = "vogl"; info = "vumem-pdev=16K"; server; };
};
&vm2_vdevs {
    vrpc@3 { peer-phandle = <&v>; client; info = "vion"; };
    vogl@3 { peer-phandle = <&u>; client; info = "vumem-pdev=16K"; };
};
"""
PAGE = 4096
pytestmark = [pytest.mark.hyplink_backend("thread"), pytest.mark.hyplink_dts(BOARD)]


def shown(thing: Any) -> tuple[str, list[dict[str, str]]]:
    """The caption, and each row by column."""
    table = ElementTree.fromstring(thing._repr_html_())
    head = [cell.text or "" for cell in table.iter("th")]
    rows = [[cell.text or "" for cell in row.iter("td")] for row in table.iter("tr")]
    caption = next(table.iter("caption")).text or ""
    return caption, [dict(zip(head, row, strict=True)) for row in rows if row]


def test_granted_pages_say_where_they_are_and_what_was_taken(bench: hyplink.Bench) -> None:
    assert shown(bench.grants) == ("nothing is granted", [])
    region = bench.vm(3).memory.alloc(2 * PAGE)
    assert repr(bench.vm(3).memory) == "<Memory of VM 3>"
    at = f"{region.address:#x}"
    assert shown(region) == (
        "MemoryRegion",
        [{"address": at, "size": "8 KiB", "state": "open"}],
    )
    bench.vm(3).grant(2, region, "rw")
    window = bench.vm(2).map(region, writable=True)
    caption, (row,) = shown(bench.grants)
    assert caption == "1 grant, 8 KiB"
    assert row | {"gen": ""} == {
        "address": at,
        "bytes": "8192",
        "exporter": "3",
        "importer": "2",
        "access": "rwc",
        "state": "active",
        "gen": "",
        "level": "cooperative",
    }
    bench.vm(3).deny(2, region.pages(PAGE), "rw")
    window.wait_revoked()
    facts = {"address": at, "size": "8 KiB", "access": "rw", "taken back": "4 KiB"}
    assert shown(window) == ("MemoryWindow", [facts | {"moved": "0 times", "state": "open"}])
    window.close()
    region.close()
    assert [shown(thing)[1][0]["state"] for thing in (window, region)] == ["closed", "closed"]


def test_of_many_grants_a_notebook_shows_the_first(bench: hyplink.Bench) -> None:
    with bench.vm(3).application() as app:
        region = app.memory.alloc(300 * PAGE)
        app.memory.grant(2, [region.pages(page * PAGE, PAGE) for page in range(300)])
        caption, rows = shown(bench.grants)
        assert caption == "300 grants, 1.17 MiB; the first 200 of them"
        assert [row["address"] for row in rows] == [
            f"{region.address + page * PAGE:#x}" for page in range(200)
        ]
        assert str(bench.grants).count("\n") == 300


def test_buffers_say_how_they_are_named_and_what_became_of_them(bench: hyplink.Bench) -> None:
    with bench.vm(3).ion() as out, out.alloc(PAGE) as frame:
        facts = {"id": "not shared", "size": "4 KiB", "state": "open"}
        assert shown(frame) == ("ion.Buffer", [facts])
        ident = frame.share()
        assert shown(frame)[1] == [facts | {"id": f"{ident:#x}"}]
    assert shown(frame) == ("ion.Buffer", [{"state": "closed"}])

    server = bench.vm(3).umem("vogl0").server()
    with bench.vm(2).umem("vogl0").session() as session:
        asked = background(bench, session.alloc)
        server.receive()
        server.respond(umem.Memory(PAGE))
        buffer = asked.result()
        facts = {
            "buffer": str(buffer.id),
            "size": "4 KiB",
            "attributes": "mappable, write allocate",
            "here": "not mapped",
            "state": "open",
        }
        assert shown(buffer) == ("umem.Buffer", [facts])
        buffer.map()
        assert shown(buffer)[1] == [facts | {"here": "mapped"}]
        server.close()
        assert shown(buffer)[1][0]["state"] == "lost"


def test_attributes_without_a_name_are_shown_as_numbers() -> None:
    assert umem.words.describe(0) == "not cached"
    assert umem.words.describe(0x8003 | 9 << 16) == "mappable, memory sync, 0x2, policy 9"


def test_a_job_of_a_device_says_how_far_it_is(bench: hyplink.Bench) -> None:
    with (
        bench.vm(3).ion() as ion,
        ion.alloc(PAGE) as frame,
        bench.vm(3).dma() as device,
        device.attach(frame) as attached,
    ):
        assert repr(attached) == f"<dma.Attached at {attached.address:#x}, 4096 bytes>"
        job = device.fill((attached.address, PAGE), 7)
        job.result()
        caption, (row,) = shown(job)
        assert caption == "dma.Job"
        assert (row["what"], row["state"], row["done"]) == ("fill 4096 bytes", "done", "4 KiB")
