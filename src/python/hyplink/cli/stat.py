"""``hyplink stat``: counters of a running bench."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from hyplink import errors, observe
from hyplink.cli.benches import add_bench, connect
from hyplink.display.tables import text_table
from hyplink.stats import History, Stats, procedure_names
from hyplink.units import count

__all__ = ["add_command"]

_EPILOG = """\
examples:
  hyplink stat                    every channel of the bench that is running
  hyplink stat --ends             every end of every channel, with copies, wakes and latencies
  hyplink stat --count on         count by procedure from now on; off stops it
  hyplink stat --idl gles2.vidl   procedures by name
  hyplink stat --watch --svg a.svg     a drawing of what happened, renewed each time
  hyplink stat --watch            once a second, with what was counted in that second
  hyplink stat --grants           pages granted to other VMs: to whom, how, mapped or not
  hyplink stat --grants --watch   the same once a second
  hyplink stat --list             which benches are running, their VMs and vlinks
  hyplink stat --json | python3 -m json.tool
"""


def add_command(subparsers: Any) -> None:
    """Add ``stat`` to the command line."""
    parser = subparsers.add_parser(
        "stat",
        help="counters of a running bench",
        description="Show what every channel of a running bench has counted: requests stacked, PMEM "
        "in use, peaks, how often a client waited for room, requests in a batch, XIRQs, recycle passes, "
        "and each procedure's requests and latencies; then what each end of a pipe, a vRPC or a vMQ has counted, "
        "and the buffers, sessions and requests of vUmem and vION. Or, with --grants, the page grants.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_bench(parser)
    parser.add_argument("--list", action="store_true", help="the benches instead of the counters")
    parser.add_argument(
        "--grants", action="store_true", help="the page grants instead of the counters"
    )
    parser.add_argument("--ends", action="store_true", help="end by end instead of by channel")
    parser.add_argument(
        "--idl",
        action="append",
        default=[],
        metavar="FILE",
        help="where the names of procedures come from; may be given several times",
    )
    parser.add_argument("--count", choices=("on", "off"), help="switch counting by procedure")
    parser.add_argument("--svg", metavar="FILE", help="draw into FILE what is shown")
    parser.add_argument("--watch", action="store_true", help="again and again until it ends")
    parser.add_argument(
        "--every", type=_seconds, default=1.0, metavar="S", help="of --watch (default: 1)"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object; a line each time")
    parser.set_defaults(run=_run, refuse=parser.error)


def _seconds(text: str) -> float:
    value = float(text)
    if not 0.01 <= value <= 86400:
        raise argparse.ArgumentTypeError("expected 0.01 to 86400 seconds")
    return value


def _run(options: argparse.Namespace) -> int:
    if options.grants:
        given = {"--list": options.list, "--ends": options.ends, "--idl": options.idl}
        given |= {"--count": options.count, "--svg": options.svg}
        if wrong := [word for word, value in given.items() if value]:
            options.refuse(f"--grants goes without {', '.join(wrong)}")
    if options.list:
        return _list(options)
    names = procedure_names(*options.idl)
    with connect(options) as remote:
        if options.count:
            remote.count_procedures(options.count == "on")
        counters = _Counters(remote, options, names)
        look = partial(_grants, remote, options) if options.grants else counters.look
        if options.watch:
            return _watch(remote, options, look)
        print(look())
        return 0


class _Counters:
    """The counters, look by look: each shows what came after the one before."""

    def __init__(
        self, remote: observe.Remote, options: argparse.Namespace, names: Mapping[int, str]
    ) -> None:
        self._options, self._names = options, names
        self._history = History(remote.stats)
        self._earlier: Stats | None = None

    def look(self) -> str:
        """What is printed; the drawing is renewed, too."""
        options, stats = self._options, self._history.look()
        text = _shown(stats, self._earlier, options, self._names)
        if options.svg:
            drawing = self._history if options.watch else stats.rpq(self._names)
            Path(options.svg).write_text(drawing.svg())
        self._earlier = stats
        return text


def _shown(
    stats: Stats, earlier: Stats | None, options: argparse.Namespace, names: Mapping[int, str]
) -> str:
    """What came after ``earlier``; JSON has both views and everything there ever was."""
    if options.json:
        data = {
            **stats.to_json(),
            "rpq": stats.rpq(names).to_json(),
            "flows": stats.flows().to_json(),
        }
        return json.dumps(data, indent=None if options.watch else 2)
    if options.ends:
        return str(stats if earlier is None else stats.since(earlier))
    views = (
        stats.rpq(names, since=earlier),
        stats.flows(since=earlier),
        stats.buffers(since=earlier),
    )
    shown = [str(view) for view in views if view]
    return "\n\n".join(shown) or str(views[0])


def _grants(remote: observe.Remote, options: argparse.Namespace) -> str:
    grants, missed_holds = remote.grants(), remote.missed_holds()
    if options.json:
        data = {
            "grants": [grant._asdict() for grant in grants],
            "missed_holds": [missed._asdict() for missed in missed_holds],
        }
        return json.dumps(data, indent=None if options.watch else 2)
    lines = [str(grants)]
    lines += [
        f"VM {missed.importer} did not hold in time {count(missed.times, 'range')} that VM {missed.exporter} "
        "denied to others: its views may have shown zeroes for a moment"
        for missed in missed_holds
    ]
    return "\n".join(lines)


def _watch(remote: observe.Remote, options: argparse.Namespace, look: Callable[[], str]) -> int:
    clear = "\x1b[H\x1b[2J" if sys.stdout.isatty() else ""
    while True:
        try:
            text = look()
        except errors.PeerDied:
            print(f"hyplink stat: bench {remote.address} has ended", file=sys.stderr)
            return 0
        print(text if options.json else f"{clear}{text}\n", flush=True)
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
