"""Python from a model: one module per file, typed, importable from inside a package."""

from __future__ import annotations

from hyplink.idl.model import Interface, Model
from hyplink.idl.names import snake
from hyplink.idl.python import client, server, types
from hyplink.idl.python.common import Names, docstring
from hyplink.idl.support import FEATURES, require
from hyplink.idl.writer import Writer

__all__ = ["generate"]

#: What this generator cannot do yet.
MISSING = FEATURES


def generate(model: Model) -> dict[str, str]:
    """File name to text."""
    require(model, "py", MISSING)
    out = Writer()
    names = Names(model)
    out(
        f"# Generated from {model.stem}.vidl by hyplink idl; changes here are lost.", "# ruff: noqa"
    )
    docstring(out, model.doc or f"Stubs of {model.module}.")
    out("", "from __future__ import annotations", "")
    for module in (
        "abc as _abstract",
        "collections.abc as _abc",
        "dataclasses as _dataclasses",
        "enum as _enum",
        "errno as _errno",
        "importlib as _importlib",
        "struct as _struct",
        "typing as _t",
    ):
        out(f"import {module}")
    out("", "from hyplink.idl import runtime as _rt")
    if model.imports or names.foreign:
        out("")
    for item in model.imports:
        # Relative, so that the files work inside any package.
        out(f"from . import {item.stem} as {item.alias}")
    for module, alias in sorted(names.foreign.items()):
        out(f"from . import {model.modules[module]} as {alias}")
    out("", f"__all__ = [{', '.join(repr(n) for n in _public(model, names))}]", "")
    types.constants(out, model.constants)
    for enum in model.own_enums():
        types.enum(out, enum)
    for struct in model.own_structs():
        types.struct(out, names, struct)
    for interface in model.interfaces:
        _interface(out, names, interface)
    if len(model.interfaces) == 1:
        interface = model.interfaces[0]
        prefix, space = names.prefix(interface), snake(interface.name)
        out(f"Client = {prefix}Client", f"AsyncClient = {prefix}AsyncClient")
        out(f"Handler = {prefix}Handler", f"dispatch = {space}_dispatch", f"serve = {space}_serve")
        out(f"PROCEDURES = {space}_procedures", f"SCHEMA_HASH = {space}_schema_hash")
    return {f"{model.stem}.py": out.text()}


def _public(model: Model, names: Names) -> list[str]:
    found = [c.name for c in model.constants]
    found += [e.name for e in model.own_enums()] + [s.name for s in model.own_structs()]
    for interface in model.interfaces:
        prefix, space = names.prefix(interface), snake(interface.name)
        found += [f"{prefix}{tail}" for tail in ("Client", "AsyncClient", "Handler")]
        found += [f"{space}_{tail}" for tail in ("dispatch", "serve", "procedures", "schema_hash")]
    if len(model.interfaces) == 1:
        found += [
            "Client",
            "AsyncClient",
            "Handler",
            "dispatch",
            "serve",
            "PROCEDURES",
            "SCHEMA_HASH",
        ]
    return sorted(found)


def _interface(out: Writer, names: Names, interface: Interface) -> None:
    space = snake(interface.name)
    out(f"{space}_schema_hash: _t.Final = 0x{interface.hash}")
    with out.block(f"{space}_procedures: _t.Final[dict[int, _rt.ProcInfo]] = {{", "}"):
        for proc in interface.procedures:
            ident = interface.group << 16 | proc.ordinal
            call = proc.kind == "sync"
            out(
                f'{ident:#x}: _rt.ProcInfo("{interface.name}.{proc.name}", {call}, '
                f"{proc.request.max}, {proc.reply.max}, {proc.on_lost}),"
            )
    out("")
    client.formats(out, names, interface)
    client.client(out, names, interface, waits=True)
    client.client(out, names, interface, waits=False)
    server.handler(out, names, interface)
    for proc in interface.procedures:
        out("", f"# {names.model.stem}.vidl:{proc.line}")
        server.perform(out, names, interface, proc)
    server.dispatcher(out, names, interface)
