"""Pipes in an event loop: a transport of asyncio with a thread for each direction.

The bell of a pipe is shared by all its openers in the VM, so it cannot become one opener's descriptor; a thread that
sleeps on it can be anybody's.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from hyplink import errors

__all__ = ["open_streams"]

#: Bytes that may wait to be written before `drain` waits.
_HIGH, _LOW = 65536, 16384


class Opened(Protocol):
    """What the streams need of an open pipe: its own blocking calls."""

    timeout: float | None

    def readable(self) -> bool: ...
    def writable(self) -> bool: ...
    def read_available(self) -> bytes: ...
    def write(self, data: Any, /) -> int | None: ...
    def close(self) -> None: ...


async def open_streams(pipe: Opened) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A reader and a writer over an open pipe."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(loop=loop)
    protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
    transport = _PipeTransport(loop, pipe, protocol)
    if not pipe.readable():
        reader.feed_eof()
    return reader, asyncio.StreamWriter(transport, protocol, reader, loop)


class _PipeTransport(asyncio.Transport):
    def __init__(self, loop: asyncio.AbstractEventLoop, pipe: Opened, protocol: Any) -> None:
        super().__init__({"pipe": pipe})
        self._loop = loop
        self._pipe = pipe
        self._protocol = protocol
        self._may_read = threading.Event()
        self._may_read.set()
        self._queue: deque[bytes] = deque()
        self._queued = 0
        self._full = False
        self._changed = threading.Condition()
        self._closing = False
        self._ended = False
        pipe.timeout = None
        protocol.connection_made(self)
        for body, wanted in ((self._read, pipe.readable()), (self._write, pipe.writable())):
            if wanted:
                threading.Thread(target=body, daemon=True, name="hyplink-pipe").start()

    def _post(self, body: Callable[..., object], *arguments: Any) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has been closed
            self._loop.call_soon_threadsafe(body, *arguments)

    # --- reading ----------------------------------------------------------------------------------

    def _read(self) -> None:
        try:
            while data := self._pipe.read_available():
                self._post(self._protocol.data_received, data)
                self._may_read.wait()
            self._post(self._protocol.eof_received)
        except (errors.Cancelled, errors.HandleClosed, ValueError):
            pass  # closed
        except Exception as failure:  # the streams tell it to their user
            self._post(self._end, failure)

    def pause_reading(self) -> None:
        self._may_read.clear()

    def resume_reading(self) -> None:
        self._may_read.set()

    def is_reading(self) -> bool:
        return self._may_read.is_set()

    # --- writing ----------------------------------------------------------------------------------

    def _write(self) -> None:
        try:
            while True:
                with self._changed:
                    self._changed.wait_for(lambda: self._queue or self._closing)
                    if not self._queue:
                        break
                    data = self._queue[0]
                self._pipe.write(data)
                with self._changed:
                    self._queue.popleft()
                    self._queued -= len(data)
                    self._changed.notify_all()
                self._post(self._relax)
            self._post(self._end, None)
        except (errors.Cancelled, errors.HandleClosed, ValueError):
            pass
        except Exception as failure:
            self._post(self._end, failure)

    def _relax(self) -> None:
        if self._full and self._queued <= _LOW:
            self._full = False
            self._protocol.resume_writing()

    def write(self, data: Any) -> None:
        if self._closing or not data:
            return
        with self._changed:
            self._queue.append(bytes(data))
            self._queued += len(data)
            self._changed.notify_all()
        if self._queued > _HIGH and not self._full:
            self._full = True
            self._protocol.pause_writing()

    def get_write_buffer_size(self) -> int:
        return self._queued

    def can_write_eof(self) -> bool:
        return False

    # --- ending -----------------------------------------------------------------------------------

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        """Write what waits, then close the pipe."""
        with self._changed:
            if self._closing:
                return
            self._closing = True
            self._changed.notify_all()
        self._may_read.set()
        if not self._pipe.writable():
            self._end(None)

    def abort(self) -> None:
        self._end(None)

    def _end(self, failure: BaseException | None) -> None:
        if self._ended:
            return
        self._ended = self._closing = True
        self._may_read.set()
        with self._changed:
            self._changed.notify_all()
        self._pipe.close()
        self._loop.call_soon(self._protocol.connection_lost, failure)
