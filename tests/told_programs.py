"""Programs inside the VMs of a bench of processes that do what a test tells them, until they are killed.

Nothing of it waits for a while: a program dies or stands still in an act, at the n-th call that it makes to the
machine, or between two acts.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import signal
import socket
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

import hyplink
from hyplink import errors

#: Seconds. On a busy machine a program takes many to start.
PATIENCE = 120.0
_names = itertools.count(1)


class Died(Exception):
    """The program has ended in an act."""


class Told:
    """A program of a VM. Its acts are methods of an object that is made there, of the application."""

    def __init__(self, bench: hyplink.Bench, vm: int, acts: Callable[[Any], Any]) -> None:
        self.bench, self.vm = bench, vm
        name = f"\0hyplink-told-{os.getpid()}-{next(_names)}"
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(name)
            listening.listen(1)
            listening.settimeout(PATIENCE)
            self.guest = bench.vm(vm).start(functools.partial(obey, name, acts))
            way, _ = listening.accept()
            way.setblocking(True)
            self._way = Connection(way.detach())
        self.pid: int = self._answer()

    def _answer(self) -> Any:
        try:
            assert self._way.poll(PATIENCE), f"program {self.pid} of VM {self.vm} says nothing"
            fine, value = self._way.recv()
        except (EOFError, ConnectionResetError) as ended:
            raise Died from ended
        if fine:
            return value
        raise value

    def begin(
        self, act: str, *words: Any, nth: int = 0, hit: signal.Signals = signal.SIGKILL
    ) -> None:
        """Tell it, without waiting. At the n-th call of the act, if it makes so many, the signal hits it."""
        try:
            self._way.send((act, words, nth, -hit))
        except (BrokenPipeError, ConnectionResetError) as ended:
            raise Died from ended

    def end(self) -> Any:
        """What the act that was begun returns, or raises; `Died` if that was its end."""
        return self._answer()

    def __call__(self, act: str, *words: Any, nth: int = 0) -> Any:
        """An act from beginning to end."""
        self.begin(act, *words, nth=nth)
        return self.end()

    def armed(self, nth: int, hit: signal.Signals = signal.SIGKILL) -> None:
        """The signal hits it at its n-th call from now, whatever it does."""
        assert self("_arm", nth, -hit) is None

    def disarmed(self) -> None:
        """It goes on, whatever of it the signal has stopped, and is hit no more."""
        self.begin("_arm", 0, 0)
        # What its other threads do may have been the n-th call, after it had answered.
        while not self._way.poll(0.05):
            self.go_on()
        assert self.end() is None

    def stands_still(self, unless: Told | None = None) -> bool:
        """Wait until it has stopped (True), or its act has ended, or that of another program."""
        other = unless or self
        while not other._way.poll(0):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError, IndexError):
                states = [
                    (task / "stat").read_text().rpartition(")")[2].split()[0]
                    for task in Path(f"/proc/{self.pid}/task").iterdir()
                ]
                if states and all(state in "Tt" for state in states):
                    return True
            os.sched_yield()
        return False

    def go_on(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def kill(self) -> None:
        """Kill it, and wait for its end."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        self.gone()

    def gone(self, why: str = "signal 9") -> None:
        """Wait for its end, which was a kill: its own, or that of its VM (nobody is left there to say how)."""
        with pytest.raises(errors.VmCrashed, match=why):
            self.guest.result(timeout=PATIENCE)
        self._way.close()

    def leave(self) -> None:
        """Let it end in order."""
        self._way.close()
        self.guest.result(timeout=PATIENCE)


def obey(name: str, acts: Callable[[Any], Any], application: Any) -> None:
    """What runs there."""
    from hyplink import _core

    way = socket.socket(socket.AF_UNIX)
    way.connect(name)
    told = Connection(way.detach())
    object_ = acts(application)
    told.send((True, os.getpid()))
    with contextlib.suppress(EOFError, ConnectionResetError, BrokenPipeError):
        while True:
            act, words, nth, hit = told.recv()
            try:
                if act == "_arm":
                    _core.fail_nth_call(*words)
                    told.send((True, None))
                    continue
                if nth:
                    _core.fail_nth_call(nth, hit)
                done = getattr(object_, act)(*words)
                if nth:
                    _core.fail_nth_call(0, 0)
                told.send((True, done))
            except Exception as error:
                _core.fail_nth_call(0, 0)
                told.send((False, error))


def rounds(most: int = 400) -> Iterator[int]:
    """1, 2, … for the n-th call; a bound for what never comes to its end."""
    yield from range(1, most)
    raise AssertionError(f"an act with {most} calls")


def held(pid: int | None) -> tuple[int, int]:
    """Descriptors and mapped objects of a process. The journals of programs that have ended are kept on purpose."""
    folder, descriptors = Path(f"/proc/{pid}"), 0
    for entry in (folder / "fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            descriptors += "hyplink-journal" not in str(entry.readlink())
    maps = (folder / "maps").read_text()
    return descriptors, maps.count("memfd:") - maps.count("memfd:hyplink-journal")
