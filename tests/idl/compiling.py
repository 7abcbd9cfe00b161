"""Several compilations at a time: a compiler uses one processor."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")

AT_A_TIME = 2


def side_by_side(compiled: Callable[[K], V], keys: Iterable[K]) -> dict[K, V]:
    """``compiled`` of each key. No thread is left; the first exception comes out."""
    keys = list(keys)
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        return dict(zip(keys, pool.map(compiled, keys), strict=True))
