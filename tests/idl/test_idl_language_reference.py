"""The language reference: its examples are whole texts, and it speaks of everything there is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hyplink.idl.check_attributes import attribute_names
from hyplink.idl.front import compile_file
from hyplink.idl.model import SCALARS

REFERENCE = Path(__file__).parents[2] / "src/python/hyplink/idl/LANGUAGE.md"
TEXT = REFERENCE.read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```\n(idl 1;.*?)```", TEXT, re.DOTALL)
OTHER = "idl 1;\nmodule shop.other version 1.0;\nenum Level : u8 { LOW = 1; }\n"


def test_the_reference_has_examples() -> None:
    assert len(EXAMPLES) >= 6
    assert TEXT.count("```") == 2 * len(EXAMPLES), "an example that is no whole text"


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_an_example_of_the_reference_has_no_findings(number: int, tmp_path: Path) -> None:
    (tmp_path / "other.vidl").write_text(OTHER)
    file = tmp_path / "example.vidl"
    file.write_text(EXAMPLES[number])
    found = compile_file(file)
    assert found.ok, found.findings.text()


def test_the_reference_names_every_type_and_attribute() -> None:
    for name in SCALARS:
        assert re.search(rf"\b{name}\b", TEXT), name
    for name in attribute_names():
        assert f"@{name}" in TEXT, name
