"""Structs of a C header have one layout on every machine: compiled here, computed for the others."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from hyplink.idl.backends import generate
from hyplink.idl.front import compile_text
from hyplink.idl.importers import import_file
from hyplink.idl.model import Model, Struct

HERE = Path(__file__).parent
ROOT = Path(__file__).parents[3]
OMX = ("Core", "Component", "Audio", "Video", "Image", "Other", "Index", "ContentPipe")

#: Alignment of 64-bit members of a struct that does not ask for more.
ABIS = {"i386": 4, "arm32": 8, "riscv32": 8, "aarch64": 8, "x86-64": 8}


@pytest.fixture(params=["toy", "omx"])
def model(request: pytest.FixtureRequest, tmp_path: Path) -> Model:
    """The structs alone: prototypes are another matter."""
    if request.param == "toy":
        text = import_file(HERE / "toy.h").text
    else:
        if not Path("/usr/include/OMX_Core.h").exists():
            pytest.skip("the Debian package libomxil-bellagio-dev is not installed")
        whole = tmp_path / "omx.h"
        whole.write_text("".join(f'#include "OMX_{name}.h"\n' for name in OMX))
        text = import_file(whole, module="omx", include=["/usr/include"]).text
    return compile_text(text[: text.index("\n@c(header")]).require()


def offsets(model: Model, struct: Struct, wide: int) -> tuple[list[int], int, int]:
    """What a compiler would do whose 64-bit integers have this alignment: offsets, size, alignment.

    The generated struct has its gaps as members and says alignas(8) where 64 bits are.
    """
    at, most, found = 0, 1, []
    members = [(s.offset, s) for s in struct.slots] + [(gap, n) for gap, n in struct.pads]
    for _, member in sorted(members, key=lambda item: item[0]):
        if isinstance(member, int):
            at += member
            continue
        if member.type.kind == "struct":
            _, size, align = offsets(model, model.structs[member.type.name], wide)
        else:
            size = member.type.size
            align = max(wide, 8) if size == 8 else size
        at = -(-at // align) * align
        found.append(at)
        at += size * max(member.count, 1)
        most = max(most, align)
    return found, -(-at // most) * most, most


def test_every_abi_gives_the_offsets_of_the_wire(model: Model) -> None:
    for struct in model.structs.values():
        wanted = ([s.offset for s in struct.slots], struct.size, struct.align)
        for abi, wide in ABIS.items():
            assert offsets(model, struct, wide) == wanted, f"{struct.name} on {abi}"


def test_64_bit_members_ask_for_their_alignment(model: Model) -> None:
    (text,) = (t for name, t in generate(model, "cpp").items() if name.endswith(".hpp"))
    for struct in model.structs.values():
        body = text[text.index(f"struct {struct.name} {{") :]
        body = body[: body.index("\n};")]
        wide = [s for s in struct.slots if s.type.kind == "scalar" and s.type.size == 8]
        for slot in wide:
            line = re.search(rf"^.*\b{slot.name}\b.*;", body, re.MULTILINE)
            assert line is not None
            assert "alignas(8)" in line[0]


@pytest.mark.parametrize("flag", ["-m64", "-m32"])
def test_the_compilers_here_agree(model: Model, tmp_path: Path, flag: str) -> None:
    """The generated header asserts size and every offset of every struct."""
    for name, text in generate(model, "cpp").items():
        (tmp_path / name).write_text(text)
    source = tmp_path / "all.cpp"
    source.write_text("".join(f'#include "{p.name}"\n' for p in tmp_path.glob("*.hpp")))
    probe = ["g++", flag, "-std=c++20", "-fsyntax-only"]
    empty = tmp_path / "empty.cpp"
    empty.write_text("#include <cstdint>\n")
    if subprocess.run([*probe, empty], capture_output=True).returncode != 0:
        pytest.skip(f"g++ {flag} has no library here (Debian: g++-multilib)")
    words = [
        *probe,
        "-Wall",
        "-Wextra",
        "-Werror",
        f"-I{ROOT / 'src/cpp'}",
        f"-I{tmp_path}",
        source,
    ]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    asserted = sum(t.count("static_assert(sizeof") for t in generate(model, "cpp").values())
    assert asserted >= len(model.structs)
