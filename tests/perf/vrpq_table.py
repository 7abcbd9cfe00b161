"""Every figure of vRPQ, VIDL and vOGL that has a goal, with its limit and its peers, in one run.

.venv/bin/python tests/perf/vrpq_table.py [--passes N] [--scale F] [--json]

Runs the programs of this folder one after the other; peers that are not installed are named (peers/build.sh builds
those that are). A pass of everything takes about a minute; where others use the processors, the peers' passes that do
not count are made again and that takes several.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import measure

HERE = Path(__file__).parent
PERF = HERE.parents[1] / ".build/dev/tests/perf"
PEERS = HERE / "peers/perf_peers.py"
#: Peers of the marshalling, and how they are got.
MARSHAL_PEERS = {
    "FlatBuffers and verifier": "Debian: libflatbuffers-dev flatbuffers-compiler",
    "protobuf": "Debian: libprotobuf-dev protobuf-compiler",
}


class Row(NamedTuple):
    """A figure of one of the programs: by its name, and by its limit where names repeat."""

    what: str
    program: str
    name: str
    limit: str | None = None


ROWS = (
    Row("encode and checked decode", "marshal", "glUniform4f generated, every check"),
    Row("", "marshal", "glUniform4f generated", "glUniform4f FlatBuffers and verifier"),
    Row("", "marshal", "glUniform4f generated", "glUniform4f protobuf"),
    Row("async requests, batches of 64", "ring", "vRPQ glUniform4f, batches of 64"),
    Row("", "ring", "the same", "bare RPC queue, 64 B, batches of 64"),
    Row("sync call, awake", "call", "vRPQ call, both awake"),
    Row("sync call, asleep", "call", "vRPQ call, both asleep (no spin): p50"),
    Row("two channels in two threads", "channels", "vRPQ, two channels in two threads"),
    Row("", "channels", "cache lines that both ports have"),
    Row("a parameter of 1 MiB", "bulk", "vRPQ, a parameter of 1 MiB, posted"),
    Row("", "bulk", "copies of each on the way in, as counted"),
    Row("a GL frame of 1,000 draw calls", "vogl", "a frame of 1,000 draw calls, through vOGL"),
    Row("", "vogl", "batches a frame"),
    Row("", "vogl", "XIRQs a frame"),
    Row("a picture read back", "vogl", "the same as an out parameter"),
    Row("", "vogl", "the same in a lent vUmem buffer"),
)


def report(words: list[str], options: Any) -> list[dict[str, Any]] | str:
    """What a program found; a string says why it found nothing."""
    words = [*words, "--json", "--passes", str(options.passes), "--scale", str(options.scale)]
    try:
        done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True)
        found = json.loads(done.stdout)
        return found if isinstance(found, list) else list(found["figures"])
    except OSError as error:
        return f"not there: {error}"
    except (subprocess.CalledProcessError, ValueError, KeyError) as error:
        return f"failed: {error}"


def row_of(row: Row, found: list[dict[str, Any]] | str) -> dict[str, Any]:
    """One line of the table; with a reason instead of a figure where there is none."""
    line: dict[str, Any] = {"what": row.what, "name": row.name}
    if isinstance(found, str):
        return line | {"missing": found}
    for item in found:
        if item["name"].strip() == row.name and row.limit in (None, item.get("limit")):
            return line | item
    peer = next((how for name, how in MARSHAL_PEERS.items() if name in (row.limit or "")), None)
    why = f"absent ({peer})" if peer else "the program has no such figure"
    return line | {"name": row.limit or row.name, "missing": why}


def peer_of(item: dict[str, Any]) -> dict[str, Any]:
    """A peer's line: what it did, how many times as fast ours is."""
    if "median" not in item:
        name, _, why = item["name"].rpartition(": ")
        if why == "absent":
            why += " (tests/perf/peers/build.sh)"
        return {"what": "", "name": name, "missing": why}
    line = {"what": "", **item}
    if "times goal" in item:
        line["goal"] = item["times goal"]
    if "ours is faster by" in item:
        line |= {"ratio": item["ours is faster by"], "limit": "as fast is ours"}
    return line


def text(line: dict[str, Any]) -> str:
    if "missing" in line:
        return f"{line['what']:<32} {line['name']:<48} {line['missing']}"
    words = f"{line['what']:<32} {line['name']:<48} {line['median']:>10.4g} {line['unit']:<6}"
    if "ratio" in line:
        words += f" {line['ratio']:.3g} x {line['limit']}"
    if "goal" in line:
        words += f", goal {line['goal']:g}: {'met' if line['met'] else 'MISSED'}"
    return words


def main() -> None:
    """Print a table, or one JSON object."""
    options = measure.arguments(__doc__ or "", 3)
    lines: list[dict[str, Any]] = []

    def take(made: list[dict[str, Any]]) -> None:
        lines.extend(made)
        if not options.json:  # at once: the peers take long on a busy machine
            print("\n".join(text(line) for line in made), flush=True)

    for program in dict.fromkeys(row.program for row in ROWS):
        print(f"{program} …", file=sys.stderr, flush=True)
        script = HERE / f"perf_{program}.py"
        words = (
            [sys.executable, str(script)] if script.exists() else [str(PERF / f"perf_{program}")]
        )
        found = report(words, options)
        take([row_of(row, found) for row in ROWS if row.program == program])
    print("peers …", file=sys.stderr, flush=True)
    peers = report([sys.executable, str(PEERS)], options)
    if isinstance(peers, str):
        take([{"what": "among the peers", "name": "", "missing": peers}])
    else:
        # Ours beside them is 0 where no peer was measured.
        take([peer_of(item) for item in peers if item.get("median") != 0])
    load = os.getloadavg()[0]
    if options.json:
        print(json.dumps({"load": load, "passes": options.passes, "figures": lines}))
        return
    missed = [line for line in lines if line.get("met") is False]
    print(
        f"{len(missed)} of {sum('met' in line for line in lines)} goals missed; "
        f"{options.passes} passes, scale {options.scale:g}, load {load:.1f}"
    )


if __name__ == "__main__":
    main()
