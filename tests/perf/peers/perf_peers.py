"""Requests and calls against what users would otherwise pick, interleaved in one run.

sh tests/perf/peers/build.sh builds the peers this machine has; the others are said to be absent.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

import measure

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
PERF = ROOT / ".build/dev/tests/perf"
PEERS = ROOT / ".build/peers"
SECONDS = 30.0

#: Peer, mode, rounds, and what ours must be at least (times as fast; 0: no goal).
WANTED = (
    ("grpc", "stream", 100_000, 100.0),
    ("capnp", "stream", 30_000, 500.0),
    ("iceoryx", "stream", 500_000, 1.0),
    ("iceoryx2", "stream", 500_000, 1.0),
    ("grpc", "call", 5_000, 10.0),
    ("capnp", "call", 10_000, 0.0),
    ("iceoryx", "call", 50_000, 0.0),
    ("iceoryx2", "call", 50_000, 3.0),
)
WORDS = {
    "grpc": "gRPC, Unix socket",
    "capnp": "Cap'n Proto, Unix socket",
    "iceoryx": "iceoryx 2.0.3, polling",
    "iceoryx2": "iceoryx2, polling",
}
#: Our figures: program, name in its report, and the share of its usual rounds that one pass here takes: enough for a
#: pass of tens of milliseconds, without the pauses of the program that measures calls.
OURS = {
    "stream": ("ring", "vRPQ glUniform4f, batches of 64", 1.0),
    "call": ("call", "vRPQ call, both awake, each timed: p50", 0.02),
}


def ours(program: str, scale: float) -> dict[str, float]:
    """One pass of one of our programs: name -> figure."""
    words = [PERF / f"perf_{program}", "--json", "--passes", "1", "--scale", str(scale)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    return {item["name"]: item["median"] for item in json.loads(done.stdout)["figures"]}


def peer(name: str, mode: str, rounds: int) -> float | None:
    """One pass of a peer; None when it fails."""
    words = [str(PEERS / f"peer_{name}"), mode, str(rounds)]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=SECONDS, check=True)
        return float(done.stdout.split()[-1])
    except (subprocess.SubprocessError, ValueError, IndexError) as error:
        print(f"peer {name} {mode}: {error}", file=sys.stderr)
        return None


@contextlib.contextmanager
def daemon() -> Iterator[bool]:
    """iceoryx's, while the peers run. Yields whether it does."""
    if not (PEERS / "peer_iceoryx").exists() or (found := shutil.which("iox-roudi")) is None:
        yield False
        return
    running = subprocess.Popen([found], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert running.stdout is not None
    ready = any(b"ready" in line for line in running.stdout)  # ends when it does: another one runs
    reader = threading.Thread(
        target=running.stdout.read
    )  # what it says later must not fill the pipe
    reader.start()
    try:
        if not ready:
            print("iceoryx: its daemon did not start", file=sys.stderr)
        yield ready
    finally:
        running.kill()
        running.wait()
        reader.join()


def body(options: Any) -> list[dict[str, Any]]:
    """All figures; a peer's ratio is ours over theirs (stream) or theirs over ours (call)."""
    mine: dict[str, list[float]] = {"stream": [], "call": []}
    theirs: dict[tuple[str, str], list[float | None]] = {}
    with daemon() as ready:
        for _ in range(options.passes):
            for mode, (program, name, share) in OURS.items():
                figure = ours(program, share * options.scale)[name]
                mine[mode].append(figure * 1e6 if mode == "stream" else figure)
            for name, mode, rounds, _goal in WANTED:
                if (PEERS / f"peer_{name}").exists() and (name != "iceoryx" or ready):
                    found = peer(name, mode, max(1, int(rounds * options.scale)))
                    theirs.setdefault((name, mode), []).append(found)
    figures = [
        measure.figure("vRPQ, batches of 64", "/s", mine["stream"]),
        measure.figure("vRPQ call, both awake", "ns", mine["call"]),
    ]
    for name, mode, _rounds, goal in WANTED:
        title = f"{WORDS[name]}: {mode}"
        got = theirs.get((name, mode), [])
        pairs = [(a, b) for a, b in zip(mine[mode], got, strict=False) if b]
        if not pairs:
            figures.append({"name": f"{title}: {'failed' if got else 'absent'}"})
            continue
        unit = "/s" if mode == "stream" else "ns"
        item = measure.figure(title, unit, [b for _, b in pairs])
        times = sorted(a / b if mode == "stream" else b / a for a, b in pairs)
        item["ours is faster by"] = times[len(times) // 2]
        if goal:
            item |= {"times goal": goal, "met": item["ours is faster by"] >= goal}
        figures.append(item)
    return figures


def main() -> None:
    """Print a table, or one JSON object."""
    options = measure.arguments(__doc__ or "", 3)
    figures = body(options)
    if options.json:
        print(json.dumps(figures))
        return
    for item in figures:
        if "median" not in item:
            print(f"  {item['name']}")
            continue
        times = item.get("ours is faster by")
        words = f"  ours is {times:.3g} times as fast" if times else ""
        if "times goal" in item:
            words += f" (goal {item['times goal']:g}: {'met' if item['met'] else 'missed'})"
        spread = f"{item['lowest']:.4g} .. {item['highest']:.4g}"
        print(f"  {item['name']:<40} {item['median']:>10.4g} {item['unit']:<3} {spread}{words}")


if __name__ == "__main__":
    main()
