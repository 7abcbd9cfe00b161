from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import hyplink
from hyplink import errors, rpq
from hyplink.stats import Stats
from hyplink.trace import Trace

sys.path.insert(0, str(Path(__file__).parent.parent))  # for helpers of all tests

POST, CALL = rpq.ProcId(1, 2), rpq.ProcId(1, 3)
BATCHES, BATCH = 6, 16


@dataclasses.dataclass(frozen=True)
class Run:
    """What was seen of a run, after its bench was closed."""

    backend: str
    trace: Trace
    stats: Stats
    before_kill: Stats


def answer(_: Any, request: Any) -> int:
    if request.is_call:
        request.out[:4] = b"done"
    return 0


def stream(channel: rpq.ClientChannel) -> None:
    for _ in range(BATCHES):
        for _ in range(BATCH):
            channel.post_bytes(POST, b"sixteen bytes ..")
        channel.notify()
    assert channel.call_bytes(CALL, b"", 4) == b"done"


def stream_and_see_it_written_down(channel: rpq.ClientChannel) -> None:
    """A reply is journalled after its caller was woken: it stands there when the next call is answered."""
    stream(channel)
    assert channel.call_bytes(CALL, b"", 4) == b"done"


def stream_until_it_fails(channel: rpq.ClientChannel) -> None:
    while True:
        stream(channel)


def kill_and_reboot(backend: Any = "thread", seed: int | None = None) -> Run:
    """The story of the demo: requests, a kill in mid-stream, EPIPE, a boot, requests."""
    with hyplink.Bench.from_dts("vogl", backend=backend, seed=seed, timeout=60) as bench:
        bench.vm(2).start(rpq.serve("vogl0", None, answer))
        with bench.vm(3).rpq("vogl0").session() as session, session.channel() as channel:
            stream(channel)
            before = bench.stats
            stream_and_see_it_written_down(channel)
            bench.vm(2).kill()
            with pytest.raises(errors.PeerDied):
                stream_until_it_fails(channel)
        bench.vm(2).boot()
        bench.link("vogl0").wait_on()
        bench.vm(2).start(rpq.serve("vogl0", None, answer))
        with bench.vm(3).rpq("vogl0").session() as session, session.channel() as channel:
            stream_and_see_it_written_down(channel)
        bench._core.mark(7, 8, 9)
        return Run(backend, bench.trace, bench.stats, before)


@pytest.fixture(scope="session")
def story() -> Callable[..., Run]:
    return kill_and_reboot


@pytest.fixture(scope="session")
def runs() -> dict[str, Run]:
    return {backend: kill_and_reboot(backend) for backend in ("thread", "process")}


@pytest.fixture(params=["thread", "process"])
def run(request: pytest.FixtureRequest, runs: dict[str, Run]) -> Run:
    return runs[request.param]
