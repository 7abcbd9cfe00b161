"""``hyplink idl call``."""

# ruff: noqa: T201 - printing is what a command does
from __future__ import annotations

import argparse
import contextlib
import inspect
import json
import sys
from typing import Any

from hyplink.errors import LinkError
from hyplink.idl.commands.common import FAILED, FINE, USAGE, compile_files, report
from hyplink.idl.findings import nearest
from hyplink.idl.names import python_name

__all__ = ["add_command"]


def add_command(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    from hyplink.idl.commands.served import add_options

    call = subparsers.add_parser(
        "call",
        help="call a procedure of a server, on a fresh bench or on one that runs",
        description="Without --bench a bench is made for the call, with the server of --server or a mock. With it the "
        "call is made by an application of the device's client VM on a bench that runs (process backend), and answered "
        "by whoever serves there.",
        epilog="VALUE is a Python literal, an enumerator, Struct(…), @file, or text. OBJECT is JSON: enumerators by "
        'name, structs as objects, bytes as {"base64": "…"}, text or a list. Exit status: 0 answered, 1 refused or '
        "lost, 2 asked wrongly.",
    )
    call.add_argument("file", metavar="FILE")
    call.add_argument("procedures", nargs="+", metavar="PROC", help="interface.procedure")
    call.add_argument(
        "--arg",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="of every procedure that has a parameter of this name",
    )
    call.add_argument(
        "--args", metavar="OBJECT", help="the arguments of the one procedure as JSON; - reads them"
    )
    call.add_argument("--json", action="store_true", help="answers as JSON, one object a line")
    call.add_argument("--record", metavar="FILE", help="keep what was asked and answered")
    running = call.add_argument_group("on a bench that runs")
    running.add_argument(
        "--bench",
        nargs="?",
        const="",
        metavar="PID",
        help="which one, if there are several: PID or PID.N",
    )
    running.add_argument("--vm", type=int, metavar="ID", help="who calls (default: the client)")
    running.add_argument(
        "--timeout", type=float, default=10.0, metavar="S", help="for each wait (default: 10)"
    )
    add_options(call)
    call.set_defaults(run=_call)


def _call(args: argparse.Namespace) -> int:
    results = compile_files([args.file])
    if not results[0].ok:
        return report(results, "text")
    from hyplink.idl.commands.served import UsageError, serving

    spaces = {name.rpartition(".")[0] for name in args.procedures} - {""}
    if not args.interface and len(spaces) == 1:
        args.interface = spaces.pop()
    try:
        given = _object(args)
        if args.bench is not None and (args.server or args.answer):
            raise UsageError("--server and --answer are for a fresh bench, not for --bench")
        if args.bench is None:
            opened = serving(args)
        else:
            from hyplink.idl.commands.attached import attached

            opened = attached(args)
        with opened as served, contextlib.ExitStack() as stack:
            channel = served.channel
            if args.record:
                from hyplink.idl.recording import record

                channel = stack.enter_context(record(channel, args.record, served.module))
            client = served.info.client(channel)
            status = FINE
            for name in args.procedures:
                short = name.rpartition(".")[2]
                status = max(status, _one(client, served.module, short, args, given))
            channel.notify()
            return status
    except (UsageError, LookupError, OSError, ValueError) as error:
        if isinstance(error, LinkError):
            raise
        print(f"hyplink idl call: {error}", file=sys.stderr)
        return USAGE


def _object(args: argparse.Namespace) -> dict[str, Any]:
    """What ``--args`` says."""
    from hyplink.idl.commands.served import UsageError

    if args.args is None:
        return {}
    if len(args.procedures) != 1:
        raise UsageError("--args is for one procedure")
    try:
        found = json.loads(sys.stdin.read() if args.args == "-" else args.args)
    except ValueError as error:
        raise UsageError(f"--args: {error}") from None
    if not isinstance(found, dict):
        raise UsageError("--args: expected a JSON object of arguments by name")
    return found


def _one(
    client: Any, module: Any, name: str, args: argparse.Namespace, values: dict[str, Any]
) -> int:
    from hyplink.idl.commands.json_values import arguments_of, json_of
    from hyplink.idl.commands.served import UsageError, parse_pairs

    method = getattr(client, python_name(name), None)
    if method is None:
        known = [n for n in dir(client) if not n.startswith("_")]
        guess = nearest(python_name(name), known)
        hint = f"did you mean {guess}?" if guess else f"there are {', '.join(known)}"
        raise UsageError(f"no procedure {name}; {hint}")
    wanted = inspect.signature(method).parameters
    given = {k: v for k, v in parse_pairs(args.arg, module).items() if k in wanted}
    given |= arguments_of(values, method, module)
    missing = [
        n for n, p in wanted.items() if n not in given and p.default is inspect.Parameter.empty
    ]
    if missing:
        raise UsageError(f"{name} also takes {', '.join(f'--arg {n}=…' for n in missing)}")
    try:
        answer = method(**given)
    except LinkError as error:
        kind, why = type(error).__name__, error.strerror
        if args.json:
            fields = {"procedure": name, "error": kind, "errno": error.errno, "message": why}
            print(json.dumps(fields))
        else:
            print(f"{name}: {kind}: {why}")
        return FAILED
    if args.json:
        print(json.dumps({"procedure": name, "answer": json_of(answer)}))
    else:
        print(f"{name} -> {answer!r}")
    return FINE
