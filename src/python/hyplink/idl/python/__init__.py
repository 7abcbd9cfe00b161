"""Python from a model: one module per file, typed, importable from inside a package."""

from __future__ import annotations

from hyplink.idl.model import Interface, Model
from hyplink.idl.names import snake
from hyplink.idl.python import callbacks, client, server, types
from hyplink.idl.python.common import Names, docstring
from hyplink.idl.python.stub import stub
from hyplink.idl.writer import Writer

__all__ = ["generate", "generate_stub"]


def generate_stub(model: Model) -> dict[str, str]:
    """The types of the generated module, for editors and type checkers."""
    return {f"{name}i": stub(text) for name, text in generate(model).items()}


def generate(model: Model) -> dict[str, str]:
    """File name to text."""
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
        "functools as _functools",
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
    for handle in names.own(model.handles):
        types.handle(out, handle)
    for struct in model.own_structs():
        types.struct(out, names, struct)
    for table in names.own(model.tables):
        types.table(out, names, table)
    for function in names.own(model.functions):
        types.function(out, names, function)
    for name in _thrown(model):
        types.failure(out, names, model.enums[name])
    for interface in model.interfaces:
        _interface(out, names, interface)
    if model.interfaces:
        _module(out, names, model)
    if len(model.interfaces) == 1:
        interface = model.interfaces[0]
        prefix, space = names.prefix(interface), snake(interface.name)
        out(f"Client = {prefix}Client", f"AsyncClient = {prefix}AsyncClient")
        if names.rich(interface):
            out(f"Server = {prefix}Server")
        out(f"Handler = {prefix}Handler", f"dispatch = {space}_dispatch", f"serve = {space}_serve")
        out(f"PROCEDURES = {space}_procedures", f"SCHEMA_HASH = {space}_schema_hash")
    return {f"{model.stem}.py": out.text()}


def _thrown(model: Model) -> list[str]:
    return sorted({p.throws for i in model.interfaces for p in i.procedures if p.throws})


def _public(model: Model, names: Names) -> list[str]:
    found = [c.name for c in model.constants]
    found += [e.name for e in model.own_enums()] + [s.name for s in model.own_structs()]
    found += [x.name for x in names.own(model.tables)]
    found += [x.name for x in names.own(model.handles)]
    found += [names.failure(model.enums[n]) for n in _thrown(model)]
    for interface in model.interfaces:
        prefix, space = names.prefix(interface), snake(interface.name)
        tails = ["Client", "AsyncClient", "Handler"]
        tails += ["Server"] if names.rich(interface) else []
        found += [f"{prefix}{tail}" for tail in tails]
        words = ("bind", "dispatch", "serve", "procedures", "schema_hash")
        found += [f"{space}_{tail}" for tail in words]
    if model.interfaces:
        found += ["INTERFACES", "hello", "session"]
    if len(model.interfaces) == 1:
        found += ["Client", "AsyncClient", "Handler", "dispatch", "serve"]
        found += ["PROCEDURES", "SCHEMA_HASH"]
        found += ["Server"] if names.rich(model.interfaces[0]) else []
    return sorted(found)


def _interface(out: Writer, names: Names, interface: Interface) -> None:
    space = snake(interface.name)
    out(f"{space}_schema_hash: _t.Final = 0x{interface.hash}")
    for word, procs in (
        ("procedures", interface.procedures),
        ("callbacks", interface.callbacks),
    ):
        if word == "callbacks" and not procs:
            continue
        with out.block(f"{space}_{word}: _t.Final[dict[int, _rt.ProcInfo]] = {{", "}"):
            for proc in procs:
                ident = interface.group << 16 | proc.ordinal
                call = proc.kind == "sync"
                out(
                    f'{ident:#x}: _rt.ProcInfo("{interface.name}.{proc.name}", {call}, '
                    f"{proc.request.max}, {proc.reply.max}, {proc.on_lost}),"
                )
    out("")
    client.formats(out, names, interface)
    client.link(out, names, interface)
    if interface.callbacks:
        callbacks.hooks(out, names, interface)
    client.client(out, names, interface, waits=True)
    client.client(out, names, interface, waits=False)
    server.handler(out, names, interface)
    server.served(out, names, interface)
    for proc in interface.procedures:
        out("", f"# {names.model.stem}.vidl:{proc.line}")
        server.perform(out, names, interface, proc)
    server.dispatcher(out, names, interface)


def _module(out: Writer, names: Names, model: Model) -> None:
    """What the module says about itself: to peers, and to tools."""
    major, minor = model.version
    out("")
    with out.block("INTERFACES: _t.Final[dict[str, _rt.InterfaceInfo]] = {", "}"):
        for interface in model.interfaces:
            prefix, space = names.prefix(interface), snake(interface.name)
            schema = f"_rt.Schema({interface.group}, {major}, {minor}, {space}_schema_hash)"
            called = f"{space}_callbacks" if interface.callbacks else "{}"
            out(
                f'"{interface.name}": _rt.InterfaceInfo("{interface.name}", {schema},',
                f"    {space}_procedures, {called}, {prefix}Client, {prefix}AsyncClient,",
                f"    {prefix}Handler, {space}_bind),",
            )
    out("", "")
    with out.block("def hello() -> bytes:"):
        docstring(out, "The bytes by which a session says which interfaces it speaks.")
        out("return _rt.hello([_info.schema for _info in INTERFACES.values()])")
    out("", "")
    head = "device: _t.Any, info: bytes = b'', **options: _t.Any"
    with out.block(f"def session({head}) -> _t.Any:"):
        docstring(
            out,
            "A session of a device that says which interfaces it speaks.",
            "A server with another version answers its first call with VersionMismatch.",
        )
        out("return device.session(hello() + info, **options)")
    out("")
