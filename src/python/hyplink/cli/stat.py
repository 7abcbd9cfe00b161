"""``hyplink stat``: counters of a running bench."""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import Any

from hyplink import errors, observe
from hyplink.cli.benches import add_bench, connect
from hyplink.display.tables import text_table

__all__ = ["add_command"]

_EPILOG = """\
examples:
  hyplink stat                    every channel of the bench that is running
  hyplink stat --watch            once a second, with what was counted in that second
  hyplink stat --list             which benches are running, their VMs and vlinks
  hyplink stat --json | python3 -m json.tool
"""


def add_command(subparsers: Any) -> None:
    """Add ``stat`` to the command line."""
    parser = subparsers.add_parser(
        "stat",
        help="counters of a running bench",
        description="Show what every channel of a running bench has counted: requests, batches, "
        "XIRQs and how many woke somebody, copies, peaks, latencies.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_bench(parser)
    parser.add_argument("--list", action="store_true", help="the benches instead of the counters")
    parser.add_argument("--watch", action="store_true", help="again and again until it ends")
    parser.add_argument(
        "--every", type=_seconds, default=1.0, metavar="S", help="of --watch (default: 1)"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object; a line each time")
    parser.set_defaults(run=_run)


def _seconds(text: str) -> float:
    value = float(text)
    if not 0.01 <= value <= 86400:
        raise argparse.ArgumentTypeError("expected 0.01 to 86400 seconds")
    return value


def _run(options: argparse.Namespace) -> int:
    if options.list:
        return _list(options)
    with connect(options) as remote:
        if not options.watch:
            stats = remote.stats()
            print(json.dumps(stats.to_json(), indent=2) if options.json else stats)
            return 0
        return _watch(remote, options)


def _watch(remote: observe.Remote, options: argparse.Namespace) -> int:
    earlier = None
    clear = "\x1b[H\x1b[2J" if sys.stdout.isatty() else ""
    while True:
        try:
            stats = remote.stats()
        except errors.PeerDied:
            print(f"hyplink stat: bench {remote.address} has ended", file=sys.stderr)
            return 0
        if options.json:
            print(json.dumps(stats.to_json()), flush=True)
        else:
            shown = stats if earlier is None else stats.since(earlier)
            print(f"{clear}{shown}\n", flush=True)
        earlier = stats
        time.sleep(options.every)


def _list(options: argparse.Namespace) -> int:
    found = []
    for address in observe.running():
        try:
            with observe.Remote(address) as remote:
                found.append({"bench": str(address), **remote.topology()})
        except errors.LinkError:
            continue  # it ended while we looked
    if options.json:
        print(json.dumps({"benches": found}, indent=2))
        return 0
    if not found:
        print("no bench of yours is running that can be looked at")
        return 0
    rows = [
        [
            bench["bench"],
            bench["board"],
            bench["backend"],
            "-" if bench["seed"] is None else str(bench["seed"]),
            " ".join(f"{vm['id']}:{vm['state']}" for vm in bench["vms"]),
            f"{sum(link['states'] == ['ON', 'ON'] for link in bench['links'])} of "
            f"{len(bench['links'])}",
        ]
        for bench in found
    ]
    print(text_table(["bench", "board", "backend", "seed", "VMs", "vlinks ON"], rows, left=6))
    return 0
