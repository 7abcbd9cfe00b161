"""Allocate, write, send, and read the answer: the same for requests and for callbacks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hyplink.idl.c.common import Names
from hyplink.idl.c.decode import read_reply, room
from hyplink.idl.c.encode import Encoder
from hyplink.idl.c.expr import Scope
from hyplink.idl.model import Procedure
from hyplink.idl.writer import Writer

__all__ = ["CALLBACK", "REQUEST", "Way", "send"]


@dataclass(slots=True)
class Way:
    """Which functions of vidl.h carry it."""

    callback: bool

    def begin_post(self, name: str, size: str) -> str:
        if self.callback:
            return f'vidlCallbackBegin(&_c->base, "{name}", {size}, 0, NULL)'
        return f'vidlPostBegin(&_c->base, "{name}", {size})'

    def begin_call(self, name: str, size: str, room: str) -> str:
        function = "vidlCallbackBegin" if self.callback else "vidlCallBegin"
        return f'{function}(&_c->base, "{name}", {size}, {room}, &_out)'

    def post(self, proc: Procedure, ident: str) -> str:
        if self.callback:
            policy = f"VRPQ_DROP_{(proc.drop or 'refuse').upper()}, {proc.keep}"
            return f'vidlCallbackPost(&_c->base, "{proc.name}", {ident}, _p, {policy});'
        return f'vidlPost(&_c->base, "{proc.name}", {ident}, _p, {int(proc.notify)});'

    def call(self, proc: Procedure, ident: str) -> str:
        if self.callback:
            wait = -(-proc.timeout // 1_000_000)
            return f'vidlCallbackCall(&_c->base, "{proc.name}", {ident}, _p, _out, {wait})'
        return f'vidlCall(&_c->base, "{proc.name}", {ident}, _p, _out)'


REQUEST, CALLBACK = Way(False), Way(True)


def send(
    out: Writer,
    names: Names,
    proc: Procedure,
    writer: Encoder,
    scope: Scope,
    ident: str,
    way: Way,
    sent: Callable[[], None],
) -> None:
    """Everything after the arguments are checked."""
    answer = ""
    if proc.kind == "sync":
        answer = room(out, names, proc, scope, writer.bad)
    writer.place()
    size = writer.size()
    if proc.kind == "async":
        out(f"unsigned char* const _p = {way.begin_post(proc.name, size)};")
        out(f"if (_p == NULL) {writer.lost}")
        writer.encode()
        sent()
        writer.give()
        out(way.post(proc, ident))
        return
    out("void* _out = NULL;")
    out(f"unsigned char* const _p = {way.begin_call(proc.name, size, answer)};")
    out(f"if (_p == NULL) {writer.lost}")
    writer.encode()
    sent()
    writer.give()
    out(f"if (!{way.call(proc, ident)}) {writer.lost}")
    came = "vidlAnswerBytes(&_c->base)"
    read_reply(out, names, proc, ident, answer, "_out", came, writer.lost)
