"""A board as a picture: VMs, the links between them, the memory they share.

Each VM is a column; each link is a row between two columns, so nothing can overlap however many
there are. A running bench passes the states of its links and VMs and gets the same picture in colour.
"""

from __future__ import annotations

from hyplink.board.model import BoardModel
from hyplink.board.rows import LinkStates, Row, VmStates, rows, show_size
from hyplink.board.svg import picture

__all__ = ["draw_svg", "draw_text"]


def draw_text(
    board: BoardModel, links: LinkStates | None = None, vms: VmStates | None = None
) -> str:
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


def draw_svg(
    board: BoardModel, links: LinkStates | None = None, vms: VmStates | None = None
) -> str:
    """The board as an SVG picture, for a notebook or a file."""
    return picture(board, rows(board, links), vms or {})
