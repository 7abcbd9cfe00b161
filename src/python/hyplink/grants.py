"""What the hypervisor says of granted pages: to whom, how, mapped or not. Source: spec 003 2.1.2; MODEL."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple

from hyplink import _core
from hyplink.arguments import wrong

__all__ = ["Access", "Grant", "GrantLevel", "Grants", "MissedHolds", "flags_of", "grants_of"]

#: Letters: ``r`` read, ``w`` write (only with r); ``c`` by the CPU, ``d`` by DMA. Without c and d: c.
Access = str
GrantLevel = Literal["cooperative", "memfd", "broker"]

_LETTERS = {
    "r": int(_core.GRANT_READ),
    "w": int(_core.GRANT_WRITE),
    "c": int(_core.GRANT_CPU),
    "d": int(_core.GRANT_DMA),
}
_LEVELS = {
    "cooperative": int(_core.GRANT_COOPERATIVE),
    "memfd": int(_core.GRANT_MEMFD),
    "broker": int(_core.GRANT_BROKER),
}
#: Rows in a notebook; an exporter may have thousands.
_SHOWN = 200
_STATES = {1: "offered", 2: "active", 3: "revoking"}


def flags_of(access: Access, level: GrantLevel | None = None) -> int:
    """Rights as the hypervisor takes them.

    Raises:
        BadArgument: EINVAL; other letters, or another level.
    """
    given: object = access  # whatever the caller gave
    if not isinstance(given, str) or not access or set(access) - set(_LETTERS):
        raise wrong("access", access, "letters of r, w, c (CPU), d (DMA)")
    flags = sum(_LETTERS[letter] for letter in set(access))
    if not flags & (_LETTERS["c"] | _LETTERS["d"]):
        flags |= _LETTERS["c"]
    wished: object = level
    if wished is not None and (not isinstance(wished, str) or wished not in _LEVELS):
        raise wrong("level", level, f"one of {', '.join(_LEVELS)}")
    return flags if level is None else flags | _LEVELS[level]


class Grant(NamedTuple):
    """One importer of one range of pages."""

    #: Where it begins: IPA, equal to PA; and how many bytes, whole pages.
    address: int
    nbytes: int
    #: VM ids.
    exporter: int
    importer: int
    #: Letters, as in `hyplink.memory.Memory.grant`.
    access: str
    #: ``offered`` (not mapped), ``active``, ``revoking`` (its exporter has ended).
    state: str
    #: Counts the objects that stood behind granted pages of this bench.
    generation: int
    level: str

    def __str__(self) -> str:
        return (
            f"VM {self.exporter} → VM {self.importer}: {self.nbytes} bytes at {self.address:#x}, "
            f"{self.access}, {self.state}, {self.level}"
        )


class Grants(list[Grant]):
    """All of them at one moment, by address, then importer."""

    _HEAD = ("address", "bytes", "exporter", "importer", "access", "state", "gen", "level")

    def _rows(self) -> list[list[str]]:
        return [[f"{grant.address:#x}", *(str(cell) for cell in grant[1:])] for grant in self]

    def __str__(self) -> str:
        from hyplink.display import text_table

        return text_table(self._HEAD, self._rows()) if self else "nothing is granted"

    def _repr_html_(self) -> str:
        from hyplink.display import html_table
        from hyplink.units import count, size

        nbytes = size(sum(grant.nbytes for grant in self))
        note = f"{count(len(self), 'grant')}, {nbytes}" if self else "nothing is granted"
        if len(self) > _SHOWN:
            note += f"; the first {_SHOWN} of them"
        return html_table(self._HEAD, Grants(self[:_SHOWN])._rows(), note)


class MissedHolds(NamedTuple):
    """How often a VM that keeps pages did not hold them while another VM was denied them.

    Each is a ``HOLD_MISSED`` in the journal, with the pages; its windows on them may have shown zeroes for a moment.
    """

    exporter: int
    importer: int
    times: int


def grants_of(rows: Iterable[tuple[int, int, int, int, int, int, int, str]]) -> Grants:
    """The hypervisor's rows as grants."""
    return Grants(
        Grant(
            at,
            nbytes,
            exporter,
            importer,
            "".join(letter for letter, bit in _LETTERS.items() if rights & bit),
            _STATES[state],
            generation,
            level,
        )
        for at, nbytes, exporter, importer, rights, state, generation, level in rows
    )
