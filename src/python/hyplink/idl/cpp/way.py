"""Which way a request goes, and the room that its answer needs: what sending and hearing the answer share."""

from __future__ import annotations

from dataclasses import dataclass

from hyplink.idl.layout import part_bytes
from hyplink.idl.model import Interface, Procedure, Slot
from hyplink.idl.names import snake

__all__ = ["Way", "capacity", "room"]


@dataclass(slots=True)
class Way:
    """Which way a request goes, and what else happens when it does."""

    interface: Interface
    proc: Procedure
    #: In front of the channel's verbs: ``callback_`` for what a server sends.
    verb: str = ""
    #: Arguments of ``begin`` behind the size.
    begin: str = ""
    #: A sender that cannot fail answers this instead.
    lost: str = ""
    #: Registrations of callbacks: the member for each callback parameter.
    registries: dict[str, str] | None = None
    #: Statements around the exchange: a cache that is asked first, and one that is filled.
    before: tuple[str, ...] = ()
    keep: str = ""

    @property
    def full(self) -> str:
        return f'"{self.interface.name}.{self.proc.name}"'

    @property
    def until(self) -> str:
        """The deadline of a call that has one of its own."""
        return "_until" if self.verb and self.proc.timeout else ""

    @property
    def space(self) -> str:
        """Namespace prefix of this procedure's things."""
        called = "_callback" if self.proc in self.interface.callbacks else ""
        return snake(self.interface.name) + called


def capacity(proc: Procedure) -> str:
    """Bytes of a whole answer."""
    terms = [str(proc.reply.fixed), *(room(s) for s in proc.reply.parts)]
    return terms[0] if len(terms) == 1 else f"static_cast<std::uint32_t>({' + '.join(terms)})"


def room(slot: Slot) -> str:
    """Bytes that a part of an answer may take; the next one lies behind them."""
    if slot.length is None or slot.dim == "reply" or (slot.form == "string" and slot.dim != "cap"):
        return str(part_bytes(slot))
    return f"hyplink::rpq::round8(static_cast<std::uint64_t>(_n_{slot.name}) * {slot.type.size}U)"
