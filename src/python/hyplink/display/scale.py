"""Time to pixels, with the idle time cut out and every busy stretch given room.

A run that boots for 20 ms, waits 100 ms, streams for 2 s and dies in 1 ms is illegible on one even
scale. So time is divided into blocks, each with an even scale of its own: at waits that are long
for their surroundings, and where steady traffic begins or ends.
"""

from __future__ import annotations

import bisect
import dataclasses
import itertools
import math
from collections.abc import Iterator, Sequence

__all__ = ["CUT_PIXELS", "Block", "Scale"]

CUT_PIXELS = 44.0
#: No block is narrower, where there is room at all.
_LEAST_PIXELS = 56.0
#: A wait inside a block is cut out if it takes this part of the block, and of the whole run.
_CUT_PART, _CUT_LEAST = 0.22, 0.002
#: Between two blocks it is cut out if it is this part of the longer one.
_JOIN_PART = 0.1
#: So many events of traffic in a row are a steady stretch.
_STEADY = 24


@dataclasses.dataclass(slots=True)
class Block:
    """A stretch of time with an even scale, and where it is drawn."""

    start: int
    end: int
    weight: int
    x0: float = 0.0
    x1: float = 0.0
    #: Idle time before it that was cut out; 0 when it follows the previous block directly.
    cut: int = 0


class Scale:
    """The blocks of a run.

    Args:
        moments: Time of each event in ns, in order, and whether it is steady traffic.
        left: First pixel.
        right: Last pixel.
    """

    def __init__(self, moments: Sequence[tuple[int, bool]], left: float, right: float) -> None:
        most = max(3, int((right - left + CUT_PIXELS) / (CUT_PIXELS + _LEAST_PIXELS) * 0.9))
        self.blocks = _divide(moments, most)
        _join(self.blocks)
        self._place(left, right)
        self._starts = [block.start for block in self.blocks]

    def _place(self, left: float, right: float) -> None:
        cuts = sum(block.cut > 0 for block in self.blocks)
        room = max(right - left - cuts * CUT_PIXELS, 1.0)
        least = min(_LEAST_PIXELS, room / len(self.blocks))
        room -= least * len(self.blocks)
        weights = [math.sqrt(min(block.weight, 700)) for block in self.blocks]
        x = left
        for block, weight in zip(self.blocks, weights, strict=True):
            x += CUT_PIXELS if block.cut else 0
            block.x0 = x
            x += least + room * weight / sum(weights)
            block.x1 = x

    def x(self, time: int) -> float:
        """Where a moment is drawn; one within a cut stands in its middle."""
        index = bisect.bisect_right(self._starts, time) - 1
        if index < 0:
            return self.blocks[0].x0
        block = self.blocks[index]
        if time <= block.end:
            return _within(block, time)
        following = self.blocks[index + 1 : index + 2]
        return (block.x1 + following[0].x0) / 2 if following else block.x1

    def ticks(self, apart: float, start: int) -> Iterator[tuple[float, int]]:
        """(x, time since ``start``) of round moments, at least ``apart`` pixels from each other.

        A block too narrow for any of these gets its beginning.
        """
        for block in self.blocks:
            length = block.end - block.start
            step = _round_up(length * apart / (block.x1 - block.x0))
            time = -(-(block.start - start) // step) * step
            if time > block.end - start:
                yield _within(block, block.start), block.start - start
            while time <= block.end - start:
                yield _within(block, time + start), time
                time += step


def _within(block: Block, time: int) -> float:
    length = block.end - block.start
    if length <= 0:
        return (block.x0 + block.x1) / 2
    # A little air at both ends, so that what happens there is not drawn on the border.
    air = min(6.0, (block.x1 - block.x0) / 8)
    return block.x0 + air + (block.x1 - block.x0 - 2 * air) * (time - block.start) / length


def _round_up(nanoseconds: float) -> int:
    """The next 1, 2 or 5 with zeros."""
    power = 10 ** max(0, math.floor(math.log10(max(nanoseconds, 1))))
    return next(int(power * f) for f in (1, 2, 5, 10) if power * f >= nanoseconds)


def _divide(moments: Sequence[tuple[int, bool]], most: int) -> list[Block]:
    if not moments:
        return [Block(0, 1, 1)]
    steady = _STEADY
    runs = _runs(moments, steady)
    while len(runs) > (most + 1) // 2:
        steady *= 2
        runs = _runs(moments, steady)
    pieces = [[time for time, _ in moments[a:b]] for a, b in runs]
    least = max(1.0, (moments[-1][0] - moments[0][0]) * _CUT_LEAST)
    while len(pieces) < most:
        places = [(_gap(piece, at := _widest(piece)), i, at) for i, piece in enumerate(pieces)]
        worth = [
            place
            for place in places
            if place[0] >= max(least, _CUT_PART * (pieces[place[1]][-1] - pieces[place[1]][0]))
        ]
        if not worth:
            break
        _, index, at = max(worth)
        pieces[index : index + 1] = [pieces[index][:at], pieces[index][at:]]
    return [Block(piece[0], piece[-1], len(piece)) for piece in pieces]


def _runs(moments: Sequence[tuple[int, bool]], steady: int) -> list[tuple[int, int]]:
    """Borders of the stretches of steady traffic and of what lies between them."""
    runs: list[tuple[int, int]] = []
    begin = 0
    while begin < len(moments):
        end = begin
        while end < len(moments) and moments[end][1] == moments[begin][1]:
            end += 1
        quiet = not moments[begin][1] or end - begin < steady
        if quiet and runs and runs[-1][1] == begin and not _is_steady(moments, runs[-1], steady):
            runs[-1] = (runs[-1][0], end)
        else:
            runs.append((begin, end))
        begin = end
    return runs


def _is_steady(moments: Sequence[tuple[int, bool]], run: tuple[int, int], steady: int) -> bool:
    begin, end = run
    return end - begin >= steady and moments[begin][1] and moments[end - 1][1]


def _widest(piece: Sequence[int]) -> int:
    """Index of the event after the longest wait."""
    return max(range(1, len(piece)), key=lambda i: piece[i] - piece[i - 1], default=0)


def _gap(piece: Sequence[int], at: int) -> int:
    return piece[at] - piece[at - 1] if at else 0


def _join(blocks: list[Block]) -> None:
    """Blocks that follow each other closely touch; between others the wait is cut out."""
    for previous, block in itertools.pairwise(blocks):
        gap = block.start - previous.end
        around = max(previous.end - previous.start, block.end - block.start, 1)
        if gap > around * _JOIN_PART:
            block.cut = gap
        else:
            block.start = previous.end
