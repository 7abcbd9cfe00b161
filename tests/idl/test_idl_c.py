"""The C face: what it accepts, refuses and writes, on 64 and 32 bits, byte for byte like the others."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from compiling import side_by_side
from idl_clib import HERE, INCLUDES, Mirror, build_mirror, compile_c, require
from idl_places import DATA, GLES2
from negative_cases import good_request, negative_cases
from test_idl_decode_rules import GOOD, REPLIES, REQUESTS
from test_idl_wire import procedure_of

from hyplink import idl
from hyplink.idl.c.receive import ends_with_zero
from hyplink.idl.cli import main
from hyplink.idl.model import Model
from hyplink.idl.model_json import from_json, to_json

CFACE = HERE / "c/cface.vidl"
WIDTHS = ["-m64", "-m32"]
FILES = ["everything", "whole", "rich", "camera", "glslice"]


@pytest.fixture(scope="session")
def c_generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("generated_c")
    files = [*(DATA / f"{name}.vidl" for name in [*FILES, "shapes", "pixels"]), CFACE, GLES2]
    assert main(["gen", *map(str, files), "-o", str(out), "--lang", "c"]) == 0
    return out


@pytest.fixture(scope="session")
def models() -> list[Model]:
    files = [*(DATA / f"{name}.vidl" for name in FILES), CFACE, GLES2]
    return [idl.compile_file(f).require() for f in files]


@pytest.fixture(scope="session", params=WIDTHS)
def mirrors(
    request: pytest.FixtureRequest,
    c_generated: Path,
    models: list[Model],
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, Mirror]:
    require("gcc", request.param)

    def mirror_of(stems: frozenset[str]) -> Mirror:
        chosen = [m for m in models if m.stem in stems]
        home = tmp_path_factory.mktemp("mirror")
        return build_mirror(home, c_generated, chosen, request.param)

    # Two interfaces describe the same functions of one library, so they need a program each.
    alone = frozenset({"glslice"})
    built = side_by_side(mirror_of, [alone, frozenset(m.stem for m in models) - alone])
    return {stem: run for stems, run in built.items() for stem in stems}


@pytest.fixture(scope="session")
def mirror(mirrors: dict[str, Mirror]) -> Mirror:
    return mirrors["everything"]


def accepted() -> list[tuple[str, str]]:
    return [(n, "" if v == "-" else v) for n, v in GOOD.items() if not v.startswith("error")]


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
@pytest.mark.parametrize("width", WIDTHS)
def test_generated_c_is_strict_c99_without_warnings(
    c_generated: Path, tmp_path: Path, compiler: str, width: str
) -> None:
    require(compiler, width)

    def compiled(source: Path) -> None:
        compile_c(tmp_path / f"{source.stem}.o", [source], "-c", "-O2", width, compiler=compiler)

    sources = sorted(c_generated.glob("*.c"))
    assert len(sources) > 5
    side_by_side(compiled, sources)


def test_generated_headers_are_also_cpp(c_generated: Path, tmp_path: Path) -> None:
    require("g++")
    text = "".join(f'#include "{p.name}"\n' for p in sorted(c_generated.glob("*.h")))
    (tmp_path / "all.cpp").write_text(text)
    flags = ["-std=c++20", "-fsyntax-only"]
    command = ["g++", *flags, *INCLUDES, "-iquote", str(c_generated), str(tmp_path / "all.cpp")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_every_shared_vector_is_accepted_and_written_again_byte_for_byte(
    mirror: Mirror, everything: object
) -> None:
    lines, expected = [], []
    for vector, block in accepted():
        proc, is_call = procedure_of(everything, vector)
        lines.append(f"d {proc:x} {int(is_call)} 4096 {block or '-'}")
        expected.append(block or "-")
    answers = mirror("\n".join(lines) + "\n")
    assert [a.split()[2] for a in answers] == expected
    assert all(a.startswith("ok ") for a in answers)


def test_a_request_that_breaks_a_rule_is_refused_in_c_with_the_same_words(
    mirror: Mirror, everything: object
) -> None:
    lines, expected = [], []
    for rule, vector, block, field, offset in REQUESTS:
        proc, is_call = procedure_of(everything, vector)
        lines.append(f"d {proc:x} {int(is_call)} 64 {block.hex() or '-'}")
        expected.append(f"reject {rule.split()[0]} {field} {offset}")
    assert mirror("\n".join(lines) + "\n") == expected


def test_kinds_of_request_room_and_unknown_procedures_are_checked_in_c(mirror: Mirror) -> None:
    block = (8).to_bytes(4, "little").hex() + "00000000"
    lines = [
        "d 7000e 1 0 -",
        "d 70014 0 0 -",
        f"d 70019 1 8 {block}",
        "d 7001e 0 0 -",
        "d 7ffff 1 0 -",
    ]
    assert mirror("\n".join(lines) + "\n") == [
        "reject D2 is_call 0",
        "reject D2 is_call 0",
        "reject D6 out_bytes 0",
        "ok 95 - -",
        "ok 95 - -",
    ]


def test_room_for_an_answer_is_zero_where_the_answer_says_nothing(mirror: Mirror) -> None:
    """D14: what lies behind an answer is never what the memory held."""
    block = (2).to_bytes(4, "little").hex() + "00000000"
    (answer,) = mirror(f"d 70019 1 96 {block}\n")
    assert answer.split()[3] == "0800000002000000" + bytes(88).hex()


CALLS = {
    "get_level": ("70016", ""),
    "is_set": ("70015", "0100000000000000"),
    "bounded": ("7001b", "0000000000000000"),
    "fill": ("70019", "0500000000000000"),
    "get_box": ("70017", "0100000000000000"),
}


def test_an_answer_that_breaks_a_rule_ends_the_client_with_the_same_words(mirror: Mirror) -> None:
    lines, expected = [], []
    for rule, call, answer, field, offset in REPLIES:
        if call not in CALLS:
            continue
        proc, request = CALLS[call]
        lines.append(f"r {proc} {request or '-'} 0 {answer}")
        expected.append(f"broken {rule.split()[0]} {field} {offset}")
    assert len(lines) > 5
    assert mirror("\n".join(lines) + "\n") == expected


def test_every_way_to_break_a_request_of_every_procedure_is_named_in_c(
    mirrors: dict[str, Mirror], models: list[Model]
) -> None:
    names, found, expected = [], [], []
    for model in models:
        lines = []
        for interface in model.interfaces:
            for proc in [*interface.procedures, *interface.callbacks]:
                way = "c" if proc in interface.callbacks else "d"
                good = good_request(model, interface, proc)
                cases = [("good", good, "")]
                for case in negative_cases(model, interface, proc):
                    words = f"reject D{case.rule} {case.field} {case.offset}"
                    cases.append((case.name, case.request, words))
                for name, request, words in cases:
                    block = request.block.hex() or "-"
                    call = int(request.is_call)
                    lines.append(f"{way} {request.ident:x} {call} {request.out_bytes} {block}")
                    names.append(f"{model.stem} {proc.name}: {name}")
                    # An array up to its first zero: a client of C sends no element behind.
                    ends = any(ends_with_zero(s.length) for s in proc.request.parts)
                    expected.append(words or ("ok" if ends else f"ok {block}"))
        answers = mirrors[model.stem]("\n".join(lines) + "\n")
        for answer, words in zip(answers, expected[-len(answers) :], strict=True):
            again = " ".join(answer.split()[::2][:2])
            found.append(answer if answer.startswith("reject") else again[: max(2, len(words))])
    assert len(found) > 1500
    assert list(zip(names, found, strict=True)) == list(zip(names, expected, strict=True))


def test_generated_c_needs_nothing_but_the_json_model(models: list[Model]) -> None:
    for model in models:
        assert idl.generate(from_json(to_json(model)), "c") == idl.generate(model, "c")


def test_generated_c_loads_each_field_of_the_fixed_part_once(c_generated: Path) -> None:
    """D1: what was checked is what is used, whatever the peer writes meanwhile."""
    for stem in ("everything", "cface"):
        text = (c_generated / f"{stem}_server.c").read_text()
        for function in text.split("static int32_t ")[1:]:
            loads = re.findall(r"(?:vidlLoad\w+|_get)\((_in \+ \d+)", function)
            assert len(loads) == len(set(loads))
