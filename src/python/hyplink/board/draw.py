"""A board as a picture: VMs, the links between them, the memory they share.

Each VM is a column; each link is a row between two columns, so nothing can overlap however many
there are. Links of one class between the same two ends become one row with "×N" when they are many.
A running bench passes the states of its links and VMs and gets the same picture in colour.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from hyplink.board.model import Board, LinkSpec

__all__ = ["LinkStates", "Row", "VmStates", "draw_svg", "draw_text", "rows", "show_size"]

#: Link label -> (state of the server's end, of the client's end), such as ``("ON", "RESET")``.
LinkStates = Mapping[str, tuple[str, str]]
#: VM id -> state, such as ``"RUNNING"``.
VmStates = Mapping[int, str]

#: More links than this of one class between the same ends share a row.
_MANY = 3


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """One line of the picture: a text and the VMs it joins, with a mark for each."""

    text: str
    marks: tuple[tuple[int, str, str], ...]
    """``(VM id, letter, state)``: S server, C client, M memory, X exporter, I importer."""
    style: str
    tooltip: str = ""


def show_size(size: int) -> str:
    """``64 MiB``, exactly."""
    for shift, unit in ((30, "GiB"), (20, "MiB"), (10, "KiB")):
        if size and size % (1 << shift) == 0:
            return f"{size >> shift} {unit}"
    return f"{size} B"


def _summary(states: Sequence[tuple[str, str]], side: int) -> str:
    found = {pair[side] for pair in states}
    return found.pop() if len(found) == 1 else "MIXED" if found else ""


def _link_row(links: Sequence[LinkSpec], states: LinkStates) -> Row:
    first = links[0]
    known = [states[link.label] for link in links if link.label in states]
    if len(links) == 1:
        text = first.label
        options = ", ".join(f"{k}={v}" for k, v in first.options.items() if v not in (None, False))
        tooltip = f"{first.label}: {options}" if options else first.label
        if first.server_info:
            tooltip += f"\n{first.server_info}"
    else:
        text = f"{first.name} ×{len(links)}"
        tooltip = f"{first.label} … {links[-1].label}"
        if known:
            on = sum(pair == ("ON", "ON") for pair in known)
            text += f", {on} on"
    if known:
        ends = " / ".join(_summary(known, side) for side in (0, 1))
        tooltip += f"\nserver / client: {ends}"
    return Row(
        text,
        ((first.server, "S", _summary(known, 0)), (first.client, "C", _summary(known, 1))),
        "link",
        tooltip,
    )


def _groups(links: Sequence[LinkSpec]) -> list[list[LinkSpec]]:
    groups: dict[tuple[str, int, int], list[LinkSpec]] = {}
    for link in links:
        groups.setdefault((link.name, link.server, link.client), []).append(link)
    out: list[list[LinkSpec]] = []
    for group in groups.values():
        out += [group] if len(group) > _MANY else [[link] for link in group]
    return sorted(out, key=lambda group: (group[0].link, group[0].label))


def rows(board: Board, states: LinkStates | None = None) -> list[Row]:
    """The lines of the picture: links, then shared memory, then imports."""
    out = [_link_row(group, states or {}) for group in _groups(board.links)]
    shared: dict[tuple[int, int], list[int]] = {}
    for vm in board.vms:
        for region in vm.io_memory:
            shared.setdefault((region.pa, region.size), []).append(vm.id)
    for (base, size), vms in sorted(shared.items()):
        text = f"{base:#x}, {show_size(size)}"
        marks = tuple((vm, "M", "") for vm in dict.fromkeys(vms))
        out.append(Row(text, marks, "memory", f"memory at {text}"))
    for vm in board.vms:
        for exporter in vm.imports:
            marks = ((exporter, "X", ""), (vm.id, "I", ""))
            tip = f"VM {vm.id} can map memory that VM {exporter} grants"
            out.append(Row("grants", marks, "grant", tip))
    return out


def draw_text(board: Board, links: LinkStates | None = None, vms: VmStates | None = None) -> str:
    """The board as text.

    >>> import hyplink.board
    >>> print(draw_text(hyplink.board.load("vogl")))
    board vogl: 2 VMs, 1 link
      VM 2  vm2
      VM 3  vm3
    links
      vogl0  VM 2 server ──── client VM 3
    """
    count = len(board.links)
    out = [
        f"board {board.name}: {len(board.vms)} VM{'s' * (len(board.vms) != 1)}, "
        f"{count} link{'s' * (count != 1)}"
    ]
    width = max((len(str(vm.id)) for vm in board.vms), default=1)
    for vm in board.vms:
        state = (vms or {}).get(vm.id)
        out.append(f"  VM {vm.id:<{width}}  {vm.name}" + (f"  {state}" if state else ""))
    lines = rows(board, links)
    names = {"link": "links", "memory": "mapped memory", "grant": "memory grants"}
    for style, title in names.items():
        part = [row for row in lines if row.style == style]
        if part:
            out.append(title)
            room = max(len(row.text) for row in part)
            out += [f"  {row.text:<{room}}  {_ends(row)}" for row in part]
    if board.invalid_regions:
        out.append("memory of no VM")
        out += [f"  {r.base:#x}, {show_size(r.size)}" for r in board.invalid_regions]
    return "\n".join(out)


def _ends(row: Row) -> str:
    if row.style == "memory":
        return ", ".join(f"VM {vm}" for vm, _, _ in row.marks)
    (one, _, left), (two, _, right) = row.marks
    if row.style == "grant":
        return f"VM {one} ───> VM {two}"
    states = f"  {left} / {right}" if left or right else ""
    return f"VM {one} server ──── client VM {two}{states}"


def draw_svg(board: Board, links: LinkStates | None = None, vms: VmStates | None = None) -> str:
    """The board as an SVG picture, for a notebook or a file."""
    from hyplink.board.svg import picture

    return picture(board, rows(board, links), vms or {})
