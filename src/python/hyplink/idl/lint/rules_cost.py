"""Ranges, copies, round trips and lost peers: what an interface costs those who use it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from hyplink.idl.expr_text import size_text
from hyplink.idl.lint.core import Rule, Subject, procedures_of
from hyplink.idl.model import Expr, Procedure, Slot

__all__ = ["COST_RULES"]

_LARGE = 64 << 10
_STEADY = re.compile(r"(?i)(max|min|limit|version|name|vendor|renderer|caps?|info|string|count)")
_ASKS = re.compile(r"(gl|egl|vk|cl)?(get|query|list|enumerate|describe)", re.IGNORECASE)


def _args(expr: Expr) -> Iterator[str]:
    if expr.op == "arg":
        yield expr.name
    for arg in expr.args:
        yield from _args(arg)


def _bytes(slot: Slot) -> int:
    return slot.max * (slot.type.size if slot.form == "array" else 1)


def _ranges(subject: Subject) -> None:
    for interface in subject.model.interfaces:
        for proc in procedures_of(interface):
            plain = {s.name: s for s in proc.request.slots if s.form == "value"}
            said: set[str] = set()
            for slot in (*proc.request.parts, *proc.reply.parts):
                if slot.length is None or slot.dim not in ("expr", "cap"):
                    continue
                if slot.length.high <= slot.max:
                    continue
                for name in _args(slot.length):
                    other = plain.get(name)
                    if other is None or name in said or other.type.kind != "scalar":
                        continue
                    if other.low is None and not other.choices:
                        said.add(name)
                        subject.say(
                            f"{interface.name}.{proc.name}.{name}",
                            f"'{name}' has no range, so only 'max {size_text(slot.max)}' of "
                            f"'{slot.name}' bounds it",
                            f"for example 'in 0..{size_text(slot.max)}'",
                        )


def _copies(subject: Subject) -> None:
    for interface in subject.model.interfaces:
        for proc in procedures_of(interface):
            for slot in proc.request.parts:
                if slot.copy and _bytes(slot) >= _LARGE and slot.form in ("bytes", "array"):
                    subject.say(
                        f"{interface.name}.{proc.name}.{slot.name}",
                        f"up to {size_text(_bytes(slot))} are copied before the handler sees them",
                        "'@zero_copy' if they are neither parsed nor used as indexes",
                    )


def _waits(subject: Subject) -> None:
    for interface in subject.model.interfaces:
        for proc in interface.procedures:
            silent = not proc.reply.slots and not proc.throws and not proc.creates
            if (
                proc.kind == "sync"
                and silent
                and not re.search(
                    r"(?i)finish|wait|sync|flush|ping|destroy|close|barrier", proc.name
                )
            ):
                subject.say(
                    f"{interface.name}.{proc.name}",
                    f"'{proc.name}' waits for an answer that says nothing",
                    "'async' lets the caller go on; keep 'sync' if the waiting is the point",
                )


def _lost(subject: Subject) -> None:
    for interface in subject.model.interfaces:
        if "c" not in interface.attributes:
            continue
        for proc in interface.procedures:
            if proc.kind != "sync" or not proc.has_result or proc.on_lost is not None:
                continue
            result = next((s for s in proc.reply.slots if s.name not in proc.params), None)
            if result is not None and result.form == "value" and not proc.throws:
                subject.say(
                    f"{interface.name}.{proc.name}",
                    f"what does '{proc.name}' return in C when the server is lost?",
                    "add 'on_lost VALUE': a C face has no other way to say it",
                )


def _cacheable(subject: Subject) -> None:
    for interface in subject.model.interfaces:
        for proc in interface.procedures:
            if proc.kind == "sync" and not proc.cacheable and _steady(proc):
                subject.say(
                    f"{interface.name}.{proc.name}",
                    f"'{proc.name}' looks as if its answer never changes",
                    "'@cacheable' answers from the client, '@cacheable(until: PROC)' until PROC runs",
                )


def _steady(proc: Procedure) -> bool:
    asks = proc.request.slots
    if proc.sets or proc.creates or proc.destroys or not proc.reply.slots:
        return False
    if any(slot.type.kind not in ("enum", "scalar") or slot.is_part for slot in asks):
        return False
    named = _ASKS.match(proc.name) and _STEADY.search(proc.name)
    return bool(named) and len(asks) <= 1 and "error" not in proc.name.lower()


COST_RULES = (
    Rule(
        "LINT10",
        "no-range",
        "A length that depends on a parameter without a range is bounded by 'max' alone: the caller\n"
        "learns of a wrong value when the whole block is refused, not when the parameter is, and\n"
        "the worst case in the reference says nothing. Give the parameter its real range.",
        _ranges,
    ),
    Rule(
        "LINT11",
        "large-copy",
        "Inputs are copied out of shared memory before a handler sees them, so that a client cannot\n"
        "change them meanwhile. From 64 KiB on that costs more than the call. '@zero_copy' hands\n"
        "them out in place: right for data that is only passed on, wrong for what is parsed.",
        _copies,
    ),
    Rule(
        "LINT12",
        "sync-without-result",
        "A synchronous procedure without results stops its caller for a round trip. If it is not the\n"
        "waiting that is wanted (finish, flush, close), 'async' does the same in order and for free.",
        _waits,
    ),
    Rule(
        "LINT13",
        "no-on-lost",
        "Behind a C face a function returns a value and nothing else. 'on_lost' says which value a\n"
        "caller gets when the server has died; without it that is 0, which may be a valid answer.",
        _lost,
    ),
    Rule(
        "LINT14",
        "cacheable",
        "Round trips for answers that never change (limits, strings, counts) are what slows API\n"
        "remoting down most. '@cacheable' asks once a session.",
        _cacheable,
    ),
)
