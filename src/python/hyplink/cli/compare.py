"""``hyplink compare``: the documents' comparison table, measured."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

__all__ = ["add_command"]

_EPILOG = """\
examples:
  hyplink compare                       every mechanism of spec 001, section 6
  hyplink compare vRPQ vION             some of them
  hyplink compare --kills 1000 vRPQ     how soon a death is noticed, median and worst of so many
  hyplink compare --json > table.json

Below each line stands what the document claims. Two VMs run as processes, measured through Python; what two bare
processes need is measured in the same run and taken off the latencies. Keep the machine quiet meanwhile.
"""


def add_command(subparsers: Any) -> None:
    """Add ``compare`` to the command line."""
    parser = subparsers.add_parser(
        "compare",
        help="the mechanisms beside each other, measured",
        description="Print the comparison table of the mechanisms guide, filled in by measurement.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="MECHANISM", help="such as vRPQ; default: all")
    parser.add_argument("--kills", type=_count, default=10, metavar="N", help="default: 10")
    parser.add_argument(
        "--times", type=_positive, default=2000, metavar="N", help="round trips (default: 2000)"
    )
    parser.add_argument(
        "--megabytes", type=_positive, default=64, metavar="N", help="moved (default: 64)"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    parser.set_defaults(run=_run)


def _count(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"expected 0 or more, found {text}")
    return value


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected 1 or more, found {text}")
    return value


def _run(options: argparse.Namespace) -> int:
    from hyplink.compare import compare

    def progress(what: str) -> None:
        if sys.stderr.isatty():
            print(f"\r\033[Kmeasuring {what} …", end="", file=sys.stderr, flush=True)

    try:
        table = compare(
            options.names,
            kills=options.kills,
            times=options.times,
            nbytes=options.megabytes << 20,
            progress=progress,
        )
    finally:
        if sys.stderr.isatty():
            print("\r\033[K", end="", file=sys.stderr, flush=True)
    print(json.dumps(table.to_dict()) if options.json else table)
    return 0
