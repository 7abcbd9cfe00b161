"""Callbacks: the client's registrations and handling, the server's functions that emit them.

A callback with a cookie is the function that was registered; what the server's library gets in its
place is `PREFIX_emit_NAME` with the same prototype, and for `user` the way to the client. One
without a cookie is one function of the client, and takes the server itself at the other end.
"""

from __future__ import annotations

from hyplink.idl.c import answer, encode, receive, sending
from hyplink.idl.c.common import Names
from hyplink.idl.c.decode import lengths, load_fixed
from hyplink.idl.model import Interface, Procedure, Slot
from hyplink.idl.names import snake
from hyplink.idl.support import Unsupported
from hyplink.idl.writer import Writer

__all__ = [
    "cookie",
    "emit_prototypes",
    "emitters",
    "handling",
    "members",
    "received",
    "register",
    "start",
    "typedefs",
]


def cookie(proc: Procedure) -> Slot | None:
    return next((s for s in proc.request.slots if s.type.kind == "cookie"), None)


def _type(names: Names, interface: Interface, proc: Procedure) -> str:
    return f"{names.prefix(interface)}_{proc.name}"


def _key(names: Names, proc: Procedure) -> str:
    """A registration belongs to an object, if there is one among the parameters."""
    slot = next((s for s in proc.request.slots if s.type.kind == "handle"), None)
    return names.var(slot.name) if slot is not None else "0"


def _callback(interface: Interface, slot: Slot) -> Procedure:
    name = slot.type.name.rpartition(".")[2]
    return next(c for c in interface.callbacks if c.name == name)


def typedefs(out: Writer, names: Names, interface: Interface) -> None:
    for proc in interface.callbacks:
        number = interface.group << 16 | proc.ordinal
        out(f"#define {names.ident(interface, proc)} 0x{number:08x}u")
        kind = _type(names, interface, proc)
        out(f"typedef {names.result(proc)} (*{kind})({names.arguments(proc)});")
    if interface.callbacks:
        out("")


def members(out: Writer, names: Names, interface: Interface) -> None:
    """In the client's struct."""
    for proc in interface.callbacks:
        if cookie(proc) is None:
            out(f"{_type(names, interface, proc)} on_{snake(proc.name)};")
    if interface.callbacks:
        out("VidlCallee callee;")


def start(out: Writer, names: Names, interface: Interface) -> None:
    if not interface.callbacks:
        return
    for proc in interface.callbacks:
        if cookie(proc) is None:
            out(f"client->on_{snake(proc.name)} = NULL;")
    handle = f"{names.prefix(interface)}_handle_callback"
    out("vidlServerInit(&client->callee.base);")
    out(f"if (chan != NULL) (void)vrpqCallbackHandle(chan, {handle}, client);")


def register(
    out: Writer,
    names: Names,
    interface: Interface,
    proc: Procedure,
    writer: encode.Encoder,
    ident: str,
) -> None:
    """The numbers that travel in place of functions."""
    told: set[str] = set()
    for slot in proc.request.slots:
        if slot.type.kind != "callback":
            continue
        var, target = names.var(slot.name), _callback(interface, slot)
        user = names.var(slot.cookie) if slot.cookie else "NULL"
        kind = names.ident(interface, target)
        if not slot.nullable:
            out(f"if ({var} == NULL) {writer.bad(slot.name)}")
        out(
            f"const uint32_t _r_{slot.name} = vidlRegister(&_c->base.registry, {kind}, {ident}, "
            f"{_key(names, proc)}, (VidlFunction){var}, {user});",
            f"if ({var} != NULL && _r_{slot.name} == 0) {writer.bad(slot.name)}",
        )
        if slot.cookie:
            out(f"const uint32_t _r_{slot.cookie} = _r_{slot.name};")
            told.add(slot.cookie)
        if cookie(target) is None:
            out(f"_c->on_{snake(target.name)} = {var};")
    for slot in proc.request.slots:
        if slot.type.kind == "cookie" and slot.name not in told:
            raise Unsupported(f"{proc.name}: '{slot.name}' has no callback to go with, for C")


# -- the client handles ----------------------------------------------------------------------------


def handling(out: Writer, names: Names, interface: Interface) -> None:
    if not interface.callbacks:
        return
    prefix = names.prefix(interface)
    for proc in interface.callbacks:
        _handle(out, names, interface, proc)
    head = f"int32_t {prefix}_handle_callback(void* to, VrpqReq* req) {{"
    with out.block(head, "}"):
        out(
            f"{prefix}_client* const client = ({prefix}_client*)to;",
            "VidlServer* const callee = &client->callee.base;",
            "/* One may come while another is handled. */",
            "const VidlArena kept = callee->arena;",
            "int32_t status;",
            "memset(&callee->arena, 0, sizeof callee->arena);",
            "callee->reason = 0;",
        )
        with out.block("switch (req->procId) {", "}"):
            for proc in interface.callbacks:
                out(f"case {names.ident(interface, proc)}:")
                with out.block():
                    out(f"status = {prefix}_on_{proc.name}(client, req);", "break;")
            out("default:")
            with out.block():
                out("++callee->unknown;", "status = EOPNOTSUPP;", "break;")
        out(
            "vidlArenaFree(&callee->arena);",
            "callee->arena = kept;",
            "if (status >= 0) return status;",
        )
        out("client->base.broken = callee->why;", "vidlLost(&client->base, EBADMSG);")
        out("return EBADMSG;")
    out("")


def _handle(out: Writer, names: Names, interface: Interface, proc: Procedure) -> None:
    prefix, ident = names.prefix(interface), names.ident(interface, proc)

    def bad(rule: str, field: str, offset: int) -> str:
        return f'return vidlReject(&_s->base.why, {ident}, {rule}, "{field}", {offset});'

    with out.block(
        f"static int32_t {prefix}_on_{proc.name}({prefix}_client* _k, const VrpqReq* _req) {{", "}"
    ):
        out("VidlCallee* const _s = &_k->callee;", "const void* const _base = NULL;")
        scope = received(out, names, proc, bad, "")
        if proc.kind == "sync":
            room = lengths(
                out, proc.reply, scope, lambda slot, rule: bad(rule, slot.name, slot.offset)
            )
            if proc.reply.slots:
                out(f"if (vrpqParamOutSize(_req) < {room}) {bad('6', 'out_bytes', 0)}")
        slot = cookie(proc)
        kind = _type(names, interface, proc)
        if slot is None:
            function = f"_k->on_{snake(proc.name)}"
            out(f"if ({function} == NULL) {{")
        else:
            out(
                "const VidlRegistration* const _reg = "
                f"vidlRegistered(&_k->base.registry, {ident}, _w_{slot.name});",
                "if (_reg == NULL) {",
            )
            function = "_function"
        with out.block():
            out("return ECANCELED;")
        out("}")
        if slot is not None:
            out(f"void* const {names.var(slot.name)} = _reg->user;")
            out(f"const {kind} _function = ({kind})_reg->function;")
        answer.perform(out, names, proc, function)
    out("")


def received(out: Writer, names: Names, proc: Procedure, bad, handles: str):  # type: ignore[no-untyped-def]
    """D1 to D5, D7, D13 of a request; the scope for what depends on it."""
    request = proc.request
    out("const uint32_t _size = vrpqParamInSize(_req);")
    if request.slots:
        out("const unsigned char* const _in = (const unsigned char*)vrpqParamInGet(_req, _base);")
    out("(void)_base;")
    wrong = "" if proc.kind == "async" else "!"
    out(f"if ({wrong}vrpqReqIsCall(_req)) {bad('2', 'is_call', 0)}")
    if request.parts:
        test = f"_size % 8 != 0 || _size < {request.fixed} || _size > {request.max}u"
    else:
        test = f"_size != {request.fixed}"
    out(f"if ({test}) {bad('2', 'in_bytes', 0)}")
    load_fixed(out, names, request, "_in", "", bad, handles)
    scope = receive.scope(names, proc)
    if request.parts:
        out(f"VidlReader _parts = vidlReader(_in, _size, {request.fixed});")
    for slot in request.parts:
        receive.part(out, names, proc, slot, scope, bad)
    if request.parts:
        out(f"if (_parts.cursor != _parts.size) {bad('2', 'in_bytes', 0)}")
    receive.implied(out, names, proc)
    return scope


# -- the server emits ------------------------------------------------------------------------------


def given(out: Writer, names: Names, interface: Interface, proc: Procedure, ident: str) -> None:
    """At the server: a function and a `user` in place of the numbers that came."""
    for slot in proc.request.slots:
        if slot.type.kind != "callback":
            continue
        var, target = names.var(slot.name), _callback(interface, slot)
        if cookie(target) is None or not slot.cookie:
            raise Unsupported(f"{proc.name}: '{slot.name}' and its callback need a cookie, for C")
        kind = _type(names, interface, target)
        emit = f"{names.prefix(interface)}_emit_{target.name}"
        out(f"const {kind} {var} = _w_{slot.name} != 0 ? {emit} : NULL;")
        out(
            f"VidlEmitter* const _to_{slot.name} = vidlEmitter(&_s->base, &_s->caller, {ident}, "
            f"{_key(names, proc)}, _w_{slot.name});",
            f"if (_to_{slot.name} == NULL) return ENOMEM;",
            f"void* const {names.var(slot.cookie)} = _w_{slot.name} != 0 ? _to_{slot.name} : NULL;",
        )


def _emit_head(names: Names, interface: Interface, proc: Procedure) -> str:
    prefix = names.prefix(interface)
    params = names.arguments(proc)
    if cookie(proc) is None:
        params = f"{prefix}_server* _to" + (f", {params}" if proc.params else "")
    return f"{names.result(proc)} {prefix}_emit_{proc.name}({params})"


def emit_prototypes(out: Writer, names: Names, interface: Interface) -> None:
    if interface.callbacks:
        out("/** Call the client: fits where the interface's own callback is asked for. */")
    for proc in interface.callbacks:
        out(f"{_emit_head(names, interface, proc)};")
    if interface.callbacks:
        out("")


def emitters(out: Writer, names: Names, interface: Interface) -> None:
    from hyplink.idl.c.client import lost_statement

    for proc in interface.callbacks:
        writer = encode.Encoder(out, names, proc, lost_statement(names, proc))
        slot = cookie(proc)
        with out.block(f"{_emit_head(names, interface, proc)} {{", "}"):
            result = names.result_slot(proc)
            if result is not None and result.type.kind == "struct":
                out(f"static const {names.type(result.type)} _none = {{0}};")
            if slot is None:
                out("VidlCaller* const _c = &_to->caller;")
            else:
                out(f"const VidlEmitter* const _to = (const VidlEmitter*){names.var(slot.name)};")
                out("VidlCaller* const _c = _to != NULL && _to->number != 0 ? _to->caller : NULL;")
            out(f"if (_c == NULL || _c->base.chan == NULL || _c->base.error != 0) {writer.lost}")
            out("{")
            with out.block():
                scope = writer.scope("")
                writer.prepare(scope)
                if slot is not None:
                    out(f"const uint32_t _r_{slot.name} = _to->number;")
                ident = names.ident(interface, proc)
                sending.send(out, names, proc, writer, scope, ident, sending.CALLBACK, lambda: None)
            out("}")
        out("")
