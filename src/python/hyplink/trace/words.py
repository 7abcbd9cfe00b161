"""Events as sentences."""

from __future__ import annotations

import errno
from collections.abc import Callable

from hyplink.trace.records import EventKind, Record
from hyplink.units import count, duration, size

__all__ = ["LINK_STATES", "ROLES", "VM_STATES", "procedure", "sentence"]

VM_STATES = ("OFF", "BOOTING", "RUNNING", "STOPPING", "DEAD")
LINK_STATES = ("OFF", "RESET", "ON")
ROLES = ("server", "client")
_RESOURCES = ("PMEM", "PDEV", "PXIRQ", "port")
_SENT, _WOKE = 1, 2
#: Why one side of a control connection ended it: ``Dropped`` of base/journal.hpp.
DROPPED = (
    "no reason",
    "it does not read what it is told",
    "it sent what is no message",
    "no room for it",
    "their connection failed",
)


def _name(names: tuple[str, ...], index: int) -> str:
    return names[index] if index < len(names) else f"?{index}"


def procedure(number: int) -> str:
    """Group and function of a procedure: ``2.16``."""
    return f"{number >> 16}.{number & 0xFFFF}"


def _who(event: Record) -> str:
    if event.vm == 0:
        return "hypervisor"
    return f"VM {event.vm} app {event.app}" if event.app else f"VM {event.vm}"


def _channel(event: Record, verb: str) -> str:
    return f"{_who(event)} {verb} {event.link} channel {event.a}"


def _end(event: Record) -> str:
    return f"VM {event.subject or '?'} {event.link} {_name(ROLES, event.a)}"


def _vm_state(event: Record) -> str:
    return f"VM {event.c} {_name(VM_STATES, event.b)}→{_name(VM_STATES, event.a)}"


def _link_state(event: Record) -> str:
    return f"{_end(event)} {_name(LINK_STATES, event.c)}→{_name(LINK_STATES, event.b)}"


def _link_refused(event: Record) -> str:
    asked, kept = _name(LINK_STATES, event.b), _name(LINK_STATES, event.c)
    return f"{_end(event)} asked for {asked}: refused, stays {kept}"


def _sysconf(event: Record) -> str:
    return f"SYSCONF to VM {event.a}" + (", woke" if event.b else "")


def _xirq(event: Record) -> str:
    woke = "woke" if event.c else "it was awake"
    return f"XIRQ {event.a} of {event.link} to VM {event.b}: {woke}"


def _session(verb: str) -> Callable[[Record], str]:
    def words(event: Record) -> str:
        return f"{_who(event)} {event.link} session {event.a} {verb} ({_name(ROLES, event.b)})"

    return words


def _channel_open(event: Record) -> str:
    role = _name(ROLES, event.b)
    return f"{_who(event)} {event.link} channel {event.a} opened ({role}), port of {size(event.c)}"


def _notify(event: Record) -> str:
    rung = "no XIRQ, the peer is awake"
    if event.c & _SENT:
        rung = "XIRQ sent, woke" if event.c & _WOKE else "XIRQ sent"
    return f"{_channel(event, 'notify')}: {count(event.b, 'request')}, {rung}"


def _reply(event: Record) -> str:
    reason = ""
    if event.c:
        reason = f", reason {errno.errorcode.get(event.c, event.c)}"
    return f"{_channel(event, 'reply')}: procedure {procedure(event.b)}{reason}"


def _handled(event: Record) -> str:
    status = f", status {errno.errorcode.get(event.c, event.c)}" if event.c else ""
    return f"{_channel(event, 'callback')}: procedure {procedure(event.b)} handled{status}"


def _corrupt(event: Record) -> str:
    # The number is the first eight letters of the field's name.
    letters = event.b.to_bytes(8, "little").rstrip(b"\0")
    plain = letters.isascii() and letters.decode("ascii", "replace").isprintable() and letters
    field = letters.decode() if plain else f"{event.b:#x}"
    return f"{_channel(event, 'finds')} corrupt: {field} holds {event.c:#x}"


def _resource(event: Record) -> str:
    what = _name(_RESOURCES, event.a)
    amount = count(event.c, "number") if event.a == 2 else size(event.c)
    return f"{event.link} {what} {event.b} allocated: {amount}"


def _app_end(event: Record) -> str:
    how = "died without closing" if event.b else "closed"
    return f"{_who(event)} app {event.a} {how}"


def _dropped(who: str, event: Record) -> str:
    why = _name(DROPPED, event.b)
    return f"{who} dropped: {why} ({errno.errorcode.get(event.c, event.c)})"


def _program_end(event: Record) -> str:
    number = event.b & 0x7F
    how = f"signal {number}" if number else f"exit status {event.b >> 8 & 0xFF}"
    return f"{_who(event)} program {event.a} ended: {how}, after {event.c} ms"


def _memory(verb: str, to: str) -> Callable[[Record], str]:
    def words(event: Record) -> str:
        exporter = f"VM {event.a >> 16}" if event.a >> 16 else _who(event)
        return f"{exporter} {verb} {size(event.c)} at {event.b:#x} {to} VM {event.a & 0xFFFF}"

    return words


_DMA_FAULTS = {
    1: "nothing there that it may touch",
    2: "granted, but not for DMA",
    3: "not for writing",
    4: "the object cannot be read or written",
}

_WORDS: dict[EventKind, Callable[[Record], str]] = {
    EventKind.NONE: lambda e: f"{_who(e)} event {e.number}: {e.a}, {e.b}, {e.c}",
    EventKind.VM_STATE: _vm_state,
    EventKind.LINK_STATE: _link_state,
    EventKind.LINK_REFUSED: _link_refused,
    EventKind.LINK_FORCED: lambda e: f"{_end(e)} taken OFF by the hypervisor",
    EventKind.SYSCONF: _sysconf,
    EventKind.XIRQ: _xirq,
    EventKind.XIRQ_REFUSED: lambda e: f"VM {e.c} XIRQ {e.a} to VM {e.b}: refused",
    EventKind.APP_START: lambda e: f"{_who(e)} app {e.a} starts",
    EventKind.APP_END: _app_end,
    EventKind.SESSION_OPEN: _session("opened"),
    EventKind.SESSION_ABORT: _session("aborted"),
    EventKind.SESSION_CLOSE: _session("closed"),
    EventKind.CHANNEL_OPEN: _channel_open,
    EventKind.CHANNEL_CLOSE: lambda e: (
        f"{_who(e)} {e.link} channel {e.a} closed ({_name(ROLES, e.b)})"
    ),
    EventKind.NOTIFY: _notify,
    EventKind.RECEIVE: lambda e: f"{_channel(e, 'receive')}: {count(e.b, 'request')}",
    EventKind.CALL: lambda e: (
        f"{_channel(e, 'call')}: procedure {procedure(e.b)} answered after {duration(e.c)}"
    ),
    EventKind.REPLY: _reply,
    EventKind.CORRUPT: _corrupt,
    EventKind.RESOURCE: _resource,
    EventKind.PEER_DEATH: lambda e: f"{_channel(e, 'EPIPE on')}: {count(e.b, 'request')} lost",
    EventKind.MARK: lambda e: f"mark {e.a}, {e.b}, {e.c}",
    EventKind.GRANT: _memory("grants", "to"),
    EventKind.DENY: _memory("denies", "to"),
    EventKind.GRANT_MAP: _memory("memory opened:", "for"),
    EventKind.GRANT_REVOKED: _memory("loses its grant of", "to"),
    EventKind.HOLD_MISSED: _memory("moves on without a hold:", "kept by"),
    EventKind.LEND: lambda e: f"VM {e.a} lends {size(e.c)} at {e.b:#x} on {e.link}",
    EventKind.XIRQ_MUTED: lambda e: (
        f"{_who(e)} is woken by VM {e.a} for nothing and listens no more"
    ),
    EventKind.RECALL: lambda e: f"VM {e.a} takes back {size(e.c)} at {e.b:#x} on {e.link}",
    EventKind.DMA_START: lambda e: f"VM {e.a}'s device: job {e.b} starts, {size(e.c)}",
    EventKind.DMA_END: lambda e: f"VM {e.a}'s device: job {e.b} ends after {size(e.c)}",
    EventKind.DMA_FAULT: lambda e: (
        f"VM {e.a & 0xFFFF}'s device: fault at {e.b:#x} after {size(e.c)}: {_DMA_FAULTS[e.a >> 16]}"
    ),
    EventKind.CALLBACK_SENT: lambda e: (
        f"{_channel(e, 'callback' if e.c == 0 else 'synchronous callback')}: "
        f"procedure {procedure(e.b)} sent"
    ),
    EventKind.CALLBACK_DONE: _handled,
    EventKind.CALLBACK_LOST: lambda e: (
        f"{_channel(e, 'callback')}: procedure {procedure(e.b)} dropped"
    ),
    EventKind.APP_DROPPED: lambda e: _dropped(
        f"{_who(e)} app {e.a}" if e.a else f"{_who(e)} application", e
    ),
    EventKind.PROGRAM_FAILED: lambda e: (
        f"{_who(e)} cannot start a program: {errno.errorcode.get(e.c, e.c)}"
    ),
    EventKind.PROGRAM_END: _program_end,
    EventKind.VM_DROPPED: lambda e: _dropped(f"VM {e.a}", e),
    EventKind.PIPE_OPEN: lambda e: f"{_end(e)}: pipe open, ring of {size(e.b)}",
    EventKind.PIPE_CLOSE: lambda e: f"{_end(e)}: pipe closed",
    EventKind.EVENT_LOST: lambda e: (
        f"{_channel(e, 'loses')}: {count(e.b, 'input event')}, {e.c:,} in all"
    ),
    EventKind.EVENT_FOCUS: lambda e: f"{_channel(e, 'gets' if e.b else 'loses')}: the focus",
}


def sentence(event: Record) -> str:
    """What happened, in words."""
    return _WORDS[event.kind](event)
