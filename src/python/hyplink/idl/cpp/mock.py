"""A server that answers with the smallest legal values, to begin with or to test against."""

from __future__ import annotations

from hyplink.idl.cpp.common import Names
from hyplink.idl.model import Interface, Model, Procedure, Slot
from hyplink.idl.names import cpp_name, pascal, snake
from hyplink.idl.writer import Writer

__all__ = ["generate"]


def generate(model: Model) -> dict[str, str]:
    """File name to text: ``STEM_mock.hpp`` beside ``STEM.hpp``."""
    out, names = Writer(), Names(model)
    out(f"// Generated from {model.stem}.vidl by hyplink idl; changes here are lost.")
    out("#pragma once", "", f'#include "{model.stem}.hpp"', "")
    out(f"namespace {names.namespace} {{", "")
    for interface in model.interfaces:
        _mock(out, names, interface)
    out(f"}}  // namespace {names.namespace}")
    return {f"{model.stem}_mock.hpp": out.text()}


def _mock(out: Writer, names: Names, interface: Interface) -> None:
    prefix = names.prefix(interface)
    out("/// Override what matters; the rest answers with the smallest legal values.")
    with out.block(f"class {prefix}Mock : public {prefix}Handler {{", "};"):
        out("public:", "std::uint64_t calls = 0;", "")
        for proc in interface.procedures:
            kind = names.outcome(interface, proc, handler=True)
            kinds = ", ".join(kind for kind, _ in names.parameters(proc, sender=False))
            with out.block(f"{kind} {names.proc(proc)}({kinds}) override {{", "}"):
                out("++calls;")
                out(*_answer(names, interface, proc))
    out("")


def _answer(names: Names, interface: Interface, proc: Procedure) -> list[str]:
    slots = names.given_back(proc)
    if proc.kind == "async":
        return []
    if not slots:
        return ["return {};"]
    if len(slots) == 1:
        kind = names.output(slots[0])
        return [f"return {_smallest(names, slots[0]) or f'{kind}{{}}'};"]
    lines = [f"{names.prefix(interface)}{pascal(snake(proc.name))}Reply answer;"]
    for slot in slots:
        if value := _smallest(names, slot):
            lines.append(f"answer.{names.var(slot.name)} = {value};")
    return [*lines, "return answer;"]


def _smallest(names: Names, slot: Slot) -> str:
    """A legal value where the type's zero may be none."""
    if slot.form != "value":
        return ""
    if slot.type.kind == "enum":
        first = names.model.enums[slot.type.name].members[0].name
        return f"{names.type(slot.type)}::{cpp_name(first)}"
    if slot.type.kind == "scalar" and (slot.choices or (slot.low or 0) > 0):
        number = slot.choices[0] if slot.choices else slot.low
        return f"static_cast<{names.type(slot.type)}>({number})"
    return ""
