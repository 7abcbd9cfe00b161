"""How long a wait may take, as callers say it. Standard library only."""

from __future__ import annotations

import enum

__all__ = ["UNSET", "Timeout", "Unset", "or_default"]


class Unset(enum.Enum):
    """Not given, where None is something."""

    UNSET = enum.auto()


UNSET = Unset.UNSET
#: Seconds, None for ever, or not given: the default of the object.
Timeout = float | Unset | None


def or_default(timeout: Timeout, default: float | None) -> float | None:
    """The seconds that were given, else those of the object.

    >>> or_default(UNSET, 10.0), or_default(None, 10.0), or_default(0.5, 10.0)
    (10.0, None, 0.5)
    """
    return default if isinstance(timeout, Unset) else timeout
