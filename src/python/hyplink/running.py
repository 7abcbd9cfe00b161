"""What a bench shares with its VMs and vlinks: the compiled bench, and how long a wait may take."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

from hyplink.timeouts import Timeout, or_default

__all__ = ["Backend", "Running"]

Backend = Literal["thread", "process"]


@dataclasses.dataclass(slots=True)
class Running:
    """One for a bench and all that it consists of."""

    core: Any
    backend: Backend
    #: Seconds that waits take when they are given no timeout of their own.
    timeout: float | None

    def limit(self, timeout: Timeout) -> float | None:
        """How long one wait takes."""
        return or_default(timeout, self.timeout)
