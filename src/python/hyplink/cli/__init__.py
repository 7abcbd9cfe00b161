"""The ``hyplink`` command.

Exit status: 0 fine, 1 failed, 2 wrong usage, 3 something is missing on this machine, 130 interrupted.
A command's module is imported when that command is used, so ``hyplink idl check`` stays quick and
works without the compiled core.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Any, NamedTuple

from hyplink import errors

__all__ = ["FAILED", "FINE", "MISSING", "USAGE", "main"]

FINE, FAILED, USAGE, MISSING, INTERRUPTED = 0, 1, 2, 3, 130

_EPILOG = """\
examples:
  hyplink doctor                              is everything here that hyplink needs?
  hyplink demo                                two VMs, requests, a SIGKILL, and back
  hyplink board show vogl                     draw a board
  hyplink idl check gles2.vidl                find every mistake in an interface
  hyplink run scenario.py --backend process   run a scenario on a bench
  hyplink stat --watch                        counters of a bench that runs elsewhere

exit status: 0 fine, 1 failed, 2 wrong usage, 3 something is missing on this machine
HYPLINK_DEBUG=1 shows where an error comes from.
"""


class _Command(NamedTuple):
    help: str
    module: str
    #: The module has ``add_commands(subparsers)`` for commands below this one, or ``add_command``.
    group: bool


_COMMANDS = {
    "demo": _Command("the main job end to end, with a report", "hyplink.demo", False),
    "doctor": _Command("is everything here that hyplink needs?", "hyplink.doctor", False),
    "board": _Command("check and draw boards", "hyplink.board.cli", True),
    "idl": _Command("check interfaces, generate stubs", "hyplink.idl.cli", True),
    "run": _Command("run a scenario on a bench", "hyplink.cli.scenario", False),
    "stat": _Command("counters of a running bench", "hyplink.cli.stat", False),
    "trace": _Command("what happened on a bench", "hyplink.cli.trace", True),
    "dev": _Command("the /dev names of running VMs as files", "hyplink.cli.dev", True),
    "compare": _Command("the mechanisms beside each other, measured", "hyplink.cli.compare", False),
    "perf": _Command("measure", "hyplink.cli.perf", False),
}


def _parser(words: list[str]) -> argparse.ArgumentParser:
    chosen = _chosen(words)
    parser = argparse.ArgumentParser(
        prog="hyplink",
        description="Run, script, break and measure the inter-VM communication of a hypervisor.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
    commands = parser.add_subparsers(metavar="COMMAND", required=True, title="commands")
    for name, command in _COMMANDS.items():
        if name != chosen:
            commands.add_parser(name, help=command.help)
            continue
        module = importlib.import_module(command.module)
        if command.group:
            below = commands.add_parser(
                name, help=command.help, description=_first_paragraph(module), allow_abbrev=False
            )
            inner = below.add_subparsers(metavar="COMMAND", required=True)
            if hasattr(module, "chosen"):
                # It can do with the commands that these words are about.
                module.add_commands(inner, module.chosen(words[words.index(name) + 1 :]))
            else:
                module.add_commands(inner)
        else:
            module.add_command(commands)
    return parser


def _chosen(words: list[str]) -> str | None:
    return next((word for word in words if not word.startswith("-")), None)


def _first_paragraph(module: Any) -> str:
    return (module.__doc__ or "").split("\n\n")[0].replace("``", "")


class _Version(argparse.Action):
    """Looks the version up only when asked."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        import importlib.metadata

        print(f"hyplink {importlib.metadata.version('hyplink')}")
        parser.exit(FINE)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status.

    Wrong usage and ``--help`` leave through ``SystemExit``, as argparse does it.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        # argparse would hand what stands after -- to whichever positional comes first.
        at = words.index("--") if _chosen(words) == "run" and "--" in words else len(words)
        options = _parser(words[:at]).parse_args(words[:at])
        options.after = words[at + 1 :]
        status = int(options.run(options))
        sys.stdout.flush()
        return status
    except errors.HyplinkError as error:
        return _say(_clear(error))
    except ModuleNotFoundError as error:
        return _missing(error)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of our output went away (``| head``). Nothing is to be told to anybody.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED


def _clear(error: errors.HyplinkError) -> str:
    """One message without the number that ``OSError`` puts before it."""
    text = error.strerror if isinstance(error, errors.LinkError) and error.strerror else str(error)
    notes = getattr(error, "__notes__", [])
    return "\n".join([text or type(error).__name__, *notes])


def _say(message: str, status: int = FAILED) -> int:
    if os.environ.get("HYPLINK_DEBUG"):
        traceback.print_exc()
    print(f"hyplink: {message}", file=sys.stderr)
    return status


def _missing(error: ModuleNotFoundError) -> int:
    name = error.name or "?"
    if name == "hyplink._core":
        return _say("the compiled core is missing; install the package: pip install .", MISSING)
    if name.split(".")[0] in ("hyplink", *sys.stdlib_module_names):
        raise error
    return _say(f"the Python package {name.split('.')[0]} is missing; see hyplink doctor", MISSING)
