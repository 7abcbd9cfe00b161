"""Who a received request calls, how its refusal is spelt, and its lengths: what checking and answering share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hyplink.idl.cpp.common import Names
from hyplink.idl.model import Interface, Procedure, Slot
from hyplink.idl.names import snake
from hyplink.idl.writer import Writer

__all__ = ["Bad", "Target", "count_of_output", "evaluate"]

#: Spells a refusal from rule, field and offset.
Bad = Callable[[str, str, int], str]


@dataclass(slots=True)
class Target:
    """Who is called, and with what at hand."""

    interface: Interface
    proc: Procedure
    #: The function to call.
    call: str
    #: Where the handles are, and the buffers; "" where there can be none.
    handles: str = ""
    buffers: str = ""
    #: Statements between the checks and the call.
    before: tuple[str, ...] = ()

    @property
    def space(self) -> str:
        called = "_callback" if self.proc in self.interface.callbacks else ""
        return snake(self.interface.name) + called

    def bad(self, names: Names) -> Bad:
        ident = f"{self.space}_proc::{names.proc(self.proc)}"

        def spell(rule: str, field: str, offset: int) -> str:
            return f'return hyplink::rpq::reject(_why, {ident}, {rule}, "{field}", {offset});'

        return spell


def evaluate(out: Writer, names: Names, slot: Slot, bad: Bad, most: int = 0) -> None:
    """Evaluate the length from what was loaded; it is the only length that counts."""
    assert slot.length is not None
    spell = names.spell
    kind = spell.width(slot.length)
    cast = "std::int64_t" if kind == "i64" else "std::uint64_t"
    most = most or slot.max
    tests = []
    if slot.length.low < 0:
        tests.append(f"_v_{slot.name} < 0")
    if slot.length.high > most:
        tests.append(f"_v_{slot.name} > {most}{'U' if kind == 'u64' else ''}")
    out(f"const {cast} _v_{slot.name} = {spell.expr(slot.length, kind)};")
    if names.can_miss([slot.length]):
        out(f"if (_miss) {bad('5', slot.name, slot.offset)}")
    if tests:
        out(f"if ({' || '.join(tests)}) {bad('4', slot.name, slot.offset)}")
    out(f"const std::uint64_t _n_{slot.name} = static_cast<std::uint64_t>(_v_{slot.name});")


def count_of_output(out: Writer, names: Names, slot: Slot, bad: Bad) -> None:
    """The length of an output, as far as the inputs give it."""
    evaluate(out, names, slot, bad, slot.max + 1 if slot.form == "string" else slot.max)
