"""Every system call of the bench's process fails once, in turn: each failure is clear, nothing leaks."""

from __future__ import annotations

import contextlib
import errno
import gc
from collections.abc import Callable
from pathlib import Path

import pytest

import hyplink
from hyplink import _core, errors
from hyplink.testing import connect_rpq

#: Seconds for each wait: a call that failed may mean that the other side never comes.
LIMIT = 0.3
#: Where nothing fails, however busy the machine is.
UNHURT = 60.0
#: What a scenario may end with when one call of it failed.
CLEAR = (errors.HyplinkError, OSError)


def bench_only(backend: str, limit: float) -> None:
    hyplink.Bench.from_dts("vogl", backend=backend, boot=False).close()


def boot(backend: str, limit: float) -> None:
    with hyplink.Bench.from_dts("vogl", backend=backend, timeout=limit) as bench:
        bench.link("vogl0").wait_on()


def conversation(backend: str, limit: float) -> None:
    with (
        hyplink.Bench.from_dts("vogl", backend=backend, timeout=limit) as bench,
        connect_rpq(bench, timeout=limit) as pair,
    ):
        pair.client.post_bytes(1, b"posted")
        call = pair.call(2, b"question", 8)
        requests = []
        while not (requests and requests[-1].is_call):
            requests += pair.server.receive()
        requests[-1].out[:] = b"answered"
        pair.server.acknowledge()
        assert call.result() == b"answered"


def event_loop(backend: str, limit: float) -> None:
    with (
        hyplink.Bench.from_dts("vogl", backend=backend, timeout=limit) as bench,
        connect_rpq(bench, timeout=limit) as pair,
    ):
        pair.server.fileno()
        pair.client.post_bytes(1)
        pair.client.notify()
        pair.server._core.fd_rearm()
        while pair.server.try_receive() is None:
            pass


def a_death(backend: str, limit: float) -> None:
    with hyplink.Bench.from_dts("vogl", backend=backend, timeout=limit) as bench:
        bench.link("vogl0").wait_on()
        bench.vm(2).kill()
        bench.vm(2).boot()
        bench.link("vogl0").wait_on()


def guest(backend: str, limit: float) -> None:
    with hyplink.Bench.from_dts("vogl", backend=backend, timeout=limit) as bench:
        assert bench.vm(2).start(abs_of_vm).result(timeout=UNHURT) == 2


GRANTS = """
&vm2_vplatform { vm-memory@3 { compatible = "vl,vm-memory"; vl,vm-id = <3>; }; };
&vm3_vplatform { };
&vm4_vplatform { vm-memory@3 { compatible = "vl,vm-memory"; vl,vm-id = <3>; }; };
"""


def granting(backend: str, limit: float) -> None:
    with hyplink.Bench.from_dts(GRANTS, backend=backend, timeout=limit) as bench:
        region = bench.vm(3).memory.alloc(8192)
        region.view[:] = b"\x05" * 8192
        try:
            bench.vm(3).grant(2, region)
            window = bench.vm(2).map(region)
            assert bytes(window.view) == b"\x05" * 8192
            bench.vm(3).deny(2, region)
            assert bytes(window.view) == bytes(8192)
            assert bench.grants == []
        except errors.PeerDied:
            raise  # the call that failed cost a VM its life, and an exporter's its grants
        except CLEAR:
            # The exporter's data are whole, and what is granted is all or nothing. If they are not,
            # the call cost its VM its life, of which the importer hears as a grant that is gone.
            if bytes(region.view) != b"\x05" * 8192:
                with contextlib.suppress(errors.DeadlineExceeded):
                    bench.vm(3).wait(hyplink.VmState.DEAD, timeout=UNHURT)
                assert bench.vm(3).state is hyplink.VmState.DEAD
            assert len(bench.grants) in (0, 1)
            raise
        assert bytes(region.view) == b"\x05" * 8192


def denying_one_of_two(backend: str, limit: float) -> None:
    """The other one keeps the pages, watches them, and is not asked."""
    with hyplink.Bench.from_dts(GRANTS, backend=backend, timeout=limit) as bench:
        region = bench.vm(3).memory.alloc(8192)
        region.view[:] = b"\x05" * 8192
        try:
            for vm in (2, 4):
                bench.vm(3).grant(vm, region, "rw")
            kept = bench.vm(2).map(region, writable=True)
            assert kept.read(0, 8192) == b"\x05" * 8192
            bench.vm(3).deny(4, region, "rw")
            assert kept.read(0, 8192) == b"\x05" * 8192
            kept.view[:] = b"\x06" * 8192
            assert bytes(region.view) == b"\x06" * 8192
        except errors.PeerDied:
            raise
        except CLEAR:
            if bytes(region.view) != b"\x05" * 8192:
                with contextlib.suppress(errors.DeadlineExceeded):
                    bench.vm(3).wait(hyplink.VmState.DEAD, timeout=UNHURT)
                assert bench.vm(3).state is hyplink.VmState.DEAD
            raise


def abs_of_vm(application) -> int:
    return abs(application.vm)


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def fail_calls(
    scenario: Callable[[str, float], None], backend: str, error: int, first: int = 1, step: int = 1
) -> int:
    """Run the scenario again and again, each time with a later call failing; returns the failures."""
    scenario(backend, UNHURT)  # whatever is made once is made now
    before = descriptors()
    failures: list[str] = []
    nth = first - step
    while True:
        nth += step
        start = _core.fail_nth_call(nth, error)
        try:
            scenario(backend, LIMIT)
        except CLEAR as failure:
            failures.append(str(failure))
        finally:
            calls = _core.fail_nth_call(0, 0) - start
        if descriptors() > before:
            gc.collect()
        assert descriptors() <= before, f"call {nth} of {calls} left descriptors"
        if calls < nth:
            assert all(failures)
            return len(failures)


STORIES = [bench_only, boot, conversation, event_loop, a_death, guest, granting, denying_one_of_two]
ERRORS = pytest.mark.parametrize("error", [errno.ENOMEM, errno.EMFILE], ids=errno.errorcode.get)


@ERRORS
@pytest.mark.parametrize("scenario", STORIES)
@pytest.mark.hyplink_backend("thread")
def test_every_call_fails_once_and_nothing_is_left(backend, scenario, error) -> None:
    assert fail_calls(scenario, backend, error) > 0


@pytest.mark.parametrize("scenario", STORIES)
@pytest.mark.hyplink_backend("process")
def test_every_fourth_call_of_a_bench_of_processes_fails_once(backend, scenario, seed) -> None:
    assert fail_calls(scenario, backend, errno.ENOMEM, 1 + seed % 4, 4) > 0


@pytest.mark.soak
@ERRORS
@pytest.mark.parametrize("scenario", STORIES)
@pytest.mark.hyplink_backend("process")
def test_every_call_of_a_bench_of_processes_fails_once(backend, scenario, error) -> None:
    assert fail_calls(scenario, backend, error) > 0
