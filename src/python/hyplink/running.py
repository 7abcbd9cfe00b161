"""What a bench shares with its VMs and vlinks: the compiled bench, and how long a wait may take."""

from __future__ import annotations

import dataclasses
import enum
from typing import Any, Literal

__all__ = ["Backend", "Running", "Timeout"]

Backend = Literal["thread", "process"]


class _Unset(enum.Enum):
    UNSET = enum.auto()


UNSET = _Unset.UNSET
#: Seconds, None for ever, or not given: the default of the object.
Timeout = float | _Unset | None


@dataclasses.dataclass(slots=True)
class Running:
    """One for a bench and all that it consists of."""

    core: Any
    backend: Backend
    #: Seconds that waits take when they are given no timeout of their own.
    timeout: float | None

    def limit(self, timeout: Timeout) -> float | None:
        """How long one wait takes."""
        return self.timeout if isinstance(timeout, _Unset) else timeout
