"""The picture shows every VM and link, and nothing lies on anything else."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import hyplink.board
from hyplink.board import draw_svg, draw_text

SVG = "{http://www.w3.org/2000/svg}"


def busy() -> hyplink.board.Board:
    text = ""
    for n in range(12):
        one, two = 2 + n % 7, 2 + (3 * n + 1) % 9
        text += f"""
        &vm{one}_vdevs {{ b{n}: v@b{n} {{ compatible = "averylongclass"; server; }}; }};
        &vm{two}_vdevs {{ v@f{n} {{ peer-phandle = <&b{n}>; client; }}; }};
        """
    return hyplink.board.load(text + '&vm3 { label = "a name <much> longer than usual"; };')


def many() -> hyplink.board.Board:
    return hyplink.board.load(
        "".join(
            f"""
            &vm2_vdevs {{ b{n}: v@b{n} {{ compatible = "vogl"; server; }}; }};
            &vm3_vdevs {{ v@f{n} {{ peer-phandle = <&b{n}>; client; }}; }};
            """
            for n in range(20)
        )
    )


def words(svg: str) -> list[str]:
    return [text.text or "" for text in ET.fromstring(svg).iter(f"{SVG}text")]


def test_the_picture_is_well_formed_and_complete() -> None:
    board = busy()
    found = words(draw_svg(board))
    assert {f"VM {vm.id}" for vm in board.vms} <= set(found)
    assert {link.label for link in board.links} <= set(found)
    assert "a name <much> longer than usual" in found


def test_no_two_texts_overlap() -> None:
    boxes = []
    for text in ET.fromstring(draw_svg(busy())).iter(f"{SVG}text"):
        size = float(text.attrib["font-size"])
        width = 0.62 * size * len(text.text or "")
        x, y = float(text.attrib["x"]), float(text.attrib["y"])
        left = x - width / 2 if text.get("text-anchor") == "middle" else x
        boxes.append((left, y - size * 0.8, left + width, y, text.text))
    for i, one in enumerate(boxes):
        for two in boxes[i + 1 :]:
            apart = one[2] <= two[0] or two[2] <= one[0] or one[3] <= two[1] or two[3] <= one[1]
            assert apart, (one, two)


def test_everything_is_inside_the_picture() -> None:
    root = ET.fromstring(draw_svg(busy()))
    width, height = (float(root.attrib[name]) for name in ("width", "height"))
    for circle in root.iter(f"{SVG}circle"):
        assert 8 <= float(circle.attrib["cx"]) <= width - 8
        assert 4 <= float(circle.attrib["cy"]) <= height - 8


def test_many_links_of_one_kind_share_a_row() -> None:
    assert "vogl ×20" in words(draw_svg(many()))
    assert "vogl ×20" in draw_text(many())


def test_states_give_colours_and_counts() -> None:
    board = many()
    states = {link.label: ("ON", "ON" if link.link else "RESET") for link in board.links}
    svg = draw_svg(board, states, {2: "RUNNING", 3: "DEAD"})
    assert "vogl ×20, 19 on" in words(svg)
    assert "#b91c1c" in svg
    assert {"running", "dead"} <= set(words(svg))
    text = draw_text(hyplink.board.load("vogl"), {"vogl0": ("ON", "RESET")}, {2: "RUNNING"})
    assert "ON / RESET" in text
    assert "VM 2  vm2  RUNNING" in text


def test_shared_memory_and_grants_are_drawn() -> None:
    board = hyplink.board.load(
        "".join(
            f"""
            &vm{n}_vplatform {{
                vl,io-memory@d0000000 {{
                    compatible = "vl,io-memory";
                    reg = <0 0xd0000000 0x4000>;
                    vl,allow-sharing;
                }};
            }};
            """
            for n in (2, 5)
        )
        + '&vm2_vplatform { m { compatible = "vl,vm-memory"; vl,vm-id = <5>; }; };'
    )
    assert {"0xd0000000, 16 KiB", "grants"} <= set(words(draw_svg(board)))
    assert "VM 5 ───> VM 2" in draw_text(board)


def test_a_board_draws_itself_in_a_notebook() -> None:
    board = hyplink.board.load("vogl")
    assert board._repr_svg_().startswith("<svg")
    assert "<svg" in board._repr_html_()
    assert re.fullmatch(r"<Board 'vogl': VMs 2, 3; 1 links>", repr(board))
    assert str(board) == draw_text(board)


def test_a_board_without_vms_has_a_picture_too() -> None:
    board = hyplink.board.load("&invalid_region { reg = <0 0 0x1000>; };")
    ET.fromstring(draw_svg(board))
    assert "memory of no VM" in draw_text(board)
