"""Every rule, for every procedure and callback: generated Python refuses what breaks it.

The cases come from the model (``negative_cases``), not from a generator.
"""

from __future__ import annotations

import contextlib
import functools
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from idl_wirelib import Recorder, Request
from negative_cases import BUFFER, Case, good_request, live_handle, negative_cases

from hyplink import errors, idl
from hyplink.idl.model import Interface, Model, Procedure
from hyplink.idl.names import snake
from hyplink.idl.python.common import Names
from hyplink.idl.python.server import parameters
from hyplink.idl.runtime import BadBlock, UmemRef

DATA = Path(__file__).parent / "data"
FILES = ("everything", "camera", "glslice", "rich", "whole")


class _Buffers:
    """One buffer, as the cases expect it."""

    def resolve(self, reference: UmemRef, rights: str, transfer: str, /) -> memoryview:
        end = reference.offset + reference.length
        if (reference.slot, reference.generation) != (1, 1) or end > BUFFER:
            raise LookupError(reference)
        return memoryview(bytearray(reference.length))

    def reference(self, buffer: Any, rights: str, transfer: str, /) -> UmemRef:
        raise LookupError(buffer)

    def transferred(self, reference: UmemRef, given: bool, /) -> None: ...

    def place(self, data: memoryview, first: bool, /) -> None:
        return None


class _Quiet(Exception):
    """The handler ran: every check has passed."""


class _Handler:
    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("__"):
            raise AttributeError(name)

        def method(*_: Any) -> Any:
            raise _Quiet

        return method


class _NoChannel:
    window = memoryview(bytearray(8))


@functools.cache
def stubs(name: str) -> tuple[types.ModuleType, Model]:
    module = idl.load(DATA / f"{name}.vidl")
    return module, module.__hyplink_model__


def cases() -> list[Any]:
    found = []
    for name in FILES:
        model = idl.compile_file(DATA / f"{name}.vidl").require()
        for interface in model.interfaces:
            for proc in [*interface.procedures, *interface.callbacks]:
                found.append(
                    pytest.param(name, interface.name, proc.name, id=f"{name}.{proc.name}")
                )
    return found


def find(model: Model, interface: str, proc: str) -> tuple[Interface, Procedure]:
    found = next(i for i in model.interfaces if i.name == interface)
    return found, next(p for p in [*found.procedures, *found.callbacks] if p.name == proc)


def receiver(
    module: types.ModuleType, model: Model, interface: Interface, proc: Procedure
) -> Callable[[Any], int]:
    """What performs a block of this procedure, with the objects that the cases name."""
    if proc in interface.callbacks:
        client = module.INTERFACES[interface.name].client(_Channel(), buffers=_Buffers())
        link = client._me
        link._callbacks.on = _Anything()
        link._callbacks.find = lambda _: (_raise, None)
        hooks = getattr(module, f"_hooks_{snake(interface.name)}")
        return lambda request: hooks[request.proc](link, request)
    info = module.INTERFACES[interface.name]
    perform = info.bind(_Handler(), None, _NoChannel(), _Buffers())
    table = getattr(perform, "_handles", None)
    if table is not None:
        for kind in model.handles:
            number = table.reserve(kind)
            table.fill(number, object())
            assert number == live_handle(model, kind)
    return perform


def _raise(*_: Any) -> Any:
    raise _Quiet


class _Anything(dict[int, Any]):
    def get(self, *_: Any) -> Any:
        return _raise


class _Channel:
    window = memoryview(bytearray(64))
    begin = begin_call = call = post = notify = staticmethod(_raise)


def perform(run: Callable[[Any], int], request: Any) -> str:
    out = memoryview(bytearray(b"\xdd" * request.out_bytes))
    try:
        run(Request(request.ident, memoryview(request.block), out, request.is_call))
    except BadBlock as bad:
        return f"{bad.rule} {bad.field} {bad.offset}"
    except _Quiet:
        return "accepted"
    return "answered"


@pytest.mark.parametrize(("file", "interface_name", "proc_name"), cases())
def test_each_broken_block_is_refused_with_its_place(
    file: str, interface_name: str, proc_name: str
) -> None:
    module, model = stubs(file)
    interface, proc = find(model, interface_name, proc_name)
    good = good_request(model, interface, proc)
    assert perform(receiver(module, model, interface, proc), good) in ("accepted", "answered")
    wrong: list[str] = []
    broken: list[Case] = negative_cases(model, interface, proc)
    for case in broken:
        answer = perform(receiver(module, model, interface, proc), case.request)
        if answer != f"D{case.rule} {case.field} {case.offset}":
            wrong.append(f"{case.name} at {case.offset}: {answer}")
    assert wrong == []


class _Same(_Buffers):
    """Knows buffers again that it gave out."""

    def __init__(self) -> None:
        self.known: dict[int, UmemRef] = {}

    def resolve(self, reference: UmemRef, rights: str, transfer: str, /) -> memoryview:
        view = super().resolve(reference, rights, transfer)
        self.known[id(view)] = reference
        return view

    def reference(self, buffer: Any, rights: str, transfer: str, /) -> UmemRef:
        return self.known[id(buffer)]


def requests() -> list[Any]:
    found = []
    for name in FILES:
        for interface in idl.compile_file(DATA / f"{name}.vidl").require().interfaces:
            found += [
                pytest.param(name, interface.name, proc.name, id=f"{name}.{proc.name}")
                for proc in interface.procedures
                if not any(s.type.kind == "callback" for s in proc.request.slots)
            ]
    return found


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(("file", "interface_name", "proc_name"), requests())
def test_what_a_server_got_a_client_sends_again_byte_for_byte(
    file: str, interface_name: str, proc_name: str
) -> None:
    """One encoding for every value; sizes and lengths that Python does not ask for included."""
    module, model = stubs(file)
    interface, proc = find(model, interface_name, proc_name)
    info, seen, buffers = module.INTERFACES[interface.name], Recorder(), _Same()
    given: list[Any] = []
    names = Names(model)

    class Echo:
        def __getattr__(self, name: str) -> Callable[..., Any]:
            def method(*arguments: Any) -> Any:
                given.extend(arguments[1:] if interface.callbacks else arguments)
                raise _Quiet

            return method

    rich = names.rich(interface)
    client = info.client(seen, buffers=buffers) if rich else info.client(seen)
    run = info.bind(Echo(), None, _NoChannel(), buffers)
    for kind in model.handles if rich else ():
        number = run._handles.reserve(kind)  # type: ignore[attr-defined]
        run._handles.fill(number, number)  # type: ignore[attr-defined]
    request = good_request(model, interface, proc)
    assert perform(run, request) == "accepted"
    words = [(slot, value) for (slot, _), value in zip(parameters(names, proc), given, strict=True)]
    asked = {s.name for s in proc.request.slots}
    arguments = {names.var(s.name): v for s, v in words if s.name in asked}
    with contextlib.suppress(BadBlock, errors.LinkError):  # the answer is zeros
        getattr(client, names.proc(proc))(**arguments)
    assert seen.block.hex(" ", 8) == request.block.hex(" ", 8)
