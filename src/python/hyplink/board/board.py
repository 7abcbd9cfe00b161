"""A board: what a tree says, and how it shows itself."""

from __future__ import annotations

import dataclasses

from hyplink.board.draw import draw_svg, draw_text
from hyplink.board.model import BoardModel

__all__ = ["Board"]


@dataclasses.dataclass(frozen=True, slots=True, repr=False)
class Board(BoardModel):
    """A board: ``vms`` by id, ``links`` in the order of the tree, ``invalid_regions`` by address.

    ``str`` is its picture in characters; a notebook shows it as SVG. Two boards are equal if they say the same,
    wherever they were read from.
    """

    def __str__(self) -> str:
        return draw_text(self)

    def _repr_svg_(self) -> str:
        return draw_svg(self)

    def _repr_html_(self) -> str:
        return f'<div style="max-width:100%;overflow-x:auto">{self._repr_svg_()}</div>'
