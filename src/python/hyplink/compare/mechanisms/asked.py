"""What the client asks of a server that answers messages, and how the server does it."""

from __future__ import annotations

import struct
import time
from typing import Any

__all__ = ["ASKED", "AWAY", "BACK", "ECHO", "FIRST", "HANG", "IN_PLACE", "LEAVE", "SECOND", "TAKE"]
__all__ += ["Desk", "becomes_second"]

#: What is wanted, and a number.
ASKED = struct.Struct("<QQ")
ECHO, TAKE, AWAY, BACK, IN_PLACE, LEAVE, HANG = range(1, 8)

#: The number beside IN_PLACE when it is handed over, and what the sender makes of it afterwards.
FIRST, SECOND = 0x1157, 0x2200

#: How long a receiver looks for such a change. A copy never changes.
_LOOKS = 1.0


def becomes_second(words: Any) -> bool:
    """Whether the sender's later writing arrives: then nothing was copied. ``words[1]`` is the number."""
    deadline = time.monotonic() + _LOOKS
    while words[1] != SECOND:
        if time.monotonic() > deadline:
            return False
    return True


class Desk:
    """The server's side: one answer a question."""

    def __init__(self) -> None:
        self.back = 0

    def answer(self, wanted: int, value: int, words: Any = None) -> int:
        """The number that answers; blocks for AWAY and, until somebody kills this VM, for HANG.

        Args:
            wanted: One of the codes.
            value: What came with it: the number of an echo, the nanoseconds to be away.
            words: The question where it lies, as words of 64 bits; IN_PLACE looks at it.
        """
        if wanted == AWAY:
            time.sleep(value / 1e9)
            self.back = time.monotonic_ns()
        elif wanted == BACK:
            return self.back
        elif wanted == IN_PLACE:
            return int(becomes_second(words))
        while wanted == HANG:
            time.sleep(60)
        return value
