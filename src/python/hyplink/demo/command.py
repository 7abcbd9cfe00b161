"""``hyplink demo``."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

__all__ = ["add_command"]

_EPILOG = """\
examples:
  hyplink demo                      two processes, report on standard output
  hyplink demo --json               one JSON object for scripts, nothing else
  hyplink demo --backend thread     the same on threads
  hyplink demo --backend thread --seed 7    a deterministic run
"""


def add_command(subparsers: Any) -> None:
    """Add ``demo`` to the command line."""
    parser = subparsers.add_parser(
        "demo",
        help="two VMs, requests through generated stubs, a SIGKILL in mid-stream, and back",
        description="Load the vogl board, boot a server and a client VM, stream requests through generated stubs, "
        "kill the server in mid-stream, boot it again, reconnect, and check every result.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--backend", choices=("process", "thread"), default="process")
    parser.add_argument("--seed", type=int, help="thread backend: schedule deterministically")
    parser.add_argument(
        "--batches", type=int, default=200, help="batches of each stream (default: 200)"
    )
    parser.add_argument("--batch", type=int, default=64, help="requests of a batch (default: 64)")
    parser.add_argument(
        "--timeline",
        type=Path,
        default=Path("hyplink-demo.svg"),
        help="where the picture goes (default: %(default)s)",
    )
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object and nothing else"
    )
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from hyplink.demo.story import run

    if options.seed is not None and options.backend != "thread":
        print("hyplink demo: --seed needs --backend thread", file=sys.stderr)
        return 2
    if options.batches < 1 or not 1 <= options.batch <= 4096:
        print("hyplink demo: expected --batches >= 1 and --batch 1..4096", file=sys.stderr)
        return 2
    report = run(
        backend=options.backend,
        seed=options.seed,
        batches=options.batches,
        batch=options.batch,
        timeline=options.timeline.absolute(),
        progress=lambda text: print(f"hyplink demo: {text}", file=sys.stderr),
    )
    if options.json:
        print(json.dumps(report.to_json()))
    else:
        print(report.to_text())
    return 0 if report.ok else 1
