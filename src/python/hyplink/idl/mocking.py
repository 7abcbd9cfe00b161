"""A server that answers without being written: zeros, defaults, or what the test says.

    bench.vm(2).start(idl.mock(gles, {"get_error": gles.GlError.INVALID_ENUM}).guest("vogl0"))

An answer may be a value, a function of the handler's arguments, or an exception to raise. What is
not given is the smallest value that the interface allows. Every request is kept in ``calls``.
"""

from __future__ import annotations

import importlib
import sys
import types
from collections.abc import Callable, Mapping
from typing import Any

from hyplink.idl.evaluate import NoValue, value_of
from hyplink.idl.model import SCALARS, Interface, Model, Procedure, Slot, Type
from hyplink.idl.names import snake
from hyplink.idl.python.common import Names
from hyplink.idl.python.server import parameters, returned

__all__ = ["Mock", "MockObject", "mock", "model_of"]


class MockObject:
    """What a mock gives out where an interface creates something."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def __repr__(self) -> str:
        return f"<mock {self.kind.rpartition('.')[2]}>"


class Mock:
    """The handler of one interface. It goes to another process like any handler."""

    def __init__(
        self,
        module: types.ModuleType,
        model: Model,
        interface: Interface,
        answers: Mapping[str, Any],
    ) -> None:
        self._module, self._model, self._interface = module.__name__, model, interface
        names = Names(model)
        self._procs = {names.proc(p): p for p in interface.procedures}
        unknown = set(answers) - set(self._procs)
        if unknown:
            raise LookupError(f"{interface.name} has no procedure {', '.join(sorted(unknown))}")
        self.answers = dict(answers)
        #: (procedure, arguments) of every request.
        self.calls: list[tuple[str, tuple[Any, ...]]] = []
        self._objects: dict[str, MockObject] = {}

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("_") or name not in self._procs:
            raise AttributeError(name)

        def method(*arguments: Any) -> Any:
            return self._perform(name, arguments)

        return method

    def _perform(self, name: str, arguments: tuple[Any, ...]) -> Any:
        proc = self._procs[name]
        given = arguments[1:] if self._interface.callbacks else arguments
        kept = tuple(bytes(a) if isinstance(a, memoryview) else a for a in given)
        self.calls.append((name, kept))
        if name in self.answers:
            answer = self.answers[name]
            if isinstance(answer, BaseException):
                raise answer
            return answer(*given) if callable(answer) else answer
        names = Names(self._model)
        slots = [slot for slot, _ in parameters(names, proc)]
        values = {s.name: a for s, a in zip(slots, given, strict=True)}
        found = tuple(self._zero(proc, slot, values) for slot in returned(names, proc))
        if not found:
            return None
        return found[0] if len(found) == 1 else found

    def listing(self) -> list[str]:
        """One line a procedure that answers: what it answers, as far as no argument matters."""
        names, lines = Names(self._model), []
        for name, proc in self._procs.items():
            outputs = returned(names, proc)
            if name in self.answers:
                lines.append(f"{name} -> {self.answers[name]!r}")
            elif outputs:
                zeros = [self._zero(proc, slot, {}) for slot in outputs]
                lines.append(f"{name} -> {zeros[0] if len(zeros) == 1 else tuple(zeros)!r}")
        return lines

    # -- the smallest value of everything ----------------------------------------------------------

    def _zero(self, proc: Procedure, slot: Slot, values: Mapping[str, Any]) -> Any:
        if slot.name in values:  # inout: as it came
            return values[slot.name]
        if slot.nullable:
            return None
        if slot.form == "string":
            return ""
        count = slot.count
        if slot.form in ("array", "bytes"):
            numbers = {k: int(v) for k, v in values.items() if isinstance(v, int)}
            try:
                length = slot.length if slot.dim == "expr" else None
                count = 0 if length is None else value_of(self._model, length, numbers, {})
            except (NoValue, KeyError):
                count = 0
        if slot.form == "bytes" or (slot.form == "fixed" and slot.type.name == "u8"):
            return bytes(count)
        if slot.form in ("array", "fixed"):
            return [self._one(proc, slot) for _ in range(count)]
        return self._one(proc, slot)

    def _one(self, proc: Procedure | None, slot: Slot) -> Any:
        kind = slot.type
        if kind.kind == "handle":
            if proc is not None and not proc.creates:
                return self._objects.get(kind.name)
            self._objects[kind.name] = MockObject(kind.name)
            return self._objects[kind.name]
        if slot.default is not None:
            return slot.default
        if kind.kind == "enum":
            values = [m.value for m in self._model.enums[kind.name].members]
            value = 0 if 0 in values else values[0]
            return self._class(kind)(value)
        if kind.kind in ("struct", "table"):
            members = (
                self._model.structs[kind.name].slots
                if kind.kind == "struct"
                else self._model.tables[kind.name].slots
            )
            return self._class(kind)(
                **{snake(s.name): self._zero(_NO_PROC, s, {}) for s in members}
            )
        if not SCALARS[kind.name].integer if kind.kind == "scalar" else False:
            return 0.0
        low = slot.low or 0
        value = slot.choices[0] if slot.choices else max(low, 0) if low >= 0 else 0
        if slot.high is not None and value > slot.high:
            value = slot.high
        return bool(value) if kind.name == "bool" else value

    def _class(self, kind: Type) -> Any:
        module, _, name = kind.name.rpartition(".")
        home = sys.modules.get(self._module) or importlib.import_module(self._module)
        if module != self._model.module:
            stem = self._model.modules[module]
            home = importlib.import_module(f"{home.__package__}.{stem}")
        return getattr(home, name)

    # -- serving -----------------------------------------------------------------------------------

    def guest(self, device: str) -> Any:
        """What ``vm.start`` takes: a server of this mock at ``device``."""
        home = sys.modules[self._module]
        return getattr(home, f"{snake(self._interface.name)}_serve")(device, self)


_NO_PROC = Procedure("", 0, "sync", [], None, None, creates="x")  # type: ignore[arg-type]


def model_of(module: types.ModuleType) -> Model:
    """The model that a loaded module was made from.

    Raises:
        LookupError: the module was generated to a file; load its ``.vidl`` instead.
    """
    found = getattr(module, "__hyplink_model__", None)
    if not isinstance(found, Model):
        raise LookupError(f"{module.__name__} was not made by hyplink.idl.load()")
    return found


def mock(
    module: types.ModuleType, answers: Mapping[str, Any] | None = None, *, interface: str = ""
) -> Mock:
    """A handler for a loaded interface that answers with ``answers``, else zeros and defaults.

    Args:
        module: what `load` returned.
        answers: by procedure, spelt as in Python: a value, a function, or an exception.
        interface: which one, where the module has several.
    """
    model = model_of(module)
    wanted = [i for i in model.interfaces if interface in ("", i.name)]
    if len(wanted) != 1:
        names = ", ".join(i.name for i in model.interfaces)
        raise LookupError(f"say which interface: {names}")
    return Mock(module, model, wanted[0], answers or {})
