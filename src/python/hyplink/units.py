"""Quantities as people read them. Standard library only."""

from __future__ import annotations

__all__ = ["count", "duration", "size"]

_TIMES = ((1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "µs"))
_SIZES = ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))


def duration(nanoseconds: float) -> str:
    """A length of time with three digits: ``78.1 µs``.

    >>> duration(78_120), duration(1_500_000_000), duration(12)
    ('78.1 µs', '1.5 s', '12 ns')
    """
    for factor, unit in _TIMES:
        if abs(nanoseconds) >= factor * 0.9995:
            return (
                f"{nanoseconds / factor:.3g} {unit}"
                if abs(nanoseconds) < 999.5 * factor
                else (f"{nanoseconds / factor:.0f} {unit}")
            )
    return f"{nanoseconds:.0f} ns"


def size(nbytes: int) -> str:
    """A size in bytes: ``544 KiB``.

    >>> size(544768), size(8192), size(17)
    ('532 KiB', '8 KiB', '17 B')
    """
    for factor, unit in _SIZES:
        if nbytes >= factor:
            whole, rest = divmod(nbytes, factor)
            return f"{whole} {unit}" if rest == 0 else f"{nbytes / factor:.3g} {unit}"
    return f"{nbytes} B"


def count(number: int, word: str) -> str:
    """A number with its noun.

    >>> count(1, "request"), count(64, "request"), count(2, "batch")
    ('1 request', '64 requests', '2 batches')
    """
    if number == 1:
        return f"{number:,} {word}"
    return f"{number:,} {word}{'es' if word.endswith(('ch', 's', 'x')) else 's'}"
