"""What all tables of counters are: rows of one kind, each shown in the same columns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, overload

if TYPE_CHECKING:
    from typing import Self

__all__ = ["Rows"]

R = TypeVar("R")


class Rows(Sequence[R]):
    """The rows of one moment; a slice of them is a table, too."""

    _columns: ClassVar[Mapping[str, Callable[[Any], str]]]

    def __init__(self, rows: Iterable[R]) -> None:
        self._all = list(rows)

    def _slice(self, rows: list[R]) -> Self:
        return type(self)(rows)

    def _rows(self) -> list[list[str]]:
        return [[cell(row) for cell in self._columns.values()] for row in self]

    @overload
    def __getitem__(self, index: int) -> R: ...
    @overload
    def __getitem__(self, index: slice) -> Self: ...
    def __getitem__(self, index: int | slice) -> R | Self:
        return self._slice(self._all[index]) if isinstance(index, slice) else self._all[index]

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[R]:
        return iter(self._all)
