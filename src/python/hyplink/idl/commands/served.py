"""A server and a client of an interface on a fresh bench, for the commands that execute one."""

from __future__ import annotations

import argparse
import ast
import contextlib
import importlib
import inspect
import runpy
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

__all__ = ["Served", "UsageError", "add_options", "parse_pairs", "parse_value", "pick", "serving"]


class UsageError(Exception):
    """What the user asked for does not exist."""


class Served(NamedTuple):
    """What `serving` gives: the stubs, the interface's table row, a channel to its server."""

    module: types.ModuleType
    info: Any
    channel: Any
    handler: Any


def add_options(parser: argparse.ArgumentParser) -> None:
    """Where the server comes from and on which board it runs."""
    parser.add_argument("--interface", default="", metavar="NAME", help="where FILE has several")
    parser.add_argument(
        "--server",
        metavar="FILE.py",
        help="a handler: a function make_server(), or a class (default: a mock server)",
    )
    parser.add_argument(
        "--answer",
        action="append",
        default=[],
        metavar="PROC=VALUE",
        help="what the mock server answers (default: zeros)",
    )
    parser.add_argument("--board", default="vogl", help="board of the bench (default: vogl)")
    parser.add_argument("--device", default="vogl0", help="device of it (default: vogl0)")
    parser.add_argument("--backend", choices=("thread", "process"), default="thread")


def parse_value(text: str, module: types.ModuleType) -> Any:
    """A Python literal, an enumerator, ``@file`` for its bytes; anything else is text."""
    if text.startswith("@"):
        return Path(text[1:]).read_bytes()
    with contextlib.suppress(ValueError, SyntaxError):
        return ast.literal_eval(text)
    kind, _, member = text.rpartition(".")
    enums = [e for e in _enums(module) if kind in ("", e.__name__)]
    for enum in enums:
        if member in enum.__members__:
            return enum[member]
    name, _, rest = text.partition("(")
    made = getattr(module, name, None)
    if rest.endswith(")") and isinstance(made, type):
        node = ast.parse(text, mode="eval").body
        if isinstance(node, ast.Call):
            positional = [parse_value(ast.unparse(a), module) for a in node.args]
            named = {str(k.arg): parse_value(ast.unparse(k.value), module) for k in node.keywords}
            return made(*positional, **named)
    return text


def _enums(module: types.ModuleType) -> list[Any]:
    import enum

    spaces = [module, *(m for m in vars(module).values() if isinstance(m, types.ModuleType))]
    found = [
        value
        for space in spaces
        if space.__name__.startswith("hyplink.idl.loaded.")
        for value in vars(space).values()
        if isinstance(value, type) and issubclass(value, enum.IntEnum)
    ]
    return [value for value in found if value is not enum.IntEnum]


def parse_pairs(words: list[str], module: types.ModuleType) -> dict[str, Any]:
    pairs = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            raise UsageError(f"expected NAME=VALUE, found {word!r}")
        pairs[name] = parse_value(value, module)
    return pairs


def _handler(args: argparse.Namespace, module: types.ModuleType, info: Any) -> Any:
    from hyplink.idl.mocking import mock

    if args.server is None:
        return mock(module, parse_pairs(args.answer, module), interface=info.name)
    space = runpy.run_path(args.server)
    if callable(space.get("make_server")):
        return space["make_server"]()
    for value in space.values():
        found = isinstance(value, type) and issubclass(value, info.handler)
        if found and not inspect.isabstract(value):
            return value()
    raise UsageError(f"{args.server} has no make_server() and no class for {info.name}")


def pick(module: types.ModuleType, name: str) -> Any:
    """The interface that is meant: by name, or the only one there is."""
    names = [n for n in module.INTERFACES if name in ("", n)]
    if len(names) != 1:
        raise UsageError(f"say --interface; there are {', '.join(module.INTERFACES)}")
    return module.INTERFACES[names[0]]


@contextlib.contextmanager
def serving(args: argparse.Namespace) -> Iterator[Served]:
    """Boot a bench, start the server in one VM, open a channel in the other."""
    from hyplink.idl.loader import load

    module = load(args.file)
    info = pick(module, args.interface)
    handler = _handler(args, module, info)
    # By name: the language floor stands below the bench, and does not need it to check a file.
    bench_module = importlib.import_module("hyplink.bench")
    rpq = importlib.import_module("hyplink.rpq")
    with bench_module.Bench.from_dts(args.board, backend=args.backend) as bench:
        link = bench.link(args.device)
        guest = rpq.serve(args.device, handler, None, bind=info.bind, hello=module.hello())
        bench.vm(link.spec.server).start(guest)
        device = bench.vm(link.spec.client).rpq(args.device)
        with module.session(device) as session, session.channel() as channel:
            yield Served(module, info, channel, handler)
