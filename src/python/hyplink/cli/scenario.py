"""``hyplink run``: a Python file on a bench."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import traceback
import types
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hyplink import errors

if TYPE_CHECKING:
    from hyplink.bench import Bench

__all__ = ["add_command"]

_EPILOG = """\
examples:
  hyplink run scenario.py
  hyplink run scenario.py --backend process --board my_board.dts
  hyplink run scenario.py --seed 7 --trace run.journal
  hyplink run scenario.py -- --frames 60          words after -- are the scenario's sys.argv

A scenario finds its booted bench under the name `bench`, or defines `main(bench)`:

  def main(bench):
      bench.vm(2).kill()
      bench.vm(2).boot()
      bench.link("vogl0").wait_on()

If it raises, the last events are printed and the exit status is 1.
"""
#: Not ours by its name: what a scenario defines travels to other processes by value.
_MODULE = "_hyplink_scenario"


def add_command(subparsers: Any) -> None:
    """Add ``run`` to the command line."""
    parser = subparsers.add_parser(
        "run",
        help="run a scenario on a bench",
        description="Boot a board, run a Python file on it, and say what happened if it fails.",
        epilog=_EPILOG,
        usage="hyplink run [options] SCENARIO.py [-- WORD ...]",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("scenario", metavar="SCENARIO.py")
    parser.add_argument("--backend", choices=("thread", "process"), default="thread")
    parser.add_argument("--seed", type=int, metavar="N", help="thread backend: deterministic")
    parser.add_argument("--board", default="vogl", metavar="FILE", help="default: vogl")
    parser.add_argument("--timeout", type=float, metavar="S", help="default of every wait, seconds")
    parser.add_argument("--no-boot", action="store_true", help="the scenario boots what it wants")
    parser.add_argument("--no-observe", action="store_true", help="closed to hyplink stat, trace")
    parser.add_argument(
        "--trace", metavar="OUT", help="write .json, .svg, .txt or .journal at the end"
    )
    parser.add_argument("--tail", type=int, default=30, metavar="N", help="events shown on failure")
    parser.add_argument(
        "--json", action="store_true", help="one JSON object; the scenario prints to stderr"
    )
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    if options.seed is not None and options.backend != "thread":
        print("hyplink run: --seed needs --backend thread", file=sys.stderr)
        return 2
    path = Path(options.scenario)
    try:
        source = path.read_bytes()
    except OSError as error:
        print(f"hyplink run: {path}: {error.strerror}", file=sys.stderr)
        return 2
    from hyplink.bench import Bench

    more = {} if options.timeout is None else {"timeout": options.timeout}
    bench = Bench.from_dts(
        options.board, backend=options.backend, seed=options.seed, boot=not options.no_boot, **more
    )
    with contextlib.ExitStack() as stack:
        if options.json:
            stack.enter_context(_stdout_is_stderr())
        stack.enter_context(bench)
        if not options.no_observe:
            from hyplink import observe

            stack.enter_context(observe.serve(bench))
        status, failure = _execute(source, path, options.after, bench)
        outcome = _report(bench, status, failure, options)
    if options.json:
        print(json.dumps(outcome))
    return status


@contextlib.contextmanager
def _stdout_is_stderr() -> Iterator[None]:
    """Also for the processes of the VMs, which inherit the descriptor and not Python's object."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)


def _execute(
    source: bytes, path: Path, words: list[str], bench: Bench
) -> tuple[int, BaseException | None]:
    """Run the file, then its ``main(bench)`` if it has one. Returns (exit status, what it raised)."""
    module = types.ModuleType(_MODULE)
    module.__file__ = str(path.resolve())
    module.__dict__["bench"] = bench
    # Registered, so that what it defines can be sent to another process by value.
    sys.modules[_MODULE] = module
    sys.argv = [str(path), *words]
    sys.path.insert(0, str(path.resolve().parent))
    try:
        exec(compile(source, str(path), "exec"), module.__dict__)
        main = module.__dict__.get("main")
        if callable(main):
            main(bench)
    except SystemExit as left:
        if left.code is None or isinstance(left.code, int):
            return (1 if left.code else 0), None
        print(left.code, file=sys.stderr)
        return 1, None
    except Exception as failure:
        return 1, failure
    return 0, None


def _report(
    bench: Bench, status: int, failure: BaseException | None, options: argparse.Namespace
) -> dict[str, Any]:
    """Tell what went wrong; returns what ``--json`` prints."""
    trace = bench.trace
    if options.trace:
        trace.save(options.trace)
    if failure is not None:
        _explain(failure)
    if status and options.tail > 0:
        seed = "" if options.seed is None else f", seed {options.seed}"
        print(
            f"\nthe last events on board {bench.board.name} ({bench.backend}{seed}):\n"
            f"{trace.tail(options.tail)}",
            file=sys.stderr,
        )
    return {
        "ok": status == 0,
        "board": bench.board.name,
        "backend": bench.backend,
        "seed": bench.seed,
        "events": len(trace),
        "error": None if failure is None else f"{type(failure).__name__}: {failure}",
        "trace": options.trace,
        "totals": dict(bench.stats.totals),
    }


def _explain(failure: BaseException) -> None:
    """The traceback, from the scenario's own first line on."""
    frames = failure.__traceback__
    if not os.environ.get("HYPLINK_DEBUG"):
        while frames is not None and frames.tb_frame.f_code.co_filename == __file__:
            frames = frames.tb_next
    if isinstance(failure, errors.HyplinkError) and failure.__cause__ is None:
        failure.__suppress_context__ = True
    traceback.print_exception(type(failure), failure, frames, file=sys.stderr)
