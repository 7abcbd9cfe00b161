"""Collects what is wrong with an interface text, in the order of the text."""

from __future__ import annotations

from collections.abc import Iterable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hyplink.diagnostics import Diagnostic, Note

__all__ = ["Findings", "Place", "nearest"]

#: line, column, length; both count from 1.
Place = tuple[int, int, int]

#: A text this broken gets no better by listing more.
_LIMIT = 200


def nearest(word: str, candidates: Iterable[str]) -> str:
    """The known name most like ``word``, or an empty string."""
    import difflib

    known = {c.lower(): c for c in sorted(candidates)}
    found = difflib.get_close_matches(word.lower(), list(known), n=1, cutoff=0.6)
    return known[found[0]] if found else ""


class Findings:
    """The findings of one run over one or several files."""

    def __init__(self) -> None:
        self.sources: dict[str, str] = {}
        self._found: list[Diagnostic] = []
        self._seen: set[tuple[str, int, int, str]] = set()

    def add(
        self,
        file: str,
        place: Place,
        code: int,
        message: str,
        *,
        hint: str = "",
        note: tuple[Place, str] | None = None,
    ) -> None:
        """Record one finding; the same code twice at one place counts once."""
        line, column, length = place
        key = (file, line, column, f"VIDL{code:04d}")
        if key in self._seen or len(self._found) >= _LIMIT:
            return
        self._seen.add(key)
        # A file without findings does not pay for what renders them.
        from hyplink.diagnostics import Diagnostic, Note

        notes: tuple[Note, ...] = ()
        if note is not None:
            (nline, ncolumn, nlength), text = note
            notes = (Note(file, nline, ncolumn, text, nlength),)
        self._found.append(Diagnostic(file, line, column, key[3], message, length, hint, notes))

    def __bool__(self) -> bool:
        return bool(self._found)

    def sorted(self) -> list[Diagnostic]:
        """Findings by file (in the order the files were read), then by place."""
        order = {name: index for index, name in enumerate(self.sources)}
        return sorted(self._found, key=lambda d: (order.get(d.file, -1), d.line, d.column, d.code))

    def text(self) -> str:
        """All findings, rendered with excerpts."""
        from hyplink.diagnostics import render

        return "\n".join(render(d, self.sources) for d in self.sorted())
