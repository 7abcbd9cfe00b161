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
#: How far the bare limit may differ before and after a peer, and how often a pass is tried.
MOVED = 1.4
RETRIES = 4

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
#: pass of tens of milliseconds, without the pauses of the program that measures calls. Last: what tells where the
#: machine has put the two processors.
OURS = {
    "stream": (
        "ring",
        "vRPQ glUniform4f, batches of 64",
        1.0,
        "bare ring, 64 B, published 32 at a time",
    ),
    "call": ("call", "vRPQ call, both awake, each timed: p50", 0.02, "bare ping-pong, two lines"),
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


def steady(before: dict[str, float], after: dict[str, float], mark: str) -> bool:
    """Whether the bare limit ran alike before and after: a virtual machine's processors move between cores of the host,
    and what runs on two threads of one core is not comparable with what crosses a chip."""
    low, high = sorted((before[mark], after[mark]))
    return high <= MOVED * low


def body(options: Any) -> list[dict[str, Any]]:
    """All figures. Each pass of a peer lies between two of ours and counts when the processors stayed where they were;
    its ratio is ours (the mean of both) over theirs for streams, theirs over ours for calls."""
    mine: dict[str, list[float]] = {"stream": [], "call": []}
    pairs: dict[tuple[str, str], list[tuple[float, float]]] = {}
    moved = 0
    with daemon() as ready:
        present = [
            (name, mode, rounds)
            for name, mode, rounds, _goal in WANTED
            if (PEERS / f"peer_{name}").exists() and (name != "iceoryx" or ready)
        ]
        for mode, (program, name, share, mark) in OURS.items():
            before = ours(program, share * options.scale)
            todo = [peer for peer in present if peer[1] == mode] * options.passes
            for _ in range(RETRIES * len(todo)):
                if not todo:
                    break
                who, _, rounds = todo.pop(0)
                theirs = peer(who, mode, max(1, int(rounds * options.scale)))
                after = ours(program, share * options.scale)
                if theirs is None:  # it waited or aborted: no more of its passes
                    pairs.setdefault((who, mode), [])
                    todo = [other for other in todo if other[0] != who]
                elif steady(before, after, mark):
                    figure = (before[name] + after[name]) / 2 * (1e6 if mode == "stream" else 1)
                    mine[mode].append(figure)
                    pairs.setdefault((who, mode), []).append((figure, theirs))
                else:
                    moved += 1
                    todo.append((who, mode, rounds))
                before = after
    print(f"passes that did not count because the processors moved: {moved}", file=sys.stderr)
    figures = [
        measure.figure("vRPQ, batches of 64", "/s", mine["stream"] or [0.0]),
        measure.figure("vRPQ call, both awake", "ns", mine["call"] or [0.0]),
    ]
    for name, mode, _rounds, goal in WANTED:
        title = f"{WORDS[name]}: {mode}"
        got = pairs.get((name, mode))
        if not got:
            there = any(name == who and mode == what for who, what, _ in present)
            why = "failed" if got is not None else "no pass counted" if there else "absent"
            figures.append({"name": f"{title}: {why}"})
            continue
        unit = "/s" if mode == "stream" else "ns"
        item = measure.figure(title, unit, [b for _, b in got])
        times = sorted(a / b if mode == "stream" else b / a for a, b in got)
        item |= {"ours is faster by": times[len(times) // 2], "least": times[0], "most": times[-1]}
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
        words = (
            f"  ours is {times:.3g} times as fast ({item['least']:.3g} .. {item['most']:.3g})"
            if times
            else ""
        )
        if "times goal" in item:
            words += f" (goal {item['times goal']:g}: {'met' if item['met'] else 'missed'})"
        spread = f"{item['lowest']:.4g} .. {item['highest']:.4g}"
        print(f"  {item['name']:<40} {item['median']:>10.4g} {item['unit']:<3} {spread}{words}")


if __name__ == "__main__":
    main()
