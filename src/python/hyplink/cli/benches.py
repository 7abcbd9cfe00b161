"""What ``stat`` and ``trace`` share: which bench, or which file."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from hyplink import observe

if TYPE_CHECKING:
    from hyplink.trace import Trace

__all__ = ["add_bench", "add_filters", "connect", "filtered", "trace_of"]


def add_bench(parser: argparse.ArgumentParser) -> None:
    """Add ``--bench``."""
    parser.add_argument(
        "--bench", metavar="PID", help="which running bench, if there are several: PID or PID.N"
    )


def add_filters(parser: argparse.ArgumentParser) -> None:
    """Add ``--vm``, ``--link``, ``--kind``."""
    parser.add_argument("--vm", type=int, metavar="ID", help="only what is about this VM")
    parser.add_argument("--link", metavar="LABEL", help="only this vlink, such as vogl0")
    parser.add_argument(
        "--kind", metavar="LIST", help="only these, such as vm_state,link_state,notify"
    )


def connect(options: argparse.Namespace) -> observe.Remote:
    """The running bench that the user means."""
    return observe.Remote(observe.choose(options.bench))


def trace_of(options: argparse.Namespace) -> Trace:
    """The trace of a file, or of a running bench."""
    from hyplink.trace import Trace

    if options.file is not None:
        return Trace.load(options.file)
    with connect(options) as remote:
        return remote.trace()


def filtered(trace: Trace, options: argparse.Namespace) -> Trace:
    """What `add_filters` lets through."""
    from hyplink.trace import Trace

    kinds = None if options.kind is None else options.kind.replace(",", " ").split()
    return Trace(trace.events(vm=options.vm, link=options.link, kind=kinds), trace.names)
