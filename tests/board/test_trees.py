"""Sources of every kind: texts, files, includes, macros, compiled trees."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import hyplink.board
from hyplink.errors import BoardError

PAIR = """
&vm2_vdevs {{ be{n}: v@be{n} {{ compatible = "{name}"; server; }}; }};
&vm3_vdevs {{ v@fe{n} {{ peer-phandle = <&be{n}>; client; }}; }};
"""


def pair(n: int = 0, name: str = "vogl") -> str:
    return PAIR.format(n=n, name=name)


def codes(error: pytest.ExceptionInfo[BoardError]) -> list[str]:
    return [getattr(finding, "code", "") for finding in error.value.diagnostics]


def test_a_path_a_text_and_bytes_are_the_same_board(tmp_path: Path) -> None:
    file = tmp_path / "pair.dts"
    file.write_text(pair(), encoding="utf-8")
    board = hyplink.board.load(pair())
    assert hyplink.board.load(file) == board
    assert hyplink.board.load(str(file)) == board
    assert hyplink.board.load(pair().encode()) == board
    assert hyplink.board.load(("\ufeff" + pair().replace("\n", "\r\n")).encode()) == board


def test_a_file_that_is_not_there_is_answered_with_what_is(tmp_path: Path) -> None:
    (tmp_path / "pair.dts").write_text(pair(), encoding="utf-8")
    with pytest.raises(BoardError, match=r"did you mean pair\.dts") as error:
        hyplink.board.load(tmp_path / "pairs.dts")
    assert codes(error) == ["BOARD0001"]


def test_an_unknown_board_of_the_package_is_answered_with_the_known_ones() -> None:
    with pytest.raises(KeyError, match="vbpipe"):
        hyplink.board.builtin("vogle")


def test_a_whole_tree_stands_without_the_skeleton() -> None:
    board = hyplink.board.load(
        """
        /dts-v1/;
        / {
            node0: vm@2 {
                compatible = "acme,vm", "vl,vm";
                vl,vm-id = <2>;
                label = "Node0";
                vdevs { be: x { compatible = "vogl"; server; }; };
            };
            ivi {
                compatible = "vl,vm";
                vl,vm-id = <(1 + 2)>;
                vdevs { y { peer-phandle = <&be>; client; }; };
            };
            spare { compatible = "vl,vm"; vl,vm-id = <9>; };
        };
        """
    )
    assert [(vm.id, vm.name) for vm in board.vms] == [(2, "Node0"), (3, "vm3"), (9, "vm9")]
    assert board.links[0].server_path == "/vm@2/vdevs/x"


def test_the_skeleton_can_be_included_by_name() -> None:
    text = "#include <hyplink/skeleton.dtsi>\n#include <hyplink/vdt.h>\n" + pair()
    assert hyplink.board.load(text) == hyplink.board.load(pair())


def test_includes_are_searched_beside_the_file_and_in_given_directories(tmp_path: Path) -> None:
    (tmp_path / "inc").mkdir()
    (tmp_path / "inc" / "names.h").write_text('#define CLASS "vogl"\n', encoding="utf-8")
    (tmp_path / "server.dtsi").write_text(
        "&vm2_vdevs { be: v@be { compatible = CLASS; server; }; };\n", encoding="utf-8"
    )
    main = tmp_path / "main.dts"
    main.write_text(
        '#include <names.h>\n/include/ "server.dtsi"\n'
        "&vm3_vdevs { v@fe { peer-phandle = <&be>; client; }; };\n",
        encoding="utf-8",
    )
    (link,) = hyplink.board.load(main, include=[tmp_path / "inc"]).links
    assert link.name == "vogl"
    assert Path(link.server_place.file).name == "server.dtsi"
    assert (link.server_place.line, link.server_place.column) == (1, 18)


def test_macros_and_conditions_work_across_lines() -> None:
    text = """
#define VDEV(label, role) \\
    label: vogl@label { \\
        compatible = "vogl"; role; };
#define TWO 2
#if TWO > 1 && defined(VDEV)
&vm2_vdevs {
    VDEV(
        be,
        server
    )
};
#else
&nothing { };
#endif
#ifndef NOTHING
&vm3_vdevs { fe { peer-phandle = <&be>; client; }; };
#endif
"""
    (link,) = hyplink.board.load(text).links
    assert link.server_path.endswith("vogl@be")


def test_a_macro_is_as_it_was_defined_at_that_point() -> None:
    text = """
#define NAME "one"
&vm2 { label = NAME; status = "okay"; };
#undef NAME
#define NAME "two"
&vm3 { label = NAME; status = "okay"; };
"""
    assert [vm.name for vm in hyplink.board.load(text).vms] == ["one", "two"]


def test_a_guarded_file_may_include_itself(tmp_path: Path) -> None:
    file = tmp_path / "a.dts"
    file.write_text(f'#ifndef A\n#define A\n#include "a.dts"\n{pair()}#endif\n', encoding="utf-8")
    assert len(hyplink.board.load(file).links) == 1


def test_places_survive_comments_includes_and_macros(tmp_path: Path) -> None:
    (tmp_path / "inc.h").write_text("#define SIZE 128X\n/*\n\n*/\n", encoding="utf-8")
    main = tmp_path / "main.dts"
    main.write_text(
        '#include "inc.h"\n/* one\ntwo */ &vm2_vdevs { /* x */ a: b { compatible = "vogl"; info = '
        '"vrpq-pmem=1X"; server; }; };\n#define W(x) <x>\n'
        "&vm3_vdevs { c { peer-phandle = W(&a); client = W(1); }; };\n",
        encoding="utf-8",
    )
    _, findings = hyplink.board.check(main)
    places = [(f.line, f.column, f.code) for f in sorted(findings.found)]
    assert places == [(3, 75, "BOARD0050"), (5, 40, "BOARD0032")]


def test_line_markers_of_another_preprocessor_are_believed() -> None:
    text = '# 1 "board.dts"\n&vm2_vdevs { };\n# 40 "other.dtsi" 1\n\n&vm3_vdev { };\n'
    _, findings = hyplink.board.check(text)
    assert [(f.file, f.line, f.column) for f in findings.found] == [("other.dtsi", 41, 1)]


def test_nodes_and_properties_can_be_changed_and_deleted_later() -> None:
    text = (
        pair()
        + pair(1)
        + (
            '&be0 { info = "vrpq-reqs=512"; };\n'
            "/delete-node/ &be1;\n"
            "&vm3_vdevs { /delete-node/ v@fe1; };\n"
            '&{/vlm/vms/vm@2} { label = "server"; };\n'
        )
    )
    board = hyplink.board.load(text)
    assert board.links[0].options["vrpq-reqs"] == 512
    assert len(board.links) == 1
    assert board.vm("server").id == 2


def test_a_vdev_with_another_status_is_not_there() -> None:
    text = pair() + '&be0 { status = "disabled"; };\n&vm3_vdevs { v@fe0 { status = "off"; }; };'
    assert hyplink.board.load(text).links == ()


@pytest.mark.parametrize("name", hyplink.board.BUILTIN)
def test_a_compiled_tree_is_the_same_board(name: str, tmp_path: Path) -> None:
    data = hyplink.board.to_dtb(name)
    assert hyplink.board.load(data) == hyplink.board.load(name)
    (tmp_path / "x.dtb").write_bytes(data)
    assert hyplink.board.load(tmp_path / "x.dtb") == hyplink.board.load(name)


def test_a_compiled_tree_keeps_memory_and_imports() -> None:
    text = """
        &invalid_region { reg = <0 0xd0000000 0x4000000>; };
        &vm2_vplatform {
            vl,io-memory@d0000000 {
                compatible = "vl,io-memory";
                reg = <0 0xd0000000 0x4000>;
                ipa-base = <0x800000000>;
                vl,allow-sharing;
                vl,attributes = <VDT_S2PTE_UPPER_MEM VDT_S2PTE_LOWER_MEM>;
            };
            vm-memory@3 { compatible = "vl,vm-memory"; vl,vm-id = <3>; };
        };
        """
    board = hyplink.board.load(text)
    assert hyplink.board.load(hyplink.board.to_dtb(text)) == board
    assert board.vm(2).io_memory[0].kind == "cached"


def test_mistakes_in_a_compiled_tree_name_the_node() -> None:
    data = hyplink.board.to_dtb(pair() + '&be0 { info = "vrpq-pmem=1X"; };')
    with pytest.raises(BoardError, match="VM 2, v@be0") as error:
        hyplink.board.load(data)
    assert codes(error) == ["BOARD0050"]


@pytest.mark.parametrize("keep", [4, 39, 60, 200, -1])
def test_a_truncated_compiled_tree_is_damaged(keep: int) -> None:
    with pytest.raises(BoardError) as error:
        hyplink.board.load(hyplink.board.to_dtb("vogl")[:keep])
    assert codes(error) == ["BOARD0004"]


def test_the_error_shows_all_findings_with_carets() -> None:
    with pytest.raises(BoardError, match=r"2 errors[\s\S]*\^\^\^[\s\S]*\^\^\^") as error:
        hyplink.board.load("&vm2_vdev { };\n&vm3_vdev { };\n")
    assert codes(error) == ["BOARD0011", "BOARD0011"]


def test_a_vplatform_for_a_vm_that_is_not_there_is_an_error() -> None:
    with pytest.raises(BoardError, match="no VM 40") as error:
        hyplink.board.load("vogl", vplatform={40: "/ { };"})
    assert codes(error) == ["BOARD0022"]


def test_mistakes_in_all_sources_are_reported_together() -> None:
    with pytest.raises(BoardError) as error:
        hyplink.board.load("&vm2_vdev { };\n", vplatform={2: "x = <1 2;\n", 3: ""})
    assert sorted(codes(error)) == ["BOARD0002", "BOARD0010", "BOARD0011"]


def test_many_links_load_and_keep_their_order() -> None:
    board = hyplink.board.load("".join(pair(n) for n in range(1000)))
    assert [link.label for link in board.links] == [f"vogl{n}" for n in range(1000)]
    assert [link.link for link in board.links] == list(range(1000))


def test_importing_the_package_loads_no_library() -> None:
    code = (
        "import sys, hyplink.board; "
        "print([m for m in ('devicetree', 'pcpp', 'libfdt', 'yaml') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
