"""Code that runs inside a VM, and its result: like a `concurrent.futures.Future`.

On the thread backend a guest is a thread of this process, on the process backend a Python process of its own below
the VM's ``hyplink-vm``. Either way it gets an `hyplink.rpq.Application`.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import math
import os
import pickle
import select
import socket
import struct
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from hyplink import _core, errors
from hyplink.idl.carry import loaded_sources
from hyplink.rpq import Application

__all__ = ["Guest", "ProcessGuest", "ThreadGuest"]

T = TypeVar("T")


def readable(source: Any, timeout: float | None) -> bool:
    """Wait until a descriptor is readable or ended; False after `timeout` seconds (None: never).

    With poll, which takes every descriptor: select ends at number 1023.
    """
    poll = select.poll()
    poll.register(source, select.POLLIN)
    return bool(poll.poll(None if timeout is None else math.ceil(timeout * 1000)))


class Guest(Generic[T]):
    """Guest code running in a VM."""

    name: str

    def result(self, *, timeout: float | None = None) -> T:
        """Wait for the guest and return what it returned.

        Raises:
            GuestFailed: The guest raised; its exception is the cause.
            VmCrashed: The VM or the guest's process ended before it answered.
            DeadlineExceeded: ETIMEDOUT; it still runs.

        Blocks: until it ends or the timeout; Ctrl-C works.
        """
        raise NotImplementedError

    def done(self) -> bool:
        """True once it has ended, in whatever way."""
        raise NotImplementedError

    def exception(self, *, timeout: float | None = None) -> BaseException | None:
        """Wait, and return the exception `result` would raise, or None."""
        try:
            self.result(timeout=timeout)
        except errors.DeadlineExceeded:
            raise
        except errors.HyplinkError as failure:
            return failure
        return None

    def _drop(self) -> None:
        """The bench closes: end, and wait for the end."""
        raise NotImplementedError

    def _settled(self) -> bool:
        """True if it has ended and nobody has missed a failure of it."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"<Guest {self.name}: {'done' if self.done() else 'running'}>"


class _TaskApplication(Application):
    """An application whose threads are tasks of the bench, so that a seeded run schedules them."""

    def __init__(self, core: Any, timeout: float | None, bench: Any) -> None:
        super().__init__(core, timeout)
        self._bench = bench

    def thread(self, body: Callable[[], object]) -> threading.Thread:
        task, ended = _core.Task(self._bench), _core.Event(self._bench)

        def run() -> None:
            task.enter()
            try:
                body()
            finally:
                ended.set()
                task.leave()

        started = threading.Thread(target=run, daemon=True)
        started.ended = ended  # type: ignore[attr-defined]
        started.start()
        return started

    def join(self, thread: threading.Thread) -> None:
        thread.ended.wait()  # type: ignore[attr-defined]
        thread.join()


class ThreadGuest(Guest[T]):
    """A guest on the thread backend."""

    def __init__(
        self, bench: Any, vm: int, guest: Callable[[Application], T], timeout: float | None
    ) -> None:
        self.name = getattr(guest, "__name__", type(guest).__name__)
        self._vm = vm
        self._asked = False
        self._value: Any = None
        self._failure: BaseException | None = None
        self._application = _TaskApplication(bench.attach(vm), timeout, bench)

        def run() -> None:
            try:
                self._value = guest(self._application)
            except BaseException as failure:  # kept for result()
                self._failure = failure
            finally:
                self._application.close()

        self._thread = self._application.thread(run)
        self._ended = self._thread.ended  # type: ignore[attr-defined]

    def done(self) -> bool:
        """See `Guest.done`."""
        return bool(self._ended.is_set())

    def result(self, *, timeout: float | None = None) -> T:
        """See `Guest.result`."""
        if not self._ended.wait(timeout):
            raise errors.DeadlineExceeded(
                110, f"guest {self.name}: still running after {timeout} s"
            )
        self._thread.join()
        self._asked = True
        if self._failure is not None:
            raise errors.GuestFailed(f"guest {self.name}: {self._failure}") from self._failure
        return self._value  # type: ignore[no-any-return]

    def _drop(self) -> None:
        """The bench closes: the guest sees EPIPE and ends."""
        self._application.close()
        self._ended.wait(None)
        self._thread.join()
        if self._failure is not None and not self._asked:
            trace = "".join(traceback.format_exception(self._failure))
            _tell_of(self.name, self._vm, self._failure, trace)

    def _settled(self) -> bool:
        """See `Guest._settled`."""
        return self.done() and (self._asked or self._failure is None)


class ProcessGuest(Guest[T]):
    """A guest on the process backend."""

    def __init__(
        self, bench: Any, vm: int, guest: Callable[[Application], T], timeout: float | None
    ) -> None:
        self.name = getattr(guest, "__name__", type(guest).__name__)
        self._vm = vm
        self._bench = bench
        self._since = time.monotonic_ns()
        self._asked = False
        self._outcome: tuple[bool, Any] | None = None
        self._received = bytearray()
        mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket: socket.socket | None = mine
        with theirs, os.fdopen(os.memfd_create("hyplink-guest", os.MFD_CLOEXEC), "w+b") as payload:
            try:
                pickle.dump([p for p in sys.path if p], payload)
                pickle.dump(loaded_sources(), payload)
                payload.write(_pickle((guest, timeout)))
                payload.flush()
                payload.seek(0)
                bench.run(
                    vm,
                    [sys.executable, "-m", "hyplink._app"],
                    [],
                    [payload.fileno(), theirs.fileno()],
                )
            except BaseException:
                mine.close()
                raise

    def _collect(self, timeout: float | None) -> bool:
        """Read what has come; True once the guest's process has ended."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while self._socket is not None:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            if not readable(self._socket, left):
                return False
            with contextlib.suppress(ConnectionResetError):
                piece = self._socket.recv(1 << 20)
                self._received += piece
                if piece:
                    continue
            self._socket.close()
            self._socket = None
        if self._outcome is None and self._received:
            self._outcome = pickle.loads(bytes(self._received))
        return True

    def done(self) -> bool:
        """See `Guest.done`."""
        return self._collect(0)

    def result(self, *, timeout: float | None = None) -> T:
        """See `Guest.result`."""
        if not self._collect(timeout):
            raise errors.DeadlineExceeded(
                110, f"guest {self.name}: still running after {timeout} s"
            )
        self._asked = True
        if self._outcome is None:
            raise errors.VmCrashed(
                f"guest {self.name}: its process or VM {self._vm} ended before it answered"
                + self._reason()
            )
        fine, value = self._outcome
        if fine:
            return value  # type: ignore[no-any-return]
        failure, trace = value
        failure.add_note(trace)
        raise errors.GuestFailed(f"guest {self.name}: {failure}") from failure

    def _reason(self) -> str:
        """Why it ended, as the journal has it. Its VM says so a moment after this end was closed."""
        deadline = time.monotonic() + _REASON_COMES
        while (said := _ends(self._bench, self._vm, self._since)) is None:
            if time.monotonic() > deadline:
                return ""
            time.sleep(0.002)
        return said

    def _drop(self) -> None:
        """The bench is closed: nothing of the guest runs any more."""
        self._collect(None)
        if self._outcome is not None and not self._outcome[0] and not self._asked:
            _tell_of(self.name, self._vm, *self._outcome[1])

    def _settled(self) -> bool:
        """See `Guest._settled`."""
        return self.done() and (self._asked or self._outcome is None or self._outcome[0])


_RECORD = struct.Struct("<QHHIIIQQ24x")
_APP_DROPPED, _PROGRAM_FAILED, _PROGRAM_END = 33, 34, 35
#: Seconds that a reason may come late; none comes where the whole VM has died.
_REASON_COMES = 0.2


def _ends(bench: Any, vm: int, since: int) -> str | None:
    """What the journal knows of programs of a VM that ended badly, from a moment on, with a space in front.

    None if it knows of no end at all.
    """
    said = []
    known = False
    for at, kind, where, _, _, a, b, c in _RECORD.iter_unpack(bench.journal()):
        if where != vm or at < since:
            continue
        known = known or kind in (_APP_DROPPED, _PROGRAM_FAILED, _PROGRAM_END)
        if kind == _PROGRAM_FAILED:
            said.append(f"no program started: {errno.errorcode.get(c, c)}")
        elif kind == _APP_DROPPED:
            said.append(f"application {a} dropped: {errno.errorcode.get(c, c)}")
        elif kind == _PROGRAM_END and b:
            how = f"signal {b & 0x7F}" if b & 0x7F else f"exit status {b >> 8}"
            said.append(f"process {a}: {how}")
    if not known:
        return None
    return f" ({'; '.join(said)})" if said else ""


#: What comes with the end of a guest's VM, or of its peer's.
_ENDS = (errors.PeerDied, errors.HandleClosed, errors.Cancelled)


def _tell_of(name: str, vm: int, failure: BaseException, trace: str) -> None:
    """A guest failed and nobody asked for its result: a client may have waited for it in vain."""
    if not isinstance(failure, _ENDS):
        logging.getLogger("hyplink").error("guest %s of VM %d failed: %s", name, vm, trace.strip())


def _pickle(value: Any) -> bytes:
    """Pickle for another interpreter: what only this one can import (tests, notebooks) travels by value."""
    import cloudpickle

    parts = [
        part
        for root in value
        for part in (root, getattr(root, "handler", None), getattr(root, "func", None))
    ]
    modules = {
        sys.modules.get(getattr(item, "__module__", None) or "")
        for part in parts
        for item in (part, type(part))
    }
    here = [
        module
        for module in modules
        if module is not None
        and module.__name__.partition(".")[0]
        not in sys.stdlib_module_names | {"__main__", "hyplink"}
        and "site-packages" not in (getattr(module, "__file__", None) or "site-packages")
    ]
    for module in here:
        cloudpickle.register_pickle_by_value(module)
    try:
        return bytes(cloudpickle.dumps(value))
    finally:
        for module in here:
            cloudpickle.unregister_pickle_by_value(module)
