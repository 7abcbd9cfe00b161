"""Pipes of a running bench as files of this machine, for cat, dd, socat and programs that nobody here wrote."""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
from pathlib import Path
from typing import Any

from hyplink.cli.benches import add_bench, connect

__all__ = ["add_commands"]

_EPILOG = """\
examples:
  hyplink dev mount /tmp/bench                   then, in other terminals:
      cat /tmp/bench/vm2/dev/vbpipe0
      echo hello > /tmp/bench/vm4/dev/vbpipe0
      evtest /tmp/bench/vm3/dev/input/event0     (a vEvent's front end)

The bench must run with the process backend and let itself be looked at (hyplink run does). What the kernel answers
without asking a file system does not come through: FIONREAD (use poll), O_EXCL, mmap (so a vUpipe is refused).
"""


def add_commands(commands: Any) -> None:
    """Add ``mount``."""
    parser = commands.add_parser(
        "mount",
        help="show each VM's /dev in a folder until Ctrl-C",
        description="Show the /dev names of each VM of a running bench in a folder, until Ctrl-C.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("folder", metavar="DIR", help="made if it is not there")
    add_bench(parser)
    parser.set_defaults(run=_mount)


def _mount(options: argparse.Namespace) -> int:
    from hyplink import dev

    why = dev.missing()
    if why is not None:
        print(f"hyplink dev mount: {why}", file=sys.stderr)
        return 3
    with connect(options) as remote:
        backend = remote.topology()["backend"]
        if backend != "process":
            print(
                f"hyplink dev mount: the bench runs its VMs as {backend}s; only VMs of the process backend have a "
                "/dev for other programs (hyplink run --backend process)",
                file=sys.stderr,
            )
            return 3
        Path(options.folder).mkdir(parents=True, exist_ok=True)

        def vms() -> list[tuple[int, str]]:
            return [(vm["id"], vm["name"]) for vm in remote.topology()["vms"]]

        def tell(note: str) -> None:
            print(f"hyplink dev mount: {note}", file=sys.stderr, flush=True)

        def end(*_: object) -> None:
            raise KeyboardInterrupt

        signal.signal(signal.SIGTERM, end)
        with dev.Mount(options.folder, vms, remote.attach, tell) as mount:
            print(f"{mount.folder}: mounted, Ctrl-C ends it", flush=True)
            with contextlib.suppress(KeyboardInterrupt):
                mount.wait()
    return 0
