"""What a generator cannot do yet is an error with a place, never wrong code.

A generator keeps the features it lacks in a set and calls ``require`` first; a feature leaves the
set with the code that supports it.
"""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Set as AbstractSet

from hyplink.errors import IdlError
from hyplink.idl.model import Block, Expr, Interface, Model, Procedure, Slot

__all__ = ["FEATURES", "Unsupported", "features", "require"]

FEATURES = frozenset(
    [
        "sizefn",  # a call of a function in a length, a match
        "state",  # state variables and 'sets'
        "nullable",  # '?' at a part, a handle, a callback or an output
        "optional",  # form optional: '?' at a value
        "implied",
        "carried",  # a length that only the sender can compute
        "nested",
        "reply",  # dim reply
        "cap",  # dim cap
        "until",  # dim until
        "inout",
        "string result",
        "custom",  # @custom(client)
        "hidden",
        "before",
        "cacheable",
        "handle",
        "creates",
        "destroys",
        "throws",
        "table",
        "callback",  # callbacks of an interface and 'callback' parameters
        "cookie",
        "sync callback",
        "drop",  # @drop_oldest, @drop_newest
        "timeout",
        "umem",
        "large",
        "address",
    ]
)


class Unsupported(IdlError):
    """The interface is fine, but a generator lacks something that it uses."""


def _calls(expr: Expr | None) -> bool:
    return expr is not None and (expr.op in ("call", "match") or any(map(_calls, expr.args)))


def _slot(slot: Slot) -> Iterator[str]:
    if slot.form in ("optional", "nested", "table"):
        yield slot.form
    elif slot.nullable:
        yield "nullable"
    if slot.form == "nested" and slot.nullable:
        yield "nullable"
    if slot.dim in ("carried", "reply", "cap", "until"):
        yield slot.dim
    if slot.form == "nested" and slot.inner_dim == "carried":
        yield "carried"
    if _calls(slot.length) or _calls(slot.inner):
        yield "sizefn"
    if slot.type.kind in ("handle", "umem", "callback", "cookie"):
        yield slot.type.kind
    if slot.type.name == "address":
        yield "address"
    if slot.large:
        yield "large"


def _block(block: Block) -> Iterator[tuple[str, str]]:
    for slot in block.slots:
        for name in _slot(slot):
            yield name, slot.name


def _procedure(proc: Procedure, *, callback: bool) -> Iterator[tuple[str, str]]:
    yield from _block(proc.request)
    yield from _block(proc.reply)
    incoming = {s.name for s in proc.request.slots}
    for slot in proc.reply.slots:
        if slot.name in incoming and slot.name in proc.params:
            yield "inout", slot.name
    for slot in proc.implied:
        yield "implied", slot.name
    if proc.has_result and proc.reply.slots[0].form == "string":
        yield "string result", ""
    policies = {
        "state": bool(proc.sets),
        "creates": bool(proc.creates),
        "destroys": bool(proc.destroys),
        "throws": bool(proc.throws),
        "cacheable": bool(proc.cacheable),
        "custom": "custom" in proc.attributes,
        "hidden": "hidden" in proc.attributes,
        "before": "before" in proc.attributes,
        "callback": callback,
        "sync callback": callback and proc.kind == "sync",
        "drop": bool(proc.drop),
        "timeout": bool(proc.timeout),
    }
    yield from ((name, "") for name, used in policies.items() if used)


def _interface(interface: Interface) -> Iterator[tuple[str, str]]:
    for var in interface.state:
        yield "state", f"{interface.name}.state.{var.name}"
    for procs, callback in ((interface.procedures, False), (interface.callbacks, True)):
        for proc in procs:
            for feature, slot in _procedure(proc, callback=callback):
                where = f"{interface.name}.{proc.name}" + (f", '{slot}'" if slot else "")
                yield feature, f"{where} (line {proc.line})"


def features(model: Model) -> list[tuple[str, str]]:
    """(feature, place) of everything beyond plain requests and replies, in the text's order."""
    return [pair for interface in model.interfaces for pair in _interface(interface)]


def require(model: Model, language: str, missing: AbstractSet[str]) -> None:
    """Refuse a model that uses one of ``missing``.

    Raises:
        Unsupported: lists each construct with the place of its first use.
    """
    unknown = missing - FEATURES
    if unknown:
        raise ValueError(f"no such features: {', '.join(sorted(unknown))}")
    first: dict[str, str] = {}
    for feature, place in features(model):
        if feature in missing:
            first.setdefault(feature, place)
    if first:
        lines = [f"  {name}: {place}" for name, place in first.items()]
        raise Unsupported(
            f"{model.stem}.vidl uses what the {language} generator cannot do yet:\n"
            + "\n".join(lines)
        )
