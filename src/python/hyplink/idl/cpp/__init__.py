"""C++20 from a model: one header per file, depending on ``hyplink/app/rpq/wire.hpp`` only."""

from __future__ import annotations

from hyplink.idl.cpp import client, server, types
from hyplink.idl.cpp.common import Names, comment
from hyplink.idl.model import Interface, Model
from hyplink.idl.names import snake
from hyplink.idl.support import FEATURES, require
from hyplink.idl.writer import Writer

__all__ = ["generate"]

#: What this generator cannot do yet.
MISSING = FEATURES


def generate(model: Model) -> dict[str, str]:
    """File name to text."""
    require(model, "cpp", MISSING)
    out = Writer()
    names = Names(model)
    out(f"// Generated from {model.stem}.vidl by hyplink idl; changes here are lost.")
    comment(out, model.doc)
    out("#pragma once", "", "#include <algorithm>", "#include <array>", "#include <cstddef>")
    out(
        "#include <cstdint>",
        "#include <cstring>",
        "#include <iterator>",
        "#include <span>",
        "#include <string>",
    )
    out("#include <string_view>", "#include <utility>", "")
    out('#include "hyplink/app/rpq/wire.hpp"')
    for item in sorted({i.stem for i in model.imports}):
        out(f'#include "{item}.hpp"')
    out("", f"namespace {names.namespace} {{", "")
    types.constants(out, model.constants)
    for enum in model.own_enums():
        types.enum(out, enum)
    for struct in model.own_structs():
        types.struct(out, names, struct)
    for interface in model.interfaces:
        _interface(out, names, interface)
    if len(model.interfaces) == 1:
        prefix = names.prefix(model.interfaces[0])
        out("template <class Channel>", f"using Client = {prefix}Client<Channel>;")
        out(f"using Handler = {prefix}Handler;", "")
    out(f"}}  // namespace {names.namespace}")
    return {f"{model.stem}.hpp": out.text()}


def _interface(out: Writer, names: Names, interface: Interface) -> None:
    space = snake(interface.name)
    out(f"namespace {space}_proc {{", f"inline constexpr std::uint32_t group = {interface.group};")
    out(f"inline constexpr std::uint64_t schema_hash = 0x{interface.hash}U;")
    for proc in interface.procedures:
        ident = interface.group << 16 | proc.ordinal
        out(f"inline constexpr std::uint32_t {names.proc(proc)} = 0x{ident:08x}U;")
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
    out("/// Images of the fixed parts: for offsets and proofs, never for storing through.")
    out(f"namespace {space}_wire {{")
    for proc in interface.procedures:
        types.wire_struct(out, names, f"{snake(proc.name)}_in", proc.request)
        types.wire_struct(out, names, f"{snake(proc.name)}_out", proc.reply)
    out(f"}}  // namespace {space}_wire", "")
    types.replies(out, names, interface)
    client.client(out, names, interface)
    server.handler(out, names, interface)
    out(f"namespace {space}_server {{", "")
    for proc in interface.procedures:
        out(f"// {names.model.stem}.vidl:{proc.line}")
        server.perform(out, names, interface, proc)
    out(f"}}  // namespace {space}_server", "")
    server.dispatcher(out, names, interface)
