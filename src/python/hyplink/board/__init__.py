"""Boards: which VMs there are, which vlinks join them, which memory they share.

A board is a device tree. A *fragment*, as the guides print them, is put on a skeleton that has the
labels the guides refer to:

    >>> import hyplink.board
    >>> board = hyplink.board.load('''
    ... &vm2_vdevs {
    ...     pipe: vbpipe@be { compatible = "vbpipe"; };
    ... };
    ... &vm4_vdevs {
    ...     vbpipe@fe { peer-phandle = <&pipe>; };
    ... };
    ... ''')
    >>> [(link.label, link.server, link.client) for link in board.links]
    [('vbpipe0', 2, 4), ('vbpipe1', 4, 2)]

Mistakes are reported all at once, each with its place, in ``hyplink.errors.BoardError``.
"""

from __future__ import annotations

from hyplink.board.board import Board
from hyplink.board.draw import draw_svg, draw_text
from hyplink.board.findings import CODES
from hyplink.board.loader import BUILTIN, builtin, check, load, to_dtb
from hyplink.board.model import InvalidRegion, IoMemory, LinkSpec, VmSpec

__all__ = [
    "BUILTIN",
    "CODES",
    "Board",
    "InvalidRegion",
    "IoMemory",
    "LinkSpec",
    "VmSpec",
    "builtin",
    "check",
    "draw_svg",
    "draw_text",
    "load",
    "to_dtb",
]
