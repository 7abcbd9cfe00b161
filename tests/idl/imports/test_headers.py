"""C headers: widths by name, pointers as numbers, and one layout on every machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from hyplink.idl.front import compile_text
from hyplink.idl.importers import import_file

HERE = Path(__file__).parent
OMX = [
    f"OMX_{name}.h"
    for name in ("Core", "Component", "Audio", "Video", "Image", "Other", "Index", "ContentPipe")
]


def test_structs_have_widths_of_their_own() -> None:
    text = import_file(HERE / "toy.h").text
    port = text[text.index("struct TOY_PORT {") :]
    assert port[: port.index("}")].split("\n")[1:-1] == [
        "    u32 size;",
        "    u32 version;",  # a union with a number that holds it all
        "    u8 name[32];",
        "    TOY_BOOL enabled;",
        "    i64 when;",
        "    u64 format[2];",  # any other union: its bytes
        "    address owner;",
        "    address done;",
    ]


def test_enumerators_are_computed_as_c_does() -> None:
    enums = {e.name: dict(e.members) for e in import_file(HERE / "toy.h").draft.enums}
    assert enums["TOY_ERROR"] == {"TOY_OK": 0, "TOY_BROKEN": -0x7FFFFFFF, "TOY_LATE": -0x7FFFFFFE}
    assert enums["TOY_BOOL"]["TOY_TRUE"] == 1


def test_prototypes_and_their_hooks() -> None:
    made = import_file(HERE / "toy.h")
    assert "sync TOY_ERROR toy_open(in string name max 4K, inout TOY_PORT port) = 1;" in made.text
    assert "async void toy_ping(u32 number)" in made.text
    assert [hook.procedure for hook in made.draft.hooks] == ["toy_find"]


def test_a_bit_field_is_not_guessed_at() -> None:
    assert "toy_bits" not in import_file(HERE / "toy.h").text


def omx(tmp_path: Path) -> str:
    folder = next((p for p in (Path("/usr/include"),) if (p / OMX[0]).exists()), None)
    if folder is None:
        pytest.skip("the Debian package libomxil-bellagio-dev is not installed")
    whole = tmp_path / "omx.h"
    whole.write_text("".join(f'#include "{name}"\n' for name in OMX))
    made = import_file(whole, module="omx", include=[str(folder)])
    assert made.draft.skipped == []
    return made.text


def test_all_of_openmax_il_is_imported(tmp_path: Path) -> None:
    text = omx(tmp_path)
    assert text.count("\nstruct ") >= 148
    assert text.count("\nenum ") >= 84


def structs_only(text: str) -> str:
    return text[: text.index("\n@c(header")] if "\n@c(header" in text else text


def test_the_structs_check(tmp_path: Path) -> None:
    for text in (import_file(HERE / "toy.h").text, omx(tmp_path)):
        assert compile_text(structs_only(text)).diagnostics == []
