"""What happened on a bench, running or recorded: as text, as a picture, for Perfetto.

Where no FILE is named, a running bench is asked.
"""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

from hyplink import errors
from hyplink.cli.benches import add_bench, add_filters, filtered, trace_of

if TYPE_CHECKING:
    from hyplink.trace import Trace

__all__ = ["add_commands"]


def _add(
    subparsers: Any, name: str, words: str, example: str, **more: Any
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = subparsers.add_parser(
        name,
        help=words,
        description=f"{words[0].upper()}{words[1:]}.",
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        **more,
    )
    return parser


def add_commands(subparsers: Any) -> None:
    """Add ``tail``, ``timeline``, ``save``, ``show`` and ``diff``."""
    journal = "a journal that trace save or hyplink run --trace wrote, instead of a running bench"
    tail = _add(subparsers, "tail", "the last events of a bench", "hyplink trace tail -n 40 --vm 2")
    tail.add_argument("-n", type=int, default=20, metavar="N", help="how many (default: 20)")
    tail.add_argument("--from", dest="file", metavar="FILE", help=journal)
    tail.set_defaults(run=_tail)
    timeline = _add(
        subparsers,
        "timeline",
        "draw who rang whom as SVG",
        "hyplink trace timeline -o run.svg --last 400",
    )
    timeline.add_argument("-o", "--output", required=True, metavar="FILE", help="the picture")
    timeline.add_argument("--last", type=_positive, metavar="N", help="only the last N events")
    timeline.add_argument("--width", type=_positive, default=1200, help="pixels (default: 1200)")
    timeline.add_argument("--from", dest="file", metavar="FILE", help=journal)
    timeline.set_defaults(run=_timeline)
    save = _add(
        subparsers,
        "save",
        "write the trace: .json (Perfetto), .svg, .txt or .journal",
        "hyplink trace save run.json",
    )
    save.add_argument("output", metavar="OUT", help="what to write; its ending says how")
    save.add_argument("--from", dest="file", metavar="FILE", help=journal)
    save.set_defaults(run=_save)
    show = _add(subparsers, "show", "all events of a journal", "hyplink trace show run.journal")
    show.add_argument("file", metavar="FILE", help="a journal")
    show.set_defaults(run=_show)
    diff = _add(
        subparsers,
        "diff",
        "the first difference between two journals; exit status 1 if there is one",
        "hyplink trace diff seed7.journal again.journal --times",
    )
    diff.add_argument("first", metavar="A")
    diff.add_argument("second", metavar="B")
    diff.add_argument("--times", action="store_true", help="times matter too: seeded runs")
    diff.add_argument("--json", action="store_true", help="one JSON object on standard output")
    diff.set_defaults(run=_diff)
    for parser in (tail, timeline, save):
        add_bench(parser)
    for parser in (tail, show):
        add_filters(parser)
        parser.add_argument("--json", action="store_true", help="one JSON object for each event")


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("expected a number from 1")
    return value


def _print(trace: Trace, options: argparse.Namespace) -> int:
    for event in trace:
        print(json.dumps(event.to_json()) if options.json else event)
    return 0


def _tail(options: argparse.Namespace) -> int:
    trace = filtered(trace_of(options), options)
    return _print(trace[-options.n :] if options.n > 0 else trace[:0], options)


def _show(options: argparse.Namespace) -> int:
    return _print(filtered(_load(options.file), options), options)


def _timeline(options: argparse.Namespace) -> int:
    trace = trace_of(options)
    trace.timeline(options.last, options.width).save(options.output)
    return 0


def _save(options: argparse.Namespace) -> int:
    trace_of(options).save(options.output)
    return 0


def _diff(options: argparse.Namespace) -> int:
    first, second = _load(options.first), _load(options.second)
    found = first.diff(second, times=options.times)
    if options.json:
        data: dict[str, Any] = {"same": found is None, "events": [len(first), len(second)]}
        if found is not None:
            sides = {"first": found.mine, "second": found.theirs}
            data["index"] = found.index
            data |= {k: v.to_json() if v else None for k, v in sides.items()}
        print(json.dumps(data))
    elif found is not None:
        print(found)
    else:
        print(f"the same {len(first):,} events")
    return 0 if found is None else 1


def _load(path: str) -> Trace:
    from hyplink.trace import Trace

    try:
        return Trace.load(path)
    except errors.HyplinkError:
        raise
    except OSError as error:
        raise errors.from_errno(error.errno or 0, f"{path}: {error.strerror}") from None
