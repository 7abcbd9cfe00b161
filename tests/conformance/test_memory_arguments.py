"""What makes no sense as a size, a VM, pages or bytes: each way to shared memory says what it found and expected."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from conformance_lib import EVERYWHERE
from umem_lib import Pair, anonymous

import hyplink
from hyplink import errors
from hyplink.memory import Memory
from hyplink.nkddi import Nkddi
from hyplink.umem import Command
from hyplink.umem import Memory as Lendable

PAGE = 4096
BOARD = """
&vm2_vdevs {
    be: vogl@be { compatible = "vogl"; server; };
    a: vrpc@a { compatible = "vrpc"; info = "vion"; server; };
};
&vm3_vdevs {
    vogl@fe { peer-phandle = <&be>; client; };
    vrpc@a { peer-phandle = <&a>; client; info = "vion"; };
};
&vm2_vplatform { vm-memory@3 { compatible = "vl,vm-memory"; vl,vm-id = <3>; }; };
"""
pytestmark = [EVERYWHERE, pytest.mark.hyplink_dts(BOARD)]

NO_SIZES = (0, -1, -PAGE, 1 << 64, 1.5, "4096", None, True, b"4096", [4096])
NO_NUMBERS = (-1, 1 << 64, 1.5, "1", None)
NO_VMS = (0, -1, 32, 1 << 40, 2.0, "vm2", None)
NO_PAGES: tuple[Any, ...] = (
    *(5, None, "0x1000", (PAGE,), (PAGE, PAGE, PAGE), (-PAGE, PAGE), (PAGE, -PAGE)),
    *((PAGE, 1 << 64), ("0", PAGE), (PAGE, 4096.0), [5], [(PAGE, "1")], (None, PAGE)),
)
NO_ACCESS: tuple[Any, ...] = (5, None, "", "x", ["r"], b"r")
NO_BYTES: tuple[Any, ...] = (5, "text", [1, 2])


@pytest.fixture
def memory(bench: hyplink.Bench) -> Memory:
    return bench.vm(3).memory


@pytest.fixture
def pair(bench: hyplink.Bench) -> Iterator[Pair]:
    pair = Pair(bench)
    yield pair
    pair.close()


def refused(name: str, values: tuple[Any, ...], *calls: Callable[[Any], object]) -> None:
    """Each call with each value: EINVAL, with the argument's name, what was found, and what was expected."""
    for call in calls:
        for value in values:
            with pytest.raises(errors.BadArgument, match=f"^.*{name}: .*, expected ") as caught:
                call(value)
            assert caught.value.errno == 22


def test_sizes(bench: hyplink.Bench, memory: Memory) -> None:
    with bench.vm(3).ion() as ion, bench.vm(3).application() as app, Nkddi(app) as nk:
        link = nk.vlinks("vogl")[0]
        refused(
            "nbytes",
            NO_SIZES,
            *(memory.alloc, ion.alloc, Lendable),
            lambda size: memory.map(1 << 33, size),
            lambda size: nk.map(link.address, size),
            *(lambda size: link.pmem(9, size), lambda size: link.pdev(9, size)),
        )
        assert (ion.alloc(1).nbytes, memory.alloc(1).nbytes, Lendable(1).nbytes) == (PAGE,) * 3


def test_a_size_that_is_a_number_of_another_kind_is_taken(memory: Memory) -> None:
    class Pages:
        def __index__(self) -> int:
            return 2 * PAGE

    assert memory.alloc(Pages()).nbytes == 2 * PAGE  # type: ignore[arg-type]


def test_vms_pages_and_access(memory: Memory) -> None:
    region = memory.alloc(2 * PAGE)
    calls: tuple[Any, ...] = (memory.grant, memory.deny, memory.verify)
    for call in calls:
        of_any = call == memory.verify  # 0: of any VM
        refused(
            "exporter" if of_any else "to",
            NO_VMS[of_any:],
            lambda vm, call=call: call(vm, region),
        )
        refused("pages.*", NO_PAGES, lambda pages, call=call: call(2, pages))
        refused("access", NO_ACCESS, lambda access, call=call: call(2, region, access))
    refused("level", (5, "total", ["memfd"]), lambda level: memory.grant(2, region, level=level))
    refused("address", NO_NUMBERS, lambda at: memory.map(at, PAGE))
    memory.grant(2, region)  # and nothing of all that was granted
    memory.deny(2, region)


def test_what_a_vm_maps(bench: hyplink.Bench) -> None:
    some = tuple(pages for pages in NO_PAGES if not isinstance(pages, list))
    refused("pages.*", some, bench.vm(2).map)


def test_parts(bench: hyplink.Bench, memory: Memory) -> None:
    region = memory.alloc(2 * PAGE)
    memory.grant(2, region)
    window = bench.vm(2).map(region)
    for part in (region.pages, window.check, window.read):
        refused("offset", (-1, 2 * PAGE + 1, "0", 0.0, None), part)
        refused("nbytes", (-1, 1 << 64, "1", 1.0), lambda size, part=part: part(0, size))
    assert region.pages(PAGE) == (region.address + PAGE, PAGE)
    assert window.read(PAGE, 4) == bytes(4)


def test_names_of_buffers(bench: hyplink.Bench) -> None:
    with bench.vm(2).ion() as ion:
        refused("ident", NO_NUMBERS, ion.import_buffer)


def test_jobs_of_a_device(bench: hyplink.Bench, memory: Memory) -> None:
    region = memory.alloc(PAGE)
    with bench.vm(3).dma() as device:
        refused("source.*", NO_PAGES, lambda place: device.copy(place, region), device.checksum)
        refused(
            "target.*",
            NO_PAGES,
            lambda place: device.copy(region, place),
            lambda place: device.fill(place, 0),
        )
        bytes_ = (-1, 256, "a", b"a", 1.0)
        refused("value", bytes_, lambda value: device.fill(region, value))
        refused("attach", (5, None, "frame"), device.attach)


def test_what_a_client_says_of_buffers(pair: Pair) -> None:
    buffer = pair.alloc(anonymous(1))
    buffer.map()
    refused("argument", NO_BYTES, pair.session.alloc, buffer.control)
    refused("token", (*NO_BYTES, b"short"), pair.session.register)
    refused("session", (5, None, pair.server), buffer.register)
    refused("operations", (-1, 1 << 32, "all", None), buffer.cache)
    refused("private", NO_NUMBERS, lambda word: setattr(buffer, "private", word))
    buffer.unmap()
    pair.free(buffer)


@pytest.mark.parametrize("field", ["memory", "argument", "error", "buffer", "attributes"])
def test_a_response_that_makes_no_sense_ends_its_request_on_both_sides(
    pair: Pair, field: str
) -> None:
    readonly = bytes(PAGE)
    scattered = memoryview(bytearray(2 * PAGE))[::2]
    values: dict[str, tuple[Any, ...]] = {
        "memory": (5, "text", readonly, scattered),
        "argument": NO_BYTES,
        "error": (1 << 31, "EIO", 1.5),
        "buffer": (-1, 1 << 32, "1"),
        "attributes": (-1, 1 << 32, "mappable", None),
    }
    for value in values[field]:

        def respond(_: Any, value: Any = value) -> None:
            with pytest.raises(errors.BadArgument, match=f"{field}: .*, expected "):
                pair.server.respond(**{"memory": None, field: value})

        with pytest.raises(errors.BadArgument):
            pair.asking(pair.session.alloc, respond)
    pair.free(pair.alloc(anonymous(1)))  # and nothing is out of step


def test_a_response_that_makes_no_sense_and_answers_nothing_says_so(pair: Pair) -> None:
    with pytest.raises(errors.BadArgument, match="memory: 5, expected"):
        pair.server.respond(5)
    with pytest.raises(errors.BadArgument, match="no request"):
        pair.server.respond()
    assert pair.asking(pair.session.alloc, *pair.fine(Command.ALLOC)).nbytes == 0
