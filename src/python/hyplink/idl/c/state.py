"""State variables: shadowed for each channel on both sides."""

from __future__ import annotations

from hyplink.idl.c.common import Names, comment
from hyplink.idl.c.expr import Scope, calls
from hyplink.idl.model import Interface, Procedure
from hyplink.idl.writer import Writer

__all__ = ["has_state", "state_init", "state_struct", "updates"]


def has_state(interface: Interface) -> bool:
    return bool(interface.state)


def state_struct(out: Writer, names: Names, interface: Interface) -> None:
    prefix = names.prefix(interface)
    out("/** Kept on both sides; requests come in order, so both agree without traffic. */")
    with out.block(f"typedef struct {prefix}_state {{", f"}} {prefix}_state;"):
        for item in interface.state:
            comment(out, item.doc)
            out(f"{names.type(item.type)} {item.name};")
    out("")


def state_init(out: Writer, names: Names, interface: Interface) -> None:
    prefix = names.prefix(interface)
    with out.block(f"static inline void {prefix}_state_init({prefix}_state* state) {{", "}"):
        for item in interface.state:
            out(f"state->{item.name} = ({names.type(item.type)}){item.initial};")
    out("")


def updates(
    out: Writer, names: Names, interface: Interface, proc: Procedure, scope: Scope, state: str
) -> None:
    """What the procedure sets, in order; a later line sees the earlier one's value."""
    if any(calls(n) for item in proc.sets for n in (item.value, item.when) if n is not None):
        # A value that nothing matches has been refused with the arguments, or changes nothing here.
        out("int _miss_sets = 0;")
        scope.miss = "&_miss_sets"
    types = {item.name: item.type for item in interface.state}
    for item in proc.sets:
        line = f"{state}{item.var} = ({names.type(types[item.var])}){scope.text(item.value)};"
        out(f"if ({scope.test(item.when)}) {line}" if item.when is not None else line)
