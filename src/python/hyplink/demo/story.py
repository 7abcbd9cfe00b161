"""The run itself: stream, kill in mid-stream, come back, check everything."""

from __future__ import annotations

import errno
import statistics
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hyplink import errors
from hyplink.bench import Bench, VmState
from hyplink.demo.interface import Digest, interface, make_server, pixel
from hyplink.demo.report import Report
from hyplink.running import Backend

__all__ = ["run"]

SERVER, CLIENT, DEVICE = 2, 3, "vogl0"
Progress = Callable[[str], None]


def run(
    *,
    backend: Backend = "process",
    seed: int | None = None,
    batches: int = 200,
    batch: int = 64,
    timeline: Path | None = None,
    progress: Progress = lambda _: None,
) -> Report:
    """Run the demo and return what was found; a claim that fails is in the report, not an exception."""
    report = Report(backend=backend, seed=seed)
    gles = interface()
    progress(f"booting VM {SERVER} (server) and VM {CLIENT} (client), backend {backend}")
    with Bench.from_dts("vogl", backend=backend, seed=seed, observe=True) as bench:
        pids = {vm.pid for vm in bench.vms.values()}
        if backend == "process":
            report.claim(
                "the VMs are separate processes",
                None not in pids and len(pids) == 2,
                sorted(pids, key=str),
            )
        link = bench.link(DEVICE).wait_on()
        bench.vm(SERVER).start(gles.serve(DEVICE, make_server()))

        progress("streaming")
        with (
            bench.vm(CLIENT).rpq(DEVICE).session(b"hyplink demo") as session,
            session.channel() as channel,
        ):
            _stream(report, gles.Client(channel), channel, gles, batches, batch)
            progress(f"killing VM {SERVER} in mid-stream")
            _kill_in_mid_stream(report, bench, gles.Client(channel), channel, batch)

        progress(f"booting VM {SERVER} again")
        bench.vm(SERVER).boot()
        link.wait_on()
        bench.vm(SERVER).start(gles.serve(DEVICE, make_server()))
        with bench.vm(CLIENT).rpq(DEVICE).session() as session, session.channel() as channel:
            report.reconnects += 1
            _stream(report, gles.Client(channel), channel, gles, batches, batch)

        _count(report, bench)
        if timeline is not None:
            progress("drawing the timeline")
            bench.trace.timeline().save(timeline)
            report.timeline = str(timeline)
    return report


def _stream(report: Report, gl: Any, channel: Any, gles: Any, batches: int, batch: int) -> None:
    """Batches of posts, then calls that prove what arrived."""
    expected = Digest()
    for number in range(batches):
        for index in range(batch):
            expected.add(index, float(number), float(index), 0.5, 1.0)
    started = time.perf_counter()
    for number in range(batches):
        scale = float(number)
        for index in range(batch):
            gl.uniform4f(index, scale, float(index), 0.5, 1.0)
        channel.notify()
    spent = time.perf_counter() - started
    report.posts_per_second = max(report.posts_per_second, batches * batch / spent)
    value, count = gl.digest()
    report.claim(
        f"{batches * batch} asynchronous requests arrived once, in order, unaltered",
        (value, count) == (expected.value, expected.count),
        f"{count} requests, digest {value:#010x}",
    )
    report.claim(
        "synchronous calls answer correctly",
        gl.get_error() == gles.GlError.NO_ERROR
        and gl.get_uniform_location(1, "u_mvp") == 3
        and gl.get_uniform_location(1, "absent") == -1,
    )
    image = bytes(gl.read_pixels(5, 9, 16, 4, gles.PixelFormat.RGBA))
    wanted = b"".join(pixel(5 + x, 9 + y) for y in range(4) for x in range(16))
    report.claim(
        "a picture comes back through an out parameter", image == wanted, f"{len(image)} bytes"
    )
    times = []
    for _ in range(500):
        begun = time.perf_counter()
        gl.get_error()
        times.append((time.perf_counter() - begun) * 1e6)
    cuts = statistics.quantiles(times, n=1000, method="inclusive")
    report.latency_us = {
        "p50": round(statistics.median(times), 2),
        "p99": round(cuts[989], 2),
        "p99.9": round(cuts[998], 2),
        "max": round(max(times), 2),
    }


def _kill_in_mid_stream(report: Report, bench: Bench, gl: Any, channel: Any, batch: int) -> None:
    """Post without pause while another thread kills the server VM."""
    streaming = threading.Event()
    killed: list[bool] = []

    def kill() -> None:
        streaming.wait()
        bench.vm(SERVER).kill()
        killed.append(True)

    killer = threading.Thread(target=kill)
    if bench.seed is None:
        killer.start()
    posted = 0
    try:
        while True:
            for index in range(batch):
                gl.uniform4f(index, 1.0, 2.0, 3.0, 4.0)
                posted += 1
            channel.notify()
            if posted >= 4 * batch:
                streaming.set()
                if bench.seed is not None and not killed:
                    kill()  # a seeded bench is killed by its own task, between two batches
    except errors.PeerDied as caught:
        death = caught
    finally:
        streaming.set()
        if bench.seed is None:
            killer.join()
    report.lost_requests += death.pending
    report.claim(
        "the client gets EPIPE with the number of lost requests",
        death.errno == errno.EPIPE and 0 <= death.pending <= posted,
        f"{death.pending} of the last {posted} posts",
    )
    report.claim(
        "the killed VM is dead", bench.vm(SERVER).state is VmState.DEAD, bench.vm(SERVER).state.name
    )
    try:
        gl.get_error()
    except errors.PeerDied as caught:
        report.claim("a call on the dead channel fails with EPIPE too", caught.errno == errno.EPIPE)
    else:
        report.claim("a call on the dead channel fails with EPIPE too", False)


def _count(report: Report, bench: Bench) -> None:
    """Figures from the channels' own counters."""
    for end in bench.stats:
        report.xirqs += end.xirqs
        report.wakes += end.wakes
        report.copies += end.copies
        if end.role == "client":
            report.requests += end.posts + end.calls
            report.batches += end.batches
            report.calls += end.calls
    report.claim(
        "one copy per request: the marshalling into PMEM; the server reads in place",
        report.requests > 0 and report.copies == report.requests,
        f"{report.copies} copies, {report.requests} requests",
    )
    report.claim(
        "at most one XIRQ per batch",
        report.xirqs <= 2 * report.batches,
        f"{report.xirqs} for {report.batches}",
    )
