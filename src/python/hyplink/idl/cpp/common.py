"""Spellings that all parts of the C++ generator share."""

from __future__ import annotations

from hyplink.idl.cpp.expressions import Expressions, misses
from hyplink.idl.model import SCALARS, Expr, Interface, Model, Procedure, Slot, Type
from hyplink.idl.names import cpp_name, pascal, snake
from hyplink.idl.writer import Writer

__all__ = ["Names", "comment"]


def comment(out: Writer, doc: str) -> None:
    for line in doc.splitlines():
        # A backslash at the end would swallow the next line of code.
        out(f"/// {line}".rstrip().rstrip("\\"))


class Names:
    """Spells the things of one model."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.namespace = "::".join(cpp_name(p) for p in model.module.split("."))
        self._types = {e.name for e in model.own_enums()} | {s.name for s in model.own_structs()}
        self._types |= {c.name for c in model.constants} | {i.name for i in model.interfaces}
        for named in (model.tables, model.handles, model.umems, model.functions):
            self._types |= {n.rpartition(".")[2] for n in named}

    def type(self, kind: Type) -> str:
        if kind.kind == "scalar":
            return SCALARS[kind.name].cpp
        if kind.kind == "umem":
            return "hyplink::rpq::BufferRef"
        if kind.kind in ("callback", "cookie"):
            return "hyplink::rpq::Cookie"
        return self.qualified(kind.name)

    def qualified(self, full: str, suffix: str = "") -> str:
        """``module.Name`` as seen from this file's namespace."""
        module, _, name = full.rpartition(".")
        if module == self.model.module:
            return cpp_name(name) + suffix
        space = "::".join(cpp_name(p) for p in module.split("."))
        return f"::{space}::{cpp_name(name)}{suffix}"

    def var(self, name: str) -> str:
        """A parameter or member."""
        return name + "_" if name in self._types else cpp_name(name)

    def proc(self, proc: Procedure) -> str:
        return cpp_name(snake(proc.name))

    def prefix(self, interface: Interface) -> str:
        return pascal(interface.name)

    @property
    def spell(self) -> Expressions:
        return Expressions(self.var, self.qualified)

    # -- values ----------------------------------------------------------------------------------

    def value(self, slot: Slot) -> str:
        """The type of a value or fixed array."""
        kind = self.type(slot.type)
        return f"std::array<{kind}, {slot.count}>" if slot.form == "fixed" else kind

    def element(self, slot: Slot) -> str:
        return "std::byte" if slot.form == "bytes" else self.type(slot.type)

    def text(self, slot: Slot) -> str:
        """Template arguments of the nested helpers."""
        return f"{self.element(slot)}, {'true' if slot.text else 'false'}"

    def view(self, slot: Slot) -> str:
        """A present part, as it is looked at."""
        if slot.form == "string":
            return "std::string_view"
        if slot.form == "nested":
            inner = f"std::span<const {self.element(slot)}>"
            return f"std::span<const {'std::string_view' if slot.text else inner}>"
        if slot.form in ("optional", "table"):
            return self.type(slot.type)
        return f"std::span<const {self.element(slot)}>"

    def input(self, slot: Slot) -> str:
        """An input as it is stored."""
        if not slot.is_part:
            return self.value(slot)
        absent = slot.nullable or slot.form == "optional"
        return f"std::optional<{self.view(slot)}>" if absent else self.view(slot)

    def argument(self, slot: Slot) -> str:
        """An input as a parameter."""
        if slot.is_part and slot.form not in ("optional", "table"):
            return self.input(slot)
        plain = slot.form == "value" and slot.type.kind not in ("struct", "umem")
        return self.input(slot) if plain else f"const {self.input(slot)}&"

    # -- procedures ------------------------------------------------------------------------------

    def inout(self, proc: Procedure, slot: Slot) -> bool:
        return all(
            any(s.name == slot.name for s in block.slots) for block in (proc.request, proc.reply)
        )

    def is_callback(self, proc: Procedure) -> bool:
        return any(proc in i.callbacks for i in self.model.interfaces)

    def is_span(self, slot: Slot) -> bool:
        """Outputs that the caller brings the room for."""
        return slot.form in ("array", "bytes") and slot.dim == "expr"

    def is_null_result(self, slot: Slot) -> bool:
        return slot.form == "string" and slot.nullable and slot.name == "result"

    def returned(self, proc: Procedure) -> list[Slot]:
        """Outputs in the result; those that say how much another holds are said by its size."""
        said = {s.used for s in proc.reply.slots if s.used}
        return [
            s
            for s in proc.reply.slots
            if not self.is_span(s) and not self.inout(proc, s) and s.name not in said
        ]

    def given_back(self, proc: Procedure) -> list[Slot]:
        """What a handler returns: the stub makes new handles itself."""
        slots = self.returned(proc)
        return [] if len(slots) == 1 and slots[0].name == proc.creates else slots

    def output(self, slot: Slot) -> str:
        if slot.form == "string":
            kind = "std::string"
            return f"std::optional<{kind}>" if self.is_null_result(slot) else kind
        if slot.form in ("array", "bytes"):
            return f"std::vector<{self.element(slot)}>"
        return self.type(slot.type) if slot.form == "table" else self.value(slot)

    def _several(self, slots: list[Slot], name: str) -> str:
        if not slots:
            return "void"
        return self.output(slots[0]) if len(slots) == 1 else name

    def result(self, interface: Interface, proc: Procedure) -> str:
        name = f"{self.prefix(interface)}{pascal(snake(proc.name))}Reply"
        return self._several(self.returned(proc), name)

    def outcome(self, interface: Interface, proc: Procedure, *, handler: bool = False) -> str:
        """What a client function, or a handler's, returns."""
        if handler and proc.kind == "async":
            return "void"
        name = f"{self.prefix(interface)}{pascal(snake(proc.name))}Reply"
        slots = self.given_back(proc) if handler else self.returned(proc)
        value = self._several(slots, name)
        if proc.throws:
            return f"hyplink::rpq::Outcome<{value}, {self.qualified(proc.throws)}>"
        return "hyplink::Status" if value == "void" else f"hyplink::Result<{value}>"

    def cookie_of(self, proc: Procedure) -> set[str]:
        return {s.cookie for s in proc.request.slots if s.type.kind == "callback" and s.cookie}

    def parameters(self, proc: Procedure, *, sender: bool) -> list[tuple[str, str]]:
        """(type, name) as seen by who sends the request, or by who receives it."""
        inputs = {s.name: s for s in proc.request.slots}
        outputs = {s.name: s for s in proc.reply.slots}
        said = {s.used for s in proc.reply.slots if s.used}
        words = []
        for name in proc.params:
            slot, back = inputs.get(name), outputs.get(name)
            if slot is not None and back is not None:
                kind = self._inout(slot)
            elif slot is not None:
                if sender and name in self.cookie_of(proc):
                    continue
                if slot.type.kind == "cookie" and not sender and self.is_callback(proc):
                    continue  # it has found the function that is called
                kind = self._input(slot, sender)
            elif back is not None and self.is_span(back) and name not in said:
                kind = f"std::span<{self.element(back)}>"
            else:
                continue
            words.append((kind, self.var(name)))
        if proc.creates and not sender:
            fresh = outputs[proc.creates]
            words.append((self.type(fresh.type), f"_new_{fresh.name}"))
        return words

    def _input(self, slot: Slot, sender: bool) -> str:
        if slot.type.kind == "callback" and sender:
            return f"{pascal(slot.type.name.rpartition('.')[2])}Function"
        if slot.type.kind == "umem" and not sender:
            return "const hyplink::rpq::Buffer&"
        return self.argument(slot)

    def _inout(self, slot: Slot) -> str:
        if slot.form == "string":
            return "std::string&"
        if slot.form in ("array", "bytes"):
            return f"std::span<{self.element(slot)}>"
        return f"{self.value(slot)}&"

    def arguments(self, proc: Procedure, *, sender: bool, types: bool = True) -> str:
        words = self.parameters(proc, sender=sender)
        return ", ".join(f"{kind} {name}" if types else name for kind, name in words)

    def can_miss(self, nodes: list[Expr]) -> bool:
        """Whether one of these may refuse its request."""
        return any(misses(n) for n in nodes)

    def sets(self, proc: Procedure) -> list[str]:
        """Statements that change the shadow state: all values first, from the state as it was."""
        spell, lines, assign = self.spell, [], []
        for index, item in enumerate(proc.sets):
            lines.append(f"const auto _set{index} = {spell.expr(item.value, 'i64')};")
            done = f"_state.{cpp_name(item.var)} = static_cast<decltype(_state.{cpp_name(item.var)})>(_set{index});"
            if item.when is not None:
                lines.append(f"const bool _when{index} = {spell.test(item.when)};")
                done = f"if (_when{index}) {done}"
            assign.append(done)
        return lines + assign

    # -- ranges ----------------------------------------------------------------------------------

    def outside(self, slot: Slot, value: str) -> str:
        """A condition: ``value`` is out of the declared range; empty if there is none."""
        info = SCALARS[slot.type.name] if slot.type.kind == "scalar" else None
        if info is None or not info.integer:
            return ""
        suffix = "U" if info.low == 0 else ""

        def literal(number: int) -> str:
            if number == -(1 << 63):
                return "INT64_MIN"
            return f"{number}{suffix}" if abs(number) < 1 << 31 else f"{number}{suffix}LL"

        if slot.choices:
            return " && ".join(f"{value} != {literal(v)}" for v in slot.choices)
        tests = []
        if slot.low is not None and slot.low > info.low:
            tests.append(f"{value} < {literal(slot.low)}")
        if slot.high is not None and slot.high < info.high:
            tests.append(f"{value} > {literal(slot.high)}")
        return " || ".join(tests)

    def range_check(self, slot: Slot, var: str, fail: str) -> list[str]:
        """Statements that fail when a value, or an element, is out of the declared range."""
        if slot.form == "fixed":
            test = self.outside(slot, "_v")
            return (
                [f"for (const auto _v : {var}) {{", f"    if ({test}) {fail}", "}"] if test else []
            )
        test = self.outside(slot, var)
        return [f"if ({test}) {fail}"] if test else []
