"""Measure one mechanism after the other, each on a bench of its own with a process for each VM."""

from __future__ import annotations

import os
import platform
import signal
import socket
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hyplink import errors
from hyplink.bench import Bench, VmState
from hyplink.compare.baseline import PAUSE, baseline, one_way
from hyplink.compare.claims import CLAIMS
from hyplink.compare.dependencies import depends_on
from hyplink.compare.mechanisms.base import Connection, Mechanism
from hyplink.compare.mechanisms.every import MECHANISMS
from hyplink.compare.rows import Row
from hyplink.compare.table import Table

if TYPE_CHECKING:
    from hyplink.rpq import Application

__all__ = ["compare", "deaths"]

#: How long the receiver is away while the harness looks whether a sender waits for it.
AWAY = 0.1
BYTES = 64 << 20


def compare(
    names: Iterable[str] = (),
    *,
    kills: int = 10,
    times: int = 2000,
    nbytes: int = BYTES,
    progress: Callable[[str], object] = lambda _: None,
) -> Table:
    """Measure mechanisms beside each other.

    Args:
        names: As in the document: ``vRPQ``; none means all of them.
        kills: SIGKILLs of the peer's VM, each with a new boot.
        times: Round trips; those between sleeping sides are a twentieth.
        nbytes: Bytes moved for the throughput.
        progress: Is told what is measured next.

    Raises:
        NotFound: ENOENT; a name that the document does not have.
        OSError: The process backend does not run here.

    Blocks: some seconds a mechanism; Ctrl-C works.
    """
    chosen = list(names) or list(CLAIMS)
    by_fold = {name.casefold(): name for name in CLAIMS}
    for name in chosen:
        if name.casefold() not in by_fold:
            raise errors.NotFound(
                2, f"no mechanism {name!r} in spec 001, section 6; there are {', '.join(CLAIMS)}"
            )
    machine = _machine()  # now: later the load is our own
    progress("two bare processes")
    bare = baseline(times)
    rows = []
    for name in (by_fold[chosen_name.casefold()] for chosen_name in chosen):
        mechanism = MECHANISMS.get(name)
        if mechanism is None:
            rows.append(Row(name, missing="not built yet"))
            continue
        progress(name)
        rows.append(_row(mechanism, kills, times, nbytes))
    return Table(tuple(rows), bare, machine)


def _machine() -> dict[str, Any]:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return {
        "model": next(models, platform.machine()),
        "cores": len(os.sched_getaffinity(0)),
        "kernel": platform.release(),
        "load": os.getloadavg()[0],
    }


def _row(mechanism: Mechanism, kills: int, times: int, nbytes: int) -> Row:
    with Bench.from_dts(mechanism.board, backend="process") as bench:
        server = bench.vm(2).start(mechanism.serve)
        measured = bench.vm(3).start(_Measuring(mechanism, times, nbytes)).result(timeout=300)
        server.result(timeout=30)
        taken = _deaths(bench, mechanism, kills)
    return Row(
        mechanism.name,
        depends=depends_on(mechanism),
        deaths_ns=tuple(taken),
        **measured,
    )


class _Measuring:
    """Runs in VM 3."""

    def __init__(self, mechanism: Mechanism, times: int, nbytes: int) -> None:
        self.mechanism, self.times, self.nbytes = mechanism, times, nbytes

    def __call__(self, application: Application) -> dict[str, Any]:
        connection = self.mechanism.connect(application)
        try:
            many = "many" if connection.opens_again() else "PtP"
            awake = one_way(connection.round_trip, self.times, 0)
            asleep = (
                one_way(connection.round_trip, max(20, self.times // 20), PAUSE)
                if connection.wakes
                else None
            )
            waits, goes_on = _who_waits(connection)
            speed = _speed(connection, self.nbytes)
            copies, pieces = connection.copies()
        finally:
            connection.close()
        return {
            "ends": f"{many}, {'both ways' if connection.both_ways else 'one way'}",
            "awake_ns": awake,
            "asleep_ns": asleep,
            "waits": waits,
            "goes_on": goes_on,
            "bytes_per_s": speed,
            "chunk": connection.chunk,
            "copies": copies / pieces,
        }


def _speed(connection: Connection, nbytes: int) -> float:
    connection.move(16)
    times = max(1, nbytes // connection.chunk)
    began = time.perf_counter()
    connection.move(times)
    return times * connection.chunk / (time.perf_counter() - began)


def _who_waits(connection: Connection) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Which transfers return only when the receiver has come back, and which before."""
    waits: list[str] = []
    goes_on: list[str] = []
    for name, transfer in connection.transfers.items():
        (goes_on if _returns_before(connection, transfer) else waits).append(name)
    return tuple(waits), tuple(goes_on)


def _returns_before(connection: Connection, transfer: Callable[[], object]) -> bool:
    """Once is enough: what waits never does, and what does not may get no processor for a while."""
    for _ in range(5):
        connection.send_away(AWAY)
        transfer()
        ended = time.monotonic_ns()
        if ended < connection.came_back():
            return True
    return False


class _Dying:
    """Runs in VM 3: wait for the peer's death, as often as it is said, and say when it was noticed."""

    def __init__(self, mechanism: Mechanism, times: int, address: str) -> None:
        self.mechanism, self.times, self.address = mechanism, times, address

    def __call__(self, application: Application) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as line:
            line.connect("\0" + self.address)
            for _ in range(self.times):
                connection = self._again(application)
                line.send(str(os.getpid()).encode())
                connection.wait_for_death()
                line.send(str(time.monotonic_ns()).encode())
                connection.close()

    def _again(self, application: Application) -> Connection:
        """Connect, to a peer that answers; the link may still be leaving its last life."""
        for left in reversed(range(100)):
            try:
                connection = self.mechanism.connect(application)
                try:
                    connection.round_trip()
                except OSError:
                    connection.close()
                    raise
                return connection
            except (errors.PeerDied, errors.DeadlineExceeded, errors.WouldBlock):
                if not left:
                    raise
                time.sleep(0.01)
        raise AssertionError("unreachable")


def deaths(
    name: str, kills: int, *, heard: Callable[[float], object] = lambda _: None
) -> list[float]:
    """From SIGKILL of the peer's VM to the return of who waits for it, each kill: ns.

    Args:
        name: As in the document.
        kills: How many.
        heard: Is told of each as it is known.

    Blocks: a boot of a VM and the start of its program for each, some 50 ms on an idle machine.
    """
    mechanism = MECHANISMS[name]
    with Bench.from_dts(mechanism.board, backend="process") as bench:
        return _deaths(bench, mechanism, kills, heard)


def _deaths(
    bench: Bench,
    mechanism: Mechanism,
    kills: int,
    heard: Callable[[float], object] = lambda _: None,
) -> list[float]:
    found: list[float] = []
    if kills == 0:
        return found
    address = f"hyplink-compare-{os.getpid()}-{time.monotonic_ns()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listening:
        listening.bind("\0" + address)
        listening.listen()
        listening.settimeout(30)
        guest = bench.vm(3).start(_Dying(mechanism, kills, address))
        line: socket.socket | None = None
        try:
            for _ in range(kills):
                bench.vm(2).start(mechanism.serve)
                if line is None:
                    line, _ = listening.accept()
                    line.settimeout(30)
                waiting = int(line.recv(64))
                _until_it_waits(waiting)
                victim = bench.vm(2).pid
                assert victim is not None
                began = time.monotonic_ns()
                os.kill(victim, signal.SIGKILL)
                found.append(int(line.recv(64)) - began)
                heard(found[-1])
                bench.vm(2).wait(VmState.DEAD).boot()
        finally:
            if line is not None:
                line.close()
        guest.result(timeout=30)
    return found


def _until_it_waits(pid: int) -> None:
    """Look until a process sleeps, or a moment if it is one that looks all the time."""
    deadline = time.monotonic() + 0.02
    while time.monotonic() < deadline:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        if state == "S":
            return
        time.sleep(1e-3)
