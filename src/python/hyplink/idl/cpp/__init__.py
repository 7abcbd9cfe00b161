"""C++20 from a model: one header per file, depending on small headers of ``hyplink/app/rpq`` only."""

from __future__ import annotations

from hyplink.idl.cpp import client, expressions, server, types
from hyplink.idl.cpp.common import Names, comment
from hyplink.idl.model import Interface, Model, Procedure
from hyplink.idl.names import snake
from hyplink.idl.support import require
from hyplink.idl.writer import Writer

__all__ = ["generate"]

#: What this generator cannot do yet.
MISSING: frozenset[str] = frozenset()

_STANDARD = [
    "algorithm",
    "array",
    "cstddef",
    "cstdint",
    "cstring",
    "functional",
    "iterator",
    "optional",
    "span",
    "string",
    "string_view",
    "utility",
    "vector",
]


def generate(model: Model) -> dict[str, str]:
    """File name to text."""
    require(model, "cpp", MISSING)
    out = Writer()
    names = Names(model)
    out(f"// Generated from {model.stem}.vidl by hyplink idl; changes here are lost.")
    comment(out, model.doc)
    out("#pragma once", "", *(f"#include <{name}>" for name in _STANDARD), "")
    out(*(f'#include "hyplink/app/rpq/{name}.hpp"' for name in _headers(names)))
    for item in sorted({i.stem for i in model.imports}):
        out(f'#include "{item}.hpp"')
    out("", f"namespace {names.namespace} {{", "")
    types.constants(out, model.constants)
    for enum in model.own_enums():
        types.enum(out, enum)
    types.handles(out, names)
    for struct in model.own_structs():
        types.struct(out, names, struct)
    types.tables(out, names)
    own = [f for f in model.functions.values() if f.module == model.module]
    expressions.functions(out, own, names.qualified)
    for interface in model.interfaces:
        _interface(out, names, interface)
    if len(model.interfaces) == 1:
        prefix = names.prefix(model.interfaces[0])
        out("template <class Channel>", f"using Client = {prefix}Client<Channel>;")
        out(f"using Handler = {prefix}Handler;", "")
    _groups(out, names)
    out(f"}}  // namespace {names.namespace}")
    return {f"{model.stem}.hpp": out.text()}


def _headers(names: Names) -> list[str]:
    """Parts of the run-time library that this file needs."""
    found = {"wire"}
    if names.model.interfaces:
        found.add("hello")
    for interface in names.model.interfaces:
        if server.uses_handles(interface):
            found.add("handles")
        if client.uses_buffers(interface):
            found.add("buffers")
        if interface.callbacks:
            found.add("callbacks")
        for proc in [*interface.procedures, *interface.callbacks]:
            if proc.throws:
                found.add("outcome")
            if any(s.form == "nested" or s.dim == "until" for s in proc.request.slots):
                found.add("parts")
            if client.kept(names, proc):
                found.add("cache")
    return sorted(found)


def _groups(out: Writer, names: Names) -> None:
    if not names.model.interfaces:
        return
    major, minor = names.model.version
    out("/// What this file's interfaces say in a hello.")
    count = len(names.model.interfaces)
    with (
        out.block(f"inline constexpr std::array<hyplink::rpq::Group, {count}> groups() {{", "}"),
        out.block("return {{", "}};"),
    ):
        for interface in names.model.interfaces:
            space = f"{snake(interface.name)}_proc"
            group = f"static_cast<std::uint16_t>({space}::group)"
            out(f"{{{group}, {major}, {minor}, {space}::schema_hash}},")
    out("")


def _numbers(out: Writer, names: Names, interface: Interface, procs: list[Procedure]) -> None:
    for proc in procs:
        ident = interface.group << 16 | proc.ordinal
        out(f"inline constexpr std::uint32_t {names.proc(proc)} = 0x{ident:08x}U;")


def _interface(out: Writer, names: Names, interface: Interface) -> None:
    space = snake(interface.name)
    out(f"namespace {space}_proc {{", f"inline constexpr std::uint32_t group = {interface.group};")
    out(f"inline constexpr std::uint64_t schema_hash = 0x{interface.hash or '0'}U;")
    _numbers(out, names, interface, interface.procedures)
    if interface.procedures:
        with out.block("inline constexpr hyplink::rpq::ProcInfo all[] = {", "};"):
            for proc in interface.procedures:
                call = "true" if proc.kind == "sync" else "false"
                out(
                    f'{{{names.proc(proc)}, "{interface.name}.{proc.name}", {call}, '
                    f"{proc.request.max}U, {proc.reply.max}U}},"
                )
    for proc in interface.procedures:
        if proc.on_lost is not None:
            out(f"/// What `{proc.name}` answers behind a face that cannot report a lost peer.")
            out(f"inline constexpr std::int64_t {snake(proc.name)}_on_lost = {proc.on_lost};")
    out(f"}}  // namespace {space}_proc", "")
    if interface.callbacks:
        out(f"namespace {space}_callback_proc {{")
        _numbers(out, names, interface, interface.callbacks)
        out(f"}}  // namespace {space}_callback_proc", "")
    _images(out, names, f"{space}_wire", interface.procedures)
    if interface.callbacks:
        _images(out, names, f"{space}_callback_wire", interface.callbacks)
    types.state(out, names, interface)
    types.replies(out, names, interface)
    client.client(out, names, interface)
    server.context(out, names, interface)
    server.handler(out, names, interface)
    out(f"namespace {space}_server {{", "")
    for proc in interface.procedures:
        out(f"// {names.model.stem}.vidl:{proc.line}")
        server.perform(out, names, interface, proc)
    out(f"}}  // namespace {space}_server", "")
    server.dispatcher(out, names, interface)
    server.server(out, names, interface)
    server.callbacks(out, names, interface)


def _images(out: Writer, names: Names, space: str, procs: list[Procedure]) -> None:
    out("/// Images of the fixed parts: for offsets and proofs, never for storing through.")
    out(f"namespace {space} {{")
    for proc in procs:
        types.wire_struct(out, names, f"{snake(proc.name)}_in", proc.request)
        types.wire_struct(out, names, f"{snake(proc.name)}_out", proc.reply)
    out(f"}}  // namespace {space}", "")
