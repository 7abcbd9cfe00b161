"""Client and server of a loaded interface in one thread, callbacks included; no transport."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from idl_wirelib import Request

from hyplink.errors import WouldBlock

__all__ = ["Loop"]

_HALF = 1 << 16


class _Server:
    """The server's end: where callbacks begin."""

    def __init__(self, loop: Loop) -> None:
        self.loop = loop
        self.window = memoryview(bytearray(b"\xee" * (2 * _HALF)))
        #: How many callbacks still fit.
        self.room = 1 << 30
        self.sent: list[tuple[int, bytes]] = []
        self.kept: list[tuple[int, bytes]] = []
        self.stats = {"callbacks_dropped": 0}

    def callback_begin(self, proc: int, nbytes: int) -> int:
        if self.room == 0:
            raise WouldBlock(11, "the callback ring is full")
        self.room -= 1
        self.begun = (proc, nbytes, 0)
        return 64

    def callback_post_bytes(self, proc: int, data: Any, *, drop: str, keep: int) -> None:
        """As the channel does it: what does not fit is kept back, or the newest or oldest forgotten."""
        assert drop in ("newest", "oldest")
        if drop == "newest" and not self.room and len(self.kept) >= keep:
            self.stats["callbacks_dropped"] += 1
            return
        self.kept.append((proc, bytes(data)))
        while self.kept and self.room:
            self.room -= 1
            self.sent.append(self.kept.pop(0))
        late = max(0, len(self.kept) - keep)
        self.stats["callbacks_dropped"] += late
        del self.kept[:late]

    def callback_begin_call(self, proc: int, in_bytes: int, out_bytes: int) -> int:
        at = self.callback_begin(proc, in_bytes)
        self.begun = (proc, in_bytes, out_bytes)
        return at

    def _block(self) -> bytes:
        return bytes(self.window[64 : 64 + self.begun[1]])

    def callback_post(self) -> None:
        self.sent.append((self.begun[0], self._block()))

    def callback_call(self, *, timeout: float | None = None) -> tuple[int, int, int]:
        proc, _, out_bytes = self.begun
        out = self.window[_HALF : _HALF + out_bytes]
        out[:] = b"\xdd" * out_bytes
        return (
            self.loop.perform(Request(proc, memoryview(self._block()), out, True)),
            _HALF,
            out_bytes,
        )


class Loop:
    """A channel whose server runs in the call."""

    def __init__(
        self, bind: Callable[..., Callable[[Any], int]], handler: Any, **more: Any
    ) -> None:
        self.window = memoryview(bytearray(b"\xee" * (4 * _HALF)))
        self.server = _Server(self)
        self._serve = bind(handler, None, self.server, **more)
        self.perform: Callable[[Any], int] = lambda _: 95
        self.blocks: list[bytes] = []
        self.statuses: list[int] = []

    def begin(self, proc: int, nbytes: int) -> int:
        return self.begin_call(proc, nbytes, -1)

    def begin_call(self, proc: int, in_bytes: int, out_bytes: int) -> int:
        self.begun = (proc, in_bytes, out_bytes)
        self.window[: 2 * _HALF] = b"\xee" * (2 * _HALF)
        return 64

    def _run(self) -> int:
        proc, in_bytes, out_bytes = self.begun
        block = bytes(self.window[64 : 64 + in_bytes])
        self.blocks.append(block)
        out = self.window[2 * _HALF : 2 * _HALF + max(out_bytes, 0)]
        out[:] = b"\xdd" * len(out)
        status = self._serve(Request(proc, memoryview(block), out, out_bytes >= 0))
        self.statuses.append(status)
        return status

    def post(self) -> None:
        self._run()

    def notify(self) -> None: ...

    def call(self, *, timeout: float | None = None) -> tuple[int, int, int]:
        return self._run(), 2 * _HALF, self.begun[2]

    async def call_async(self) -> tuple[int, int, int]:
        return self.call()

    def on_callback(self, function: Callable[[Any], int]) -> None:
        self.perform = function

    def handle_callbacks(self, *, timeout: float | None = 0.0) -> int:
        count = len(self.server.sent)
        for proc, block in self.server.sent:
            self.perform(Request(proc, memoryview(block), memoryview(b""), False))
        self.server.sent.clear()
        return count
