"""Generated Python stubs over two processes: posts, calls, and what the binding alone costs."""

from __future__ import annotations

import statistics
import time
from typing import Any

import measure

from hyplink import Bench
from hyplink.demo.interface import interface, make_server

BATCH = 64
NO_PARAMETERS = 0x20007  # gles2.swap_buffers


def rate(count: int, body: Any) -> float:
    started = time.perf_counter()
    body()
    return count / (time.perf_counter() - started) / 1e6


def main() -> None:
    options = measure.arguments(__doc__ or "", passes=7)

    def body() -> list[dict[str, Any]]:
        gles = interface()
        found: dict[str, list[float]] = {}

        def note(name: str, value: float) -> None:
            found.setdefault(name, []).append(value)

        with Bench.from_dts("vogl", backend="process") as bench:
            bench.vm(2).start(gles.serve("vogl0", make_server()))
            with bench.vm(3).rpq("vogl0").session() as session, session.channel() as channel:
                gl = gles.Client(channel)
                burst = 2048  # fits the ring: what a client pays, whatever the server does
                rounds = max(1, int(20 * options.scale))

                def posts() -> None:
                    for _ in range(burst // BATCH):
                        for index in range(BATCH):
                            gl.uniform4f(index, 1.0, 2.0, 3.0, 4.0)
                        channel.notify()

                def raw() -> None:
                    begin, post = channel.begin, channel.post
                    for _ in range(burst // BATCH):
                        for _ in range(BATCH):
                            begin(NO_PARAMETERS, 0)
                            post()
                        channel.notify()

                for number in range(options.passes + 1):
                    fits, stream = [], time.perf_counter()
                    for _ in range(rounds):
                        fits.append(rate(burst, posts))
                        gl.digest()  # the ring is empty again
                    stream = rounds * burst / (time.perf_counter() - stream) / 1e6
                    times = []
                    for _ in range(int(2000 * options.scale) or 1):
                        begun = time.perf_counter()
                        gl.get_error()
                        times.append((time.perf_counter() - begun) * 1e6)
                    times.sort()
                    if number == 0:
                        continue  # warm-up
                    note("posts", statistics.median(fits))
                    note("raw", 1e3 / rate(burst, raw))
                    gl.digest()
                    note("stream", stream)
                    note("p50", statistics.median(times))
                    note("p99", times[int(len(times) * 0.99)])
                    note("p999", times[int(len(times) * 0.999)])
                    note("highest", times[-1])
        return [
            measure.figure(
                "async posts through generated stubs, ring not full",
                "M/s",
                found["posts"],
                goal=1.0,
            ),
            measure.figure("the same with a Python server that keeps up", "M/s", found["stream"]),
            measure.figure("sync call, both awake, median", "us", found["p50"], goal=10.0),
            measure.figure("sync call, p99", "us", found["p99"]),
            measure.figure("sync call, p99.9", "us", found["p999"]),
            measure.figure("sync call, highest", "us", found["highest"]),
            measure.figure("begin + post through the binding, no marshalling", "ns", found["raw"]),
        ]

    measure.run("python", options, body)


if __name__ == "__main__":
    main()
