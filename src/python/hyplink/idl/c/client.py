"""The C client: the original prototypes, marshalling in place."""

from __future__ import annotations

from hyplink.idl.c import callbacks, encode, sending
from hyplink.idl.c.common import Names, argument_of
from hyplink.idl.c.decode import read_reply, room
from hyplink.idl.c.expr import Scope
from hyplink.idl.c.lost import lost_statement
from hyplink.idl.c.state import has_state, updates
from hyplink.idl.model import Interface, Procedure
from hyplink.idl.support import Unsupported
from hyplink.idl.writer import Writer

__all__ = ["client", "prototypes"]


def prototypes(out: Writer, names: Names, interface: Interface) -> None:
    """What the header says about the client of one interface."""
    prefix = names.prefix(interface)
    out(
        f"/** The client's end of one channel of {interface.name}. One thread at a time. */",
    )
    with out.block(f"typedef struct {prefix}_client {{", f"}} {prefix}_client;"):
        out("VidlClient base;")
        callbacks.members(out, names, interface)
        if has_state(interface):
            out(f"{prefix}_state state;")
    out(
        f"void {prefix}_client_init({prefix}_client* client, VrpqChan chan);",
        "/** The channel stays the caller's. */",
        f"void {prefix}_client_free({prefix}_client* client);",
        "/** The functions below act for this client in this thread; NULL: they do nothing. */",
        f"void {prefix}_make_current({prefix}_client* client);",
        f"{prefix}_client* {prefix}_current(void);",
        "",
    )
    if interface.callbacks:
        out(
            "/** What `client_init` gives to vrpqCallbackHandle; for who shares a channel. */",
            f"int32_t {prefix}_handle_callback(void* client, VrpqReq* req);",
        )
    hooks: dict[str, str] = {}
    for proc in interface.procedures:
        hook = argument_of(proc, "before")
        if hook is None:
            continue
        params = "" if not proc.params else f", {names.arguments(proc)}"
        if hooks.setdefault(hook or proc.name, params) != params:
            raise Unsupported(f"'@before({hook})' stands at procedures with different parameters")
    for hook, params in hooks.items():
        out(
            "/** Written by hand: runs before the procedures that say `@before`, even lost ones. */",
            f"void {prefix}_before_{hook}({prefix}_client* client{params});",
        )
    for proc in interface.procedures:
        if argument_of(proc, "custom") is not None:
            out(f"/* {names.public(interface, proc)} is written by hand. */")
        head = names.declare(names.result(proc), names.function(interface, proc))
        out(f"{head}({names.arguments(proc)});")
    out("")


def client(out: Writer, names: Names, interface: Interface) -> None:
    prefix = names.prefix(interface)
    current = f"{prefix}_current_client"
    out(f"static __thread {prefix}_client* {current};", "")
    with out.block(f"void {prefix}_client_init({prefix}_client* client, VrpqChan chan) {{", "}"):
        out("vidlClientInit(&client->base, chan);")
        callbacks.start(out, names, interface)
        if has_state(interface):
            out(f"{prefix}_state_init(&client->state);")
    with out.block(f"void {prefix}_client_free({prefix}_client* client) {{", "}"):
        out(f"if ({current} == client) {current} = NULL;", "vidlClientFree(&client->base);")
    out(f"void {prefix}_make_current({prefix}_client* client) {{ {current} = client; }}")
    out(f"{prefix}_client* {prefix}_current(void) {{ return {current}; }}", "")
    for proc in interface.procedures:
        _procedure(out, names, interface, proc)
    callbacks.handling(out, names, interface)


def _procedure(out: Writer, names: Names, interface: Interface, proc: Procedure) -> None:
    prefix = names.prefix(interface)
    result = names.result(proc)
    head = names.declare(result, names.function(interface, proc))
    writer = encode.Encoder(out, names, proc, lost_statement(names, proc))
    ident = names.ident(interface, proc)
    out(f"/* {names.model.stem}.vidl:{proc.line} */")
    with out.block(f"{head}({names.arguments(proc)}) {{", "}"):
        out(f"{prefix}_client* const _c = {prefix}_current_client;")
        slot = names.result_slot(proc)
        if slot is not None and slot.type.kind in ("struct", "table"):
            out(f"static const {names.result(proc)} _none = {{0}};")
        hook = argument_of(proc, "before")
        if hook is not None:
            given = ", ".join(["_c", *names.parameter_names(proc)])
            out(f"if (_c != NULL) {prefix}_before_{hook or proc.name}({given});")
        out(f"if (_c == NULL || _c->base.error != 0) {writer.lost}")
        out("{")
        with out.block():
            _body(out, names, interface, proc, writer, ident)
        out("}")
    out("")


def _body(
    out: Writer,
    names: Names,
    interface: Interface,
    proc: Procedure,
    writer: encode.Encoder,
    ident: str,
) -> None:
    slot = names.result_slot(proc)
    scope = writer.scope("_c->state.")
    remembered = proc.cacheable != "" or (slot is not None and slot.form == "string")
    writer.prepare(scope)
    if proc.kind == "sync" and remembered:
        answer = room(out, names, proc, scope, writer.bad)
        _remembered(out, names, interface, proc, writer, scope, ident, writer.size(), answer)
        return

    def sent() -> None:
        updates(out, names, interface, proc, scope, "_c->state.")
        _expire(out, names, interface, proc)

    callbacks.register(out, names, interface, proc, writer, ident)
    sending.send(out, names, proc, writer, scope, ident, sending.REQUEST, sent)


def _remembered(
    out: Writer,
    names: Names,
    interface: Interface,
    proc: Procedure,
    writer: encode.Encoder,
    scope: Scope,
    ident: str,
    size: str,
    answer: str,
) -> None:
    """Answered from what is known, or asked and then known; texts are returned from there."""
    bad = f'{{ vidlRefused(&_c->base, "{proc.name}", ENOMEM); {writer.lost} }}'
    out(f"const uint32_t _size = (uint32_t)({size});")
    out("const VidlAnswer* _known = NULL;", "unsigned char* _p;")
    out("vidlArenaReset(&_c->base.arena);" if not writer.scratch else "")
    out("_p = (unsigned char*)vidlGet(&_c->base.arena, _size);", f"if (_p == NULL) {bad}")
    writer.encode()
    if proc.cacheable:
        out(f"_known = vidlKnown(&_c->base.answers, {ident}, _p, _size);")
    with out.block("if (_known == NULL) {", "}"):
        out("void* _out = NULL;")
        begin = f'vidlCallBegin(&_c->base, "{proc.name}", _size, {answer}, &_out)'
        out(f"unsigned char* const _in = {begin};", f"if (_in == NULL) {writer.lost}")
        out("memcpy(_in, _p, _size);")
        updates(out, names, interface, proc, scope, "_c->state.")
        _expire(out, names, interface, proc)
        # A callback handled meanwhile may call in turn; the question stays where it is.
        out("const VidlArena _kept = _c->base.arena;", "int _answered;")
        out("memset(&_c->base.arena, 0, sizeof _c->base.arena);")
        out(f'_answered = vidlCall(&_c->base, "{proc.name}", {ident}, _in, _out);')
        out("vidlArenaFree(&_c->base.arena);", "_c->base.arena = _kept;")
        out(f"if (!_answered) {writer.lost}")
        out(
            f"_known = vidlRemember(&_c->base.answers, {ident}, _p, _size, _out, "
            "vidlAnswerBytes(&_c->base));",
            f"if (_known == NULL) {bad}",
        )
    forget = f"vidlForget(&_c->base.answers, {ident}); "
    lost = "{ " + forget + writer.lost + " }"
    read_reply(out, names, proc, ident, answer, "_known->value", "_known->valueSize", lost)


def _expire(out: Writer, names: Names, interface: Interface, proc: Procedure) -> None:
    """Answers that hold until this procedure runs."""
    for other in interface.procedures:
        if other.cacheable == proc.name:
            out(f"vidlForget(&_c->base.answers, {names.ident(interface, other)});")
