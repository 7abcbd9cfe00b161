"""The C server: a table of functions with the original prototypes, and the checked way to them."""

from __future__ import annotations

from hyplink.idl.c import answer, callbacks
from hyplink.idl.c.common import Names, argument_of, comment
from hyplink.idl.c.decode import key, lengths
from hyplink.idl.c.encode import clamp
from hyplink.idl.c.state import has_state, updates
from hyplink.idl.model import Interface, Procedure
from hyplink.idl.writer import Writer

__all__ = ["prototypes", "server"]


def member(names: Names, interface: Interface, proc: Procedure) -> str:
    """Its name in the table: the original one, so that a library's own function fits."""
    name = proc.name if argument_of(proc, "hidden") is not None else names.public(interface, proc)
    return f"{name}_reply" if answer.counted(proc) else name


def signature(names: Names, proc: Procedure) -> str:
    extra = {s.name: f"uint32_t* {names.var(s.name)}_count" for s in answer.counted(proc)}
    return names.arguments(proc, extra)


def prototypes(out: Writer, names: Names, interface: Interface) -> None:
    prefix = names.prefix(interface)
    comment(
        out,
        "The functions behind the interface, with the prototypes of the client's. Inputs are\n"
        "checked, texts end with a NUL, outputs are zero and have room for what the inputs ask for.\n"
        "`…_reply`: `*count` is the room in elements, then how many the answer has. NULL: calls are\n"
        "answered with EOPNOTSUPP, posts are counted.",
    )
    with out.block(f"typedef struct {prefix}_api {{", f"}} {prefix}_api;"):
        for proc in interface.procedures:
            result = names.result(proc)
            name = member(names, interface, proc)
            out(f"{names.declare(result, f'(*{name})')}({signature(names, proc)});")
        if not interface.procedures:
            out("char empty;")
    count = f"{prefix.upper()}_ENTRIES"
    out(
        f"#define {count} {len(interface.procedures)}u",
        "/** Name and place of each member, to fill the table with dlsym in a loop. */",
        f"extern const VidlEntry {prefix}_entries[{max(1, len(interface.procedures))}];",
        "",
        f"/** The server's end of one channel of {interface.name}. */",
    )
    with out.block(f"typedef struct {prefix}_server {{", f"}} {prefix}_server;"):
        out("VidlServer base;", f"const {prefix}_api* api;")
        if interface.callbacks:
            out("/** Its `chan` is set by serve; who has a loop of their own sets it. */")
            out("VidlCaller caller;")
        if has_state(interface):
            out(f"{prefix}_state state;")
    out(
        f"void {prefix}_server_init({prefix}_server* server, const {prefix}_api* api);",
        f"void {prefix}_server_free({prefix}_server* server);",
        "/** Whose request this thread is handling; NULL outside of a handler. */",
        f"{prefix}_server* {prefix}_serving(void);",
        "/** For a handler that fails: an errno, or VIDL_THROW(value of a `throws` enum). */",
        f"void {prefix}_fail(int32_t reason);",
        "/** Check a request and perform it: the reason for vrpqCallSetReason, or VIDL_REJECTED, with",
        " * server->base.why, and the channel is to be given up (vrpqChanFail, EBADMSG). */",
        f"int32_t {prefix}_dispatch({prefix}_server* server, VrpqReq* req, const void* base);",
        "/** Serve a channel until it ends: EPIPE, or EBADMSG after a broken rule. */",
        f"int {prefix}_serve({prefix}_server* server, VrpqChan chan);",
        "",
    )
    callbacks.emit_prototypes(out, names, interface)


def server(out: Writer, names: Names, interface: Interface) -> None:
    prefix = names.prefix(interface)
    rows = max(1, len(interface.procedures))
    with out.block(f"const VidlEntry {prefix}_entries[{rows}] = {{", "};"):
        for proc in interface.procedures:
            name = member(names, interface, proc)
            out(f'{{"{name}", offsetof({prefix}_api, {name})}},')
        if not interface.procedures:
            out('{"", 0},')
    serving = f"{prefix}_serving_server"
    out("", f"static __thread {prefix}_server* {serving};", "")
    head = f"void {prefix}_server_init({prefix}_server* server, const {prefix}_api* api) {{"
    with out.block(head, "}"):
        out("vidlServerInit(&server->base);", "server->api = api;")
        if interface.callbacks:
            out("vidlClientInit(&server->caller.base, NULL);")
        if has_state(interface):
            out(f"{prefix}_state_init(&server->state);")
    out(
        f"void {prefix}_server_free({prefix}_server* server) {{",
        *(["    vidlClientFree(&server->caller.base);"] if interface.callbacks else []),
        "    vidlServerFree(&server->base);",
        "}",
        f"{prefix}_server* {prefix}_serving(void) {{ return {serving}; }}",
        f"void {prefix}_fail(int32_t reason) {{",
        f"    if ({serving} != NULL) {serving}->base.reason = reason > 0 ? reason : EPROTO;",
        "}",
        "",
    )
    callbacks.emitters(out, names, interface, serving)
    for proc in interface.procedures:
        _procedure(out, names, interface, proc)
    _dispatch(out, names, interface, serving)
    _serve(out, prefix, calls=bool(interface.callbacks))


def _procedure(out: Writer, names: Names, interface: Interface, proc: Procedure) -> None:
    prefix = names.prefix(interface)
    ident = names.ident(interface, proc)
    name = member(names, interface, proc)

    def bad(rule: str, field: str, offset: int) -> str:
        return f'return vidlReject(&_s->base.why, {ident}, {rule}, "{field}", {offset});'

    out(f"/* {names.model.stem}.vidl:{proc.line} */")
    with out.block(
        f"static int32_t {prefix}_do_{proc.name}({prefix}_server* _s, "
        "const VrpqReq* _req, const void* _base) {",
        "}",
    ):
        reply = proc.reply
        scope = callbacks.received(out, names, proc, bad, "_s->base.handles")
        if proc.kind == "sync":
            room = lengths(out, reply, scope, lambda slot, rule: bad(rule, slot.name, slot.offset))
            if reply.slots:
                out(f"if (vrpqParamOutSize(_req) < {room}) {bad('6', 'out_bytes', 0)}")
        updates(out, names, interface, proc, scope, "_s->state.")
        for slot in reply.parts:
            if slot.length is not None:
                clamp(out, names, proc, slot.length, f"_n_{key(slot)}")
        with out.block(f"if (_s->api->{name} == NULL) {{", "}"):
            out("++_s->base.unknown;", "return EOPNOTSUPP;")
        callbacks.given(out, names, interface, proc, ident)
        answer.perform(out, names, proc, f"_s->api->{name}")
    out("")


def _dispatch(out: Writer, names: Names, interface: Interface, serving: str) -> None:
    prefix = names.prefix(interface)
    head = f"int32_t {prefix}_dispatch({prefix}_server* server, VrpqReq* req, const void* base) {{"
    with out.block(head, "}"):
        out(f"{prefix}_server* const before = {serving};", "int32_t status;")
        if interface.callbacks:
            out("server->caller.base.buffers = server->base.buffers;")
        out(
            "vidlArenaReset(&server->base.arena);",
            "server->base.reason = 0;",
            f"{serving} = server;",
        )
        with out.block("switch (req->procId) {", "}"):
            for proc in interface.procedures:
                out(f"case {names.ident(interface, proc)}:")
                with out.block():
                    out(f"status = {prefix}_do_{proc.name}(server, req, base);", "break;")
            out("default:")
            with out.block():
                out("(void)base;", "++server->base.unknown;", "status = EOPNOTSUPP;", "break;")
        out(f"{serving} = before;", "return status;")
    out("")


def _serve(out: Writer, prefix: str, *, calls: bool) -> None:
    with out.block(f"int {prefix}_serve({prefix}_server* server, VrpqChan chan) {{", "}"):
        out("VrpqReq* reqs[16];")
        if calls:
            out("server->caller.base.chan = chan;")
        with out.block("for (;;) {", "}"):
            out(
                "uint32_t avail = 0;",
                "uint32_t i;",
                "const int error = vrpqReceive(chan, reqs, 16, &avail);",
                "if (error == EINTR) continue;",
                "if (error != 0) return error;",
            )
            with out.block("for (i = 0; i < avail; ++i) {", "}"):
                out(f"const int32_t status = {prefix}_dispatch(server, reqs[i], NULL);")
                with out.block("if (status < 0) {", "}"):
                    out("(void)vrpqChanFail(chan, EBADMSG);", "return EBADMSG;")
                out("if (vrpqReqIsCall(reqs[i])) (void)vrpqCallSetReason(chan, status);")
    out("")
