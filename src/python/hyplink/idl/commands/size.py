"""``hyplink idl size``."""

# ruff: noqa: T201 - printing is what a command does
from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from hyplink.idl.commands.common import FAILED, FINE

__all__ = ["add_command"]

_HELP = """\
Suggest vrpq-reqs, vrpq-pmem and the size of a channel for a mix of calls.

A mix says what one batch (a frame, say) consists of:
  --mix "uniform4f=1000,draw=3"             counts; arrays and strings as large as allowed
  --mix "buffer_data=3:16K,get_name=1/32"   bytes of variable data in a request / its answer
  --mix frame.toml                          the same as a file:
      in_flight = 2
      channels = 1
      buffers = true
      [calls]
      uniform4f = 1000
      buffer_data = { count = 3, bytes = "16K" }

exit status: 0 fine, 1 the mix does not fit the interface, 2 wrong usage
"""


def add_command(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    size = subparsers.add_parser(
        "size",
        help="sizes for the device tree from a mix of calls",
        description=_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    size.add_argument("file", metavar="FILE")
    size.add_argument("--mix", required=True, help="text, or a .toml or .json file")
    size.add_argument("--in-flight", type=int, metavar="N", help="batches under way at once (2)")
    size.add_argument("--channels", type=int, metavar="N", help="channels like this one (1)")
    size.add_argument(
        "--buffers", action="store_true", help="@large parts travel in a vUmem buffer"
    )
    size.add_argument("--json", action="store_true")
    size.set_defaults(run=_size)


def _size(args: argparse.Namespace) -> int:
    from hyplink.idl.front import compile_file
    from hyplink.idl.sizing import parse_mix, read_mix, suggest

    compiled = compile_file(args.file)
    if not compiled.ok:
        print(compiled.findings.text(), file=sys.stderr)
        return FAILED
    try:
        is_file = args.mix.endswith((".toml", ".json"))
        mix = read_mix(Path(args.mix)) if is_file else parse_mix(args.mix)
        mix.in_flight = args.in_flight if args.in_flight is not None else mix.in_flight
        mix.channels = args.channels if args.channels is not None else mix.channels
        mix.buffers = mix.buffers or args.buffers
        found = suggest(compiled.require(), mix)
    except (OSError, ValueError) as error:
        print(f"hyplink idl size: {error}", file=sys.stderr)
        return FAILED
    if args.json:
        print(json.dumps(found.to_json(), indent=1))
        return FINE
    width = max(len("procedure"), *(len(row.procedure) for row in found.rows))
    print(f"{'procedure':{width}} {'a batch':>9} {'request':>10} {'answer':>10} {'in ring':>12}")
    for row in found.rows:
        print(
            f"{row.procedure:{width}} {row.count:>9,} {row.request:>10,} {row.answer:>10,} "
            f"{row.total:>12,}"
        )
    print()
    for reason in found.reasons:
        print(f"- {reason}")
    print(f'\ninfo     "{found.info}"')
    print(f"channel  session.channel(parameter_bytes={found.port})")
    print(f'or       "{found.default_info}" for channels that ask for no size')
    return FINE
