"""What the guides print loads as it is printed, and means what they say it means."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

import hyplink.board


def _printed() -> ModuleType:
    spec = importlib.util.spec_from_file_location("printed", Path(__file__).parent / "printed.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


printed = _printed()


def test_earlydata_has_the_server_in_vm_2_and_the_client_in_vm_3() -> None:
    board = hyplink.board.load(printed.EARLYDATA)
    (link,) = board.links
    assert [vm.id for vm in board.vms] == [2, 3]
    assert (link.name, link.label, link.link) == ("vearlydata", "vearlydata0", 0)
    assert (link.server, link.client) == (2, 3)
    assert link.server_info == link.client_info == "vearlydata_ctrl"
    assert board.warnings == ()


def test_vogl_joins_the_pieces_of_its_info_and_reads_the_sizes() -> None:
    (link,) = hyplink.board.load(printed.VOGL).links
    assert link.server_info == "vumem-pdev=128K,vrpq-regs=128K, vrpq-pmem=2M"
    assert link.options == {
        "vumem-pdev": 128 << 10,
        "vrpq-reqs": 128 << 10,
        "vrpq-pmem": 2 << 20,
    }
    assert not link.symmetric


def test_vbpipe_gives_two_links_of_one_number() -> None:
    one, two = hyplink.board.load(printed.VBPIPE).links
    assert (one.label, one.server, one.client) == ("vbpipe0", 2, 4)
    assert (two.label, two.server, two.client) == ("vbpipe1", 4, 2)
    assert one.link == two.link == 0
    assert one.symmetric
    assert two.symmetric
    assert one.options["wakeup"] == 250
    assert one.options["name"] == "vbpipe0"
    assert one.options["size"] == 4096


def test_invalid_regions_are_two_times_64_megabytes() -> None:
    board = hyplink.board.load(printed.INVALID)
    assert [(r.base, r.size) for r in board.invalid_regions] == [
        (0xD0000000, 64 << 20),
        (0xD4000000, 64 << 20),
    ]
    assert board.vms == ()


def test_io_memory_of_two_vms_is_shared() -> None:
    board = hyplink.board.load(
        printed.INVALID, vplatform={2: printed.IO_MEMORY, 3: printed.IO_MEMORY}
    )
    assert [vm.id for vm in board.vms] == [2, 3]
    for vm in board.vms:
        assert [(r.ipa, r.pa, r.size) for r in vm.io_memory] == [
            (0xD0000000, 0xD0000000, 64 << 20),
            (0xD4000000, 0xD4000000, 64 << 20),
        ]
        assert all(r.sharing and r.kind == "device" for r in vm.io_memory)
    assert board.warnings == ()


def test_io_memory_can_stand_elsewhere_in_a_vm() -> None:
    board = hyplink.board.load(
        printed.INVALID, vplatform={2: printed.IO_MEMORY, 3: printed.ELSEWHERE}
    )
    (region,) = board.vm(3).io_memory
    assert (region.ipa, region.pa) == (0x8_0000_0000, 0xD0000000)


@pytest.mark.parametrize("cells", ["0x800000000", "0x8 0x00000000", "(1 << 35)"])
def test_ipa_base_takes_a_long_number_or_two_cells(cells: str) -> None:
    text = printed.ELSEWHERE.replace("0x800000000>", f"{cells}>")
    board = hyplink.board.load(printed.INVALID, vplatform={3: text})
    assert board.vm(3).io_memory[0].ipa == 0x8_0000_0000


@pytest.mark.parametrize("tree", ["IMPORT", "GUEST_IMPORT"])
def test_an_importer_and_its_exporter_become_vms_of_the_board(tree: str) -> None:
    board = hyplink.board.load(printed.VBPIPE, vplatform={2: getattr(printed, tree)})
    assert board.vm(2).imports == (3,)
    assert [vm.id for vm in board.vms] == [2, 3, 4]


def test_all_fragments_fit_on_one_board() -> None:
    text = printed.EARLYDATA + printed.VOGL + printed.VBPIPE + printed.INVALID
    board = hyplink.board.load(text, vplatform={2: printed.IO_MEMORY, 3: printed.ELSEWHERE})
    assert [link.label for link in board.links] == ["vearlydata0", "vogl0", "vbpipe0", "vbpipe1"]
    assert [link.link for link in board.links] == [0, 1, 2, 2]


@pytest.mark.parametrize("name", hyplink.board.BUILTIN)
def test_the_boards_of_the_package_say_what_the_guides_print(name: str) -> None:
    board = hyplink.board.load(name)
    same = hyplink.board.load(getattr(printed, name.upper()).replace("vrpq-regs", "vrpq-reqs"))
    assert board == same
    assert hyplink.board.builtin(name) == board


def test_every_label_of_the_guides_exists_for_vms_1_to_31() -> None:
    text = "".join(
        f"&vm{i} {{ }}; &vm{i}_vdevs {{ }}; &vm{i}_vplatform {{ }};" for i in range(1, 32)
    )
    assert hyplink.board.load(
        text + "&vlm { }; &memory { }; &vm5 { status = 'o'; };".replace("'o'", '"okay"')
    ).vms == (hyplink.board.VmSpec(5, "vm5"),)
