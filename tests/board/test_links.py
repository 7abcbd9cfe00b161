"""Which vdevs make links, and what their info strings mean."""

from __future__ import annotations

import pytest

import hyplink.board
from hyplink.board.info import parse_size
from hyplink.errors import BoardError


def link(info: str, name: str = "vogl", client: str = "") -> hyplink.board.LinkSpec:
    roles = ("", "") if name == "vbpipe" else ("server;", "client;")
    return hyplink.board.load(
        f"""
        &vm2_vdevs {{ be: v@be {{ compatible = "{name}"; {roles[0]} info = "{info}"; }}; }};
        &vm3_vdevs {{ v@fe {{ peer-phandle = <&be>; {roles[1]} info = "{client}"; }}; }};
        """
    ).links[0]


def test_the_named_end_can_be_the_client() -> None:
    (one,) = hyplink.board.load(
        """
        &vm2_vdevs { fe: v@fe { client; }; };
        &vm3_vdevs { v@be { compatible = "vogl"; peer-phandle = <&fe>; server; }; };
        """
    ).links
    assert (one.server, one.client) == (3, 2)


def test_two_ends_can_name_each_other() -> None:
    (one,) = hyplink.board.load(
        """
        &vm2_vdevs { a: v@be { compatible = "vogl"; server; peer-phandle = <&b>; }; };
        &vm3_vdevs { b: v@fe { peer-phandle = <&a>; client; }; };
        """
    ).links
    assert (one.server, one.client) == (2, 3)


def test_a_third_that_names_an_end_of_a_pair_is_refused() -> None:
    with pytest.raises(BoardError, match="BOARD0040"):
        hyplink.board.load(
            """
            &vm2_vdevs { a: v@be { compatible = "vogl"; server; peer-phandle = <&b>; }; };
            &vm3_vdevs { b: v@fe { client; }; };
            &vm4_vdevs { c: v@fe { peer-phandle = <&a>; client; }; };
            """
        )


def test_both_ends_can_be_in_one_vm() -> None:
    board = hyplink.board.load(
        """
        &vm2_vdevs {
            a: p@a { compatible = "vbpipe"; };
            p@b { peer-phandle = <&a>; };
        };
        """
    )
    assert [(one.server, one.client, one.label) for one in board.links] == [
        (2, 2, "vbpipe0"),
        (2, 2, "vbpipe1"),
    ]
    assert board.links[0].server_path != board.links[1].server_path


def test_each_direction_of_a_pipe_has_its_own_info() -> None:
    one, two = hyplink.board.load(
        """
        &vm2_vdevs { a: p@a { compatible = "vbpipe"; info = "a;8K;3"; }; };
        &vm4_vdevs { p@b { peer-phandle = <&a>; info = ";64K"; }; };
        """
    ).links
    assert one.options == {"available": True, "size": 8 << 10, "minor": 3}
    assert two.options == {"available": False, "size": 64 << 10, "minor": None}
    assert (one.server_info, one.client_info) == (two.client_info, two.server_info)


def test_vogl_has_defaults() -> None:
    assert link("").options == {"vrpq-pmem": 7 << 20, "vrpq-reqs": 4096, "vumem-pdev": 16 << 10}


def test_the_order_of_vogl_keys_and_blanks_are_free() -> None:
    assert link(" vrpq-pmem = 0x10000 ,, vrpq-regs=01000,").options["vrpq-reqs"] == 512


def test_a_bad_value_is_never_a_silent_default() -> None:
    for bad in ("1X", "", "0", "-1", "1 K", "08", "1KK", "99999999999999999999"):
        with pytest.raises(BoardError):
            link(f"vrpq-pmem={bad}")


@pytest.mark.parametrize(
    ("text", "size"),
    [("4096", 4096), ("2M", 2 << 20), ("3g", 3 << 30), ("0X10k", 16 << 10), ("010", 8), ("0", 0)],
)
def test_sizes_are_c_numbers_with_a_unit(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "K", "1T", "0x", "09", "1.5M", "+1", " 1", "1 ", "١"])
def test_everything_else_is_not_a_size(text: str) -> None:
    assert parse_size(text) is None


def test_the_larger_size_of_a_vrpc_counts() -> None:
    assert link("ctl,2048", "vrpc", "ctl,4K").options == {"name": "ctl", "size": 4096}


def test_the_info_of_a_vmq_is_its_name_whole() -> None:
    assert link("disk, all of it", "vmq", "disk").options == {"name": "disk, all of it"}


def test_the_info_of_other_classes_is_free_text() -> None:
    one = link("any thing = at;all", "vnew")
    assert one.options == {}
    assert one.server_info == "any thing = at;all"


def test_labels_count_the_links_of_a_class() -> None:
    text = "".join(
        f"""
        &vm2_vdevs {{ b{n}: v@b{n} {{ compatible = "{name}"; server; }}; }};
        &vm3_vdevs {{ v@f{n} {{ peer-phandle = <&b{n}>; client; }}; }};
        """
        for n, name in enumerate(["vogl", "vomx", "vogl"])
    )
    board = hyplink.board.load(text)
    assert [(one.label, one.link) for one in board.links] == [
        ("vogl0", 0),
        ("vomx0", 1),
        ("vogl1", 2),
    ]
    assert board.link("vogl1").link == 2
    with pytest.raises(KeyError, match="vomx0"):
        board.link("vogl2")


def test_the_plain_form_has_everything_a_hypervisor_needs() -> None:
    spec = hyplink.board.load("vogl").to_spec()
    info = "vumem-pdev=128K,vrpq-reqs=128K, vrpq-pmem=2M"
    options = {"vumem-pdev": 131072, "vrpq-reqs": 131072, "vrpq-pmem": 2 << 20}
    assert spec == {
        "vms": [[2, "vm2", [], []], [3, "vm3", [], []]],
        "links": [["vogl", 0, "vogl0", 2, 3, info, "", options]],
        "invalid": [],
    }
