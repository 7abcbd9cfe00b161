"""Callbacks: the client's registrations and handling, the server's functions that emit them.

A callback with a cookie is the function that was registered; what the server's library gets in its
place is `PREFIX_emit_NAME` with the same prototype, and for `user` the way to the client. One
without a cookie is one function of the client, and takes the server itself at the other end.
"""

from __future__ import annotations

from hyplink.idl.c import answer, encode, receive, sending
from hyplink.idl.c.common import Names
from hyplink.idl.c.decode import Bad, lengths, load_fixed
from hyplink.idl.c.expr import Scope
from hyplink.idl.c.lost import lost_statement
from hyplink.idl.model import Interface, Procedure, Slot
from hyplink.idl.names import snake
from hyplink.idl.support import Unsupported
from hyplink.idl.writer import Writer

#: VIDL_SHARED of vidl.h.
_SHARED = 8

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


def pairs(proc: Procedure) -> dict[str, str]:
    """The cookie of each callback parameter: the one there is, or the next; "" without any."""
    found: dict[str, str] = {}
    last: list[str] = []
    slots = {s.name: s for s in proc.request.slots}
    for name in proc.params:
        slot = slots.get(name)
        if slot is not None and slot.type.kind == "callback":
            found[name] = slot.cookie
            last = [name] if not slot.cookie else []
        elif slot is not None and slot.type.kind == "cookie":
            found.update(dict.fromkeys(last, name))
            last = []
    return found


def _places(proc: Procedure, ident: str) -> list[tuple[str, Slot]]:
    """Callback parameters and where their registrations go: one place each."""
    slots = [s for s in proc.request.slots if s.type.kind == "callback"]
    # All procedures of a registry are of one group, so these bits are free.
    return [(f"{ident} ^ 0x{i:x}0000u" if i else ident, s) for i, s in enumerate(slots)]


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
    cookies = pairs(proc)
    told: set[str] = set()
    for place, slot in _places(proc, ident):
        var, target = names.var(slot.name), _callback(interface, slot)
        own = cookies[slot.name]
        user = names.var(own) if own else "NULL"
        kind = names.ident(interface, target)
        if not slot.nullable:
            out(f"if ({var} == NULL) {writer.bad(slot.name)}")
        out(
            f"const uint32_t _r_{slot.name} = vidlRegister(&_c->base.registry, {kind}, {place}, "
            f"{_key(names, proc)}, (VidlFunction){var}, {user});",
            f"if ({var} != NULL && _r_{slot.name} == 0) {writer.bad(slot.name)}",
        )
        if own and own not in told:
            out(f"const uint32_t _r_{own} = _r_{slot.name};")
            told.add(own)
        if cookie(target) is None:
            out(f"_c->on_{snake(target.name)} = {var};")
    for slot in proc.request.slots:
        if slot.type.kind == "cookie" and slot.name not in told:
            number = f"vidlRegisteredFor(&_c->base.registry, {names.var(slot.name)})"
            out(f"const uint32_t _r_{slot.name} = {number};")


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
            "callee->buffers = client->base.buffers;",
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
        scope = received(out, names, proc, bad, "", called=True)
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


def received(
    out: Writer, names: Names, proc: Procedure, bad: Bad, handles: str, *, called: bool = False
) -> Scope:
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
    load_fixed(out, names, request, "_in", "", bad, handles, called)
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
    cookies = pairs(proc)
    made: dict[str, list[str]] = {}
    for place, slot in _places(proc, ident):
        var, target = names.var(slot.name), _callback(interface, slot)
        own = cookies[slot.name] or slot.name
        if own not in made:
            to = f"vidlEmitter(&_s->base, &_s->caller, {place}, {_key(names, proc)})"
            out(f"VidlEmitter* const _to_{own} = {to};", f"if (_to_{own} == NULL) return ENOMEM;")
        made.setdefault(own, []).append(f"_w_{slot.name}")
        if len(made[own]) > _SHARED:
            raise Unsupported(f"{proc.name}: more than {_SHARED} callbacks share '{own}', for C")
        kind = _type(names, interface, target)
        word = "emit" if cookie(target) is not None else "forward"
        function = f"{names.prefix(interface)}_{word}_{target.name}"
        out(
            f"vidlEmitterSet(_to_{own}, {names.ident(interface, target)}, _w_{slot.name});",
            f"const {kind} {var} = _w_{slot.name} != 0 ? {function} : NULL;",
        )
    for slot in proc.request.slots:
        if slot.type.kind != "cookie":
            continue
        value = f"vidlEmitterOf(&_s->base, _w_{slot.name})"
        if slot.name in made:
            value = f"({' | '.join(made[slot.name])}) != 0 ? _to_{slot.name} : NULL"
        out(f"void* const {names.var(slot.name)} = {value};")


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


def emitters(out: Writer, names: Names, interface: Interface, serving: str) -> None:
    wanted = {_callback(interface, s).name for p in interface.procedures for _, s in _places(p, "")}
    for proc in interface.callbacks:
        lost = lost_statement(names, proc)
        with out.block(f"{_emit_head(names, interface, proc)} {{", "}"):
            _nothing(out, names, proc)
            _emit(out, names, interface, proc, serving, lost)
        if proc.name in wanted and cookie(proc) is None:
            _forward(out, names, interface, proc, serving, lost)
        out("")


def _nothing(out: Writer, names: Names, proc: Procedure) -> None:
    result = names.result_slot(proc)
    if result is not None and result.type.kind in ("struct", "table"):
        out(f"static const {names.result(proc)} _none = {{0}};")


def _emit(
    out: Writer, names: Names, interface: Interface, proc: Procedure, serving: str, lost: str
) -> None:
    writer = encode.Encoder(out, names, proc, lost)
    slot, ident = cookie(proc), names.ident(interface, proc)
    if slot is None:
        out("VidlCaller* const _c = &_to->caller;")
    else:
        out(
            f"const VidlEmitter* _to = (const VidlEmitter*){names.var(slot.name)};",
            "/* Registered without a cookie: whoever registered last. */",
            f"if (_to == NULL && {serving} != NULL)",
            f"    _to = vidlEmitterLatest(&{serving}->base, {ident});",
            f"const uint32_t _r_{slot.name} = vidlEmitterNumber(_to, {ident});",
            f"VidlCaller* const _c = _r_{slot.name} != 0 ? _to->caller : NULL;",
        )
    out(f"if (_c == NULL || _c->base.chan == NULL || _c->base.error != 0) {lost}")
    out("{")
    with out.block():
        scope = writer.scope("")
        writer.prepare(scope)
        sending.send(out, names, proc, writer, scope, ident, sending.CALLBACK, lambda: None)
    out("}")


def _forward(
    out: Writer, names: Names, interface: Interface, proc: Procedure, serving: str, lost: str
) -> None:
    """What a library gets for a callback without cookie: the client that this thread serves."""
    prefix = names.prefix(interface)
    kind = names.result(proc)
    head = f"static {kind} {prefix}_forward_{proc.name}({names.arguments(proc)}) {{"
    with out.block(head, "}"):
        _nothing(out, names, proc)
        out(f"if ({serving} == NULL) {lost}")
        given = ", ".join([serving, *names.parameter_names(proc)])
        out(f"{'' if kind == 'void' else 'return '}{prefix}_emit_{proc.name}({given});")
