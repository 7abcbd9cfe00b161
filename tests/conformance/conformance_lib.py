"""What the conformance tests share: boards, the journal as records, helpers with one purpose each."""

from __future__ import annotations

import contextlib
import os
import signal
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple

import pytest

import hyplink
from hyplink import errors, rpq

EVERYWHERE = pytest.mark.hyplink_backend("thread", "seeded", "process")
REAL_TIME = pytest.mark.hyplink_backend("thread", "process")
PROCESS = pytest.mark.hyplink_backend("process")

SMALL = """
&vm2_vdevs {
    be: vogl@be { compatible = "vogl"; info = "vrpq-reqs=256,vrpq-pmem=64K"; server; };
};
&vm3_vdevs { vogl@fe { peer-phandle = <&be>; client; }; };
"""

LOOPBACK = """
&vm2_vdevs {
    be: vogl@be { compatible = "vogl"; server; };
    vogl@fe { peer-phandle = <&be>; client; };
};
"""

TWO_CLIENTS = """
&vm2_vdevs {
    be0: vogl@be0 { compatible = "vogl"; server; };
    be1: vogl@be1 { compatible = "vogl"; server; };
};
&vm3_vdevs { vogl@fe { peer-phandle = <&be0>; client; }; };
&vm4_vdevs { vogl@fe { peer-phandle = <&be1>; client; }; };
"""

# --- the journal ----------------------------------------------------------------------------------

EVENTS = {
    1: "vm_state",
    2: "link_state",
    3: "link_refused",
    4: "link_forced",
    5: "sysconf",
    6: "xirq",
    7: "xirq_refused",
    8: "app_start",
    9: "app_end",
    10: "session_open",
    11: "session_abort",
    12: "session_close",
    13: "channel_open",
    14: "channel_close",
    15: "notify",
    16: "receive",
    17: "call",
    18: "reply",
    19: "corrupt",
    20: "resource",
    23: "grant",
    24: "deny",
    25: "grant_map",
    26: "grant_revoked",
    28: "recall",
    33: "app_dropped",
    34: "program_failed",
    35: "program_end",
    36: "vm_dropped",
    42: "hold_missed",
}
OFF, RESET, ON = 0, 1, 2


class Record(NamedTuple):
    time: int
    event: str
    vm: int
    app: int
    link: int
    a: int
    b: int
    c: int


def journal(bench: hyplink.Bench, *events: str) -> list[Record]:
    records = []
    for at, event, vm, app, link, a, b, c in struct.iter_unpack(
        "<QHHIIIQQ24x", bench.journal_bytes()
    ):
        name = EVENTS.get(event, str(event))
        if not events or name in events:
            records.append(Record(at, name, vm, app, link, a, b, c))
    return records


def shown(bench: hyplink.Bench, window: hyplink.memory.MemoryWindow) -> bytes:
    """The view of pages that others have just lost. Who missed a hold sees them when it has heard of the change."""
    if bench.missed_holds:
        window.read(0, window.nbytes)  # not before that
    return bytes(window.view)


def link_steps(bench: hyplink.Bench) -> list[tuple[str, int, int]]:
    """(side, old state, new state) of every step that the bridge carried over, in its order."""
    return [
        (("server", "client")[record.a], record.c, record.b)
        for record in journal(bench, "link_state")
    ]


def check_handshake(bench: hyplink.Bench) -> None:
    """Walk the journal of a one-link board: no step that the peer's state forbids."""
    state = {"server": OFF, "client": OFF}
    for side, old, new in link_steps(bench):
        peer = state["client" if side == "server" else "server"]
        assert state[side] == old
        if (old, new) == (OFF, RESET):
            assert peer != ON, f"{side} left OFF while its peer was still ON"
        elif (old, new) == (RESET, ON):
            assert peer != OFF, f"{side} went ON while its peer was OFF"
        else:
            assert new == OFF
        state[side] = new


# --- doing things ---------------------------------------------------------------------------------


@contextlib.contextmanager
def ctrl_c(after: float = 0.1) -> Iterator[None]:
    """Ctrl-C once the body waits: a signal to the process, as the terminal sends it.

    The body must wait without a limit: it is over only if the signal ends it.
    """

    heard = False

    def interrupt(number: int, frame: Any) -> None:
        nonlocal heard
        if not heard:
            heard = True
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    # Pressed again each second: one that comes between Python's last look and the sleep ends no sleep.
    signal.setitimer(signal.ITIMER_REAL, after, 1.0)
    try:
        with pytest.raises(KeyboardInterrupt):
            yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def until_asleep(thread: int) -> None:
    """Until a thread of this process has slept through one look after another."""
    seen = ""
    while True:
        status = Path(f"/proc/self/task/{thread}/status").read_text()
        (switches,) = (line for line in status.splitlines() if line.startswith("voluntary"))
        if switches == seen and "State:\tS" in status:
            return
        seen = switches
        threading.Event().wait(0.05)


@contextlib.contextmanager
def ctrl_c_that_ends_no_sleep(limit: float = 60) -> Iterator[float]:
    """Ctrl-C, once, of which Python knows and the sleeping thread does not: as one that comes right before the sleep.

    Another thread takes the signal while the body waits, for as many seconds as it is given: whoever does not hear of
    the signal fails and does not hang.
    """

    def interrupt(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    waiting = threading.get_native_id()

    def press() -> None:
        until_asleep(waiting)
        signal.pthread_kill(threading.get_ident(), signal.SIGALRM)

    before = signal.signal(signal.SIGALRM, interrupt)
    pressing = threading.Thread(target=press)
    try:
        pressing.start()
        began = monotonic()
        with pytest.raises(KeyboardInterrupt):
            yield limit
        assert monotonic() - began < limit  # not when the wait was over and Python looked by itself
    finally:
        pressing.join()
        signal.signal(signal.SIGALRM, before)


@contextlib.contextmanager
def signals_that_mean_nothing() -> Iterator[list[int]]:
    """One each 20 ms; the list grows with each that a handler heard."""
    heard: list[int] = []
    before = signal.signal(signal.SIGALRM, lambda number, _: heard.append(number))
    signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)
    try:
        yield heard
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def answer(channel: rpq.ServerChannel, output: bytes = b"", reason: int = 0) -> bytes:
    """Take one call, answer it at once; returns its parameters."""
    (request,) = channel.receive(1)
    assert request.is_call
    taken = bytes(request.params)
    request.out[: len(output)] = output
    channel.set_reason(reason)
    channel.acknowledge()
    return taken


def works(pair: Any) -> None:
    """A post and a call through both ends."""
    pair.client.post_bytes(7, b"posted..")
    call = pair.call(8, b"question", 8)
    (first,) = pair.server.receive(1)
    assert (first.proc, first.is_call, bytes(first.params)) == (7, False, b"posted..")
    assert answer(pair.server, b"answered") == b"question"
    assert call.result() == b"answered"


def fill(channel: rpq.ClientChannel, size: int = 1024) -> int:
    """Post until nothing more fits; returns the number of requests in the ring."""
    channel._core.set_timeout(0.05)
    count = 0
    try:
        while True:
            channel.post_bytes(count, bytes(size))
            count += 1
    except errors.DeadlineExceeded:
        channel._core.set_timeout(channel.timeout)
        return count


def receive_until_gone(channel: rpq.ServerChannel) -> int:
    """What was published may still come, then EPIPE; returns how much came."""
    count = 0
    while True:
        try:
            count += len(channel.receive())
        except errors.PeerDied:
            return count


# --- guests: they run in other processes on the process backend ------------------------------------


class Echo:
    """Accepts sessions one after another and answers every call with its own parameters."""

    def __init__(self, device: str = "vogl0") -> None:
        self.device = device

    def __call__(self, application: rpq.Application) -> int:
        handled = 0
        device = application.rpq(self.device)
        while True:
            try:
                with device.accept(timeout=None) as session:
                    while True:
                        with session.accept(timeout=None) as channel:
                            handled += self.serve(channel)
            except (errors.PeerDied, errors.HandleClosed, errors.Cancelled):
                if not application.alive:
                    return handled

    def serve(self, channel: rpq.ServerChannel) -> int:
        handled = 0
        for request in channel:
            if request.is_call:
                size = min(len(request.params), len(request.out))
                request.out[:size] = request.params[:size]
            handled += 1
        return handled


def own_pid(application: rpq.Application) -> int:
    return os.getpid()


#: Seconds that a machine with more to do may need for what takes milliseconds.
PATIENCE = 60.0


def retry(attempt: Callable[[], Any], error: type[Exception] = errors.PeerDied) -> Any:
    """Again while it fails like that: a server that died may be seen in any step."""
    until = monotonic() + PATIENCE
    while monotonic() < until:
        with contextlib.suppress(error):
            return attempt()
    return attempt()


def when_free(look_up: Callable[[], Any]) -> Any:
    """What an application had that died is free as soon as its kernel has heard of that."""
    return retry(look_up, errors.Busy)
