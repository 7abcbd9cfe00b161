"""What a caller gives, looked at before anything is done with it: what was found, and what was expected.

Standard library only. A value that is not what it should be is a `BadArgument` (EINVAL) that names it, here and not
in the compiled core, which could only say that no function of its own takes such types.
"""

from __future__ import annotations

import operator
import reprlib
from typing import Any

from hyplink import errors

__all__ = ["LAST_VM", "WORD", "octets", "span", "whole", "wrong"]

#: The largest size or address there is.
WORD = 2**64 - 1
LAST_VM = 31


def wrong(name: str, found: object, expected: str) -> errors.BadArgument:
    """The error to raise.

    >>> print(wrong("access", 7, "letters").strerror)
    access: 7, expected letters
    """
    return errors.BadArgument(22, f"{name}: {reprlib.repr(found)}, expected {expected}")


def whole(value: Any, name: str, least: int = 0, most: int = WORD) -> int:
    """A whole number in these bounds, of any type that is one (NumPy's too).

    Raises:
        BadArgument: EINVAL; another type, or out of bounds.

    >>> whole(4096, "nbytes", 1)
    4096
    """
    if type(value) is int and least <= value <= most:  # nearly always
        return value
    try:
        number = operator.index(value)
    except TypeError:
        number = least - 1
    if isinstance(value, bool) or not least <= number <= most:
        bounds = f">= {least}" if most == WORD else f"{least}..{most}"
        raise wrong(name, value, f"a whole number {bounds}")
    return number


def octets(value: Any, name: str) -> bytes:
    """The bytes of anything that has some; a number is none of them.

    Raises:
        BadArgument: EINVAL; another type.
    """
    if type(value) is bytes:
        return value
    try:
        return bytes(memoryview(value))
    except (TypeError, ValueError, BufferError):
        raise wrong(name, value, "bytes") from None


def span(place: Any, name: str, expected: str = "(address, bytes)") -> tuple[int, int]:
    """(address, bytes) of whatever has an `address` and `nbytes`, or is such a pair.

    Raises:
        BadArgument: EINVAL; something else, or no whole numbers >= 0.
    """
    if isinstance(place, tuple) and len(place) == 2:
        at, nbytes = place
    else:
        at, nbytes = getattr(place, "address", None), getattr(place, "nbytes", None)
        if at is None or nbytes is None:
            raise wrong(name, place, expected)
    return whole(at, f"{name}: address"), whole(nbytes, f"{name}: bytes")
