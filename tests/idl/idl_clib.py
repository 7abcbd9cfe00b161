"""Compiling generated C, and the mirror that answers for it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from hyplink.idl.c import callbacks, seen_from_c, server
from hyplink.idl.c.answer import counted
from hyplink.idl.c.common import Names, argument_of
from hyplink.idl.model import Interface, Model, Procedure
from hyplink.idl.names import snake

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
STRICT = ["-std=c99", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror"]
#: c/headers has what interfaces name as their original headers.
INCLUDES = [f"-I{folder}" for folder in (ROOT / "src/cpp", HERE / "c", HERE / "c/headers")]
SANITIZE = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]

Mirror = Callable[[str], list[str]]


def works(*compiler: str) -> bool:
    """Whether this compiler is there and links (32 bits need a second C library)."""
    if not shutil.which(compiler[0]):
        return False
    text = "#include <stdint.h>\nint main(void) { return 0; }"
    command = [*compiler, "-x", "c", "-", "-o", "/dev/null"]
    return subprocess.run(command, input=text, text=True, capture_output=True).returncode == 0


def compile_c(out: Path, sources: list[Path], *flags: str, compiler: str = "gcc") -> Path:
    """A program of warning-free C99."""
    for include in {str(s.parent) for s in sources}:
        flags = (*flags, "-iquote", include)
    command = [compiler, *STRICT, *INCLUDES, *flags, *map(str, sources), "-o", str(out)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return out


def mirror_tables(models: list[Model]) -> str:
    """The header that makes each client the server of its own interface."""
    lines, mirrors = [], []
    for model in map(seen_from_c, models):
        names = Names(model)
        lines.append(f'#include "{model.stem}.h"')
        for interface in model.interfaces:
            prefix = names.prefix(interface)
            rows = []
            for proc in interface.procedures:
                function = names.function(interface, proc)
                member = server.member(names, interface, proc)
                if counted(proc):
                    lines += _counting(names, prefix, proc, function, member)
                    function = f"{prefix}_mirror_{member}"
                if (hook := argument_of(proc, "before")) is not None:
                    lines += _hook(names, prefix, proc, hook or proc.name)
                rows.append(f"    .{member} = {function},")
            types = "".join(f"{names.handle_type(h)}, " for h in model.handles)
            lines.append(f"static const uint32_t {prefix}_mirror_handles[] = {{{types}0}};")
            mirrors.append(f"MIRROR({prefix}, {interface.group})")
            lines += [f"static const {prefix}_api {prefix}_mirror = {{", *rows, "};"]
            lines += _called(names, interface, prefix)
    lines.append("#define MIRRORS " + " ".join(mirrors))
    return "\n".join(lines) + "\n"


def _called(names: Names, interface: Interface, prefix: str) -> list[str]:
    """Hands a callback to the client, whose functions are those with which a server calls it."""
    lines = [f"static {prefix}_server* {prefix}_mirror_server;"] if interface.callbacks else []
    body, cases = [], []
    for proc in interface.callbacks:
        kind, emit = names.ident(interface, proc), f"{prefix}_emit_{proc.name}"
        if callbacks.cookie(proc) is not None:
            number = f"vidlRegister(&c->base.registry, {kind}, 1, 0, (VidlFunction){emit}, to)"
            cases += [f"case {kind}:", f"vidlEmitterSet(to, {kind}, {number});", "break;"]
            continue
        result, own = names.result(proc), f"{prefix}_mirror_on_{proc.name}"
        given = ", ".join([f"{prefix}_mirror_server", *names.parameter_names(proc)])
        give = "" if result == "void" else "return "
        lines.append(f"static {result} {own}({names.arguments(proc)}) {{ {give}{emit}({given}); }}")
        body.append(f"c->on_{snake(proc.name)} = {own};")
    head = f"static int32_t {prefix}_mirror_called({prefix}_client* c, {prefix}_server* s,"
    lines += [f"{head} VrpqReq* req) {{"]
    if not interface.callbacks:
        return [*lines, "(void)c; (void)s; (void)req; return EOPNOTSUPP; }"]
    return [
        *lines,
        f"{prefix}_mirror_server = s;",
        "s->caller.base.chan = &chan;",
        "s->caller.base.buffers = &buffers;",
        "VidlEmitter* const to = vidlEmitter(&s->base, &s->caller, 1, 0);",
        *body,
        *("switch (req->procId) {", *cases, "default: (void)to; break; }"),
        f"return {prefix}_handle_callback(c, req); }}",
    ]


def _hook(names: Names, prefix: str, proc: Procedure, hook: str) -> list[str]:
    """A hand-written function that does nothing."""
    unused = " ".join(f"(void){p};" for p in names.parameter_names(proc))
    params = f", {names.arguments(proc)}" if proc.params else ""
    head = f"void {prefix}_before_{hook}({prefix}_client* _me{params})"
    return [f"{head} {{ (void)_me; {unused} }}"]


def _counting(names: Names, prefix: str, proc: Procedure, function: str, member: str) -> list[str]:
    """A function that says how much came: what the answer's place says."""
    result = names.result(proc)
    arguments = ", ".join(names.parameter_names(proc))
    keep, give = ("", "") if result == "void" else (f"const {result} _r = ", " return _r;")
    counts = " ".join(
        f"*{names.var(s.name)}_count = mirror_count({s.offset}, {s.type.size});"
        for s in counted(proc)
    )
    head = f"static {result} {prefix}_mirror_{member}({server.signature(names, proc)})"
    return [f"{head} {{ {keep}{function}({arguments}); {counts}{give} }}"]


def build_mirror(home: Path, generated: Path, models: list[Model], *flags: str) -> Mirror:
    home.mkdir(exist_ok=True, parents=True)
    (home / "mirror_interfaces.h").write_text(mirror_tables(models))
    sources = [HERE / "c/mirror.c", HERE / "c/loop.c"]
    for model in models:
        if model.interfaces:
            sources += [generated / f"{model.stem}_{side}.c" for side in ("client", "server")]
    program = compile_c(home / "mirror", sources, "-O0", *SANITIZE, "-I", str(home), *flags)

    def run(commands: str) -> list[str]:
        done = subprocess.run([program], input=commands, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    return run


def require(*compiler: str) -> None:
    if not works(*compiler):
        pytest.skip(f"{' '.join(compiler)} is not installed")
