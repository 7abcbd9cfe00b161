"""The lines of a board's picture, before anybody draws them: links, shared memory, imports.

Links of one class between the same two ends become one row with "×N" when they are many.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from hyplink.board.model import BoardModel, LinkSpec

__all__ = ["LinkStates", "Row", "VmStates", "rows", "show_size"]

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


def rows(board: BoardModel, states: LinkStates | None = None) -> list[Row]:
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
