"""A dump finds what a receiver finds, as far as the block itself shows it."""

from __future__ import annotations

from pathlib import Path

import pytest
from negative_cases import Case, good_request, negative_cases

from hyplink import idl

DATA = Path(__file__).parent / "data"
NAMES = ("camera", "everything", "glslice", "rich", "whole")


def shows_in_the_block(case: Case) -> bool:
    """Not what the transport says, and not which handles and buffers live."""
    return case.rule != 13 and case.field not in ("is_call", "out_bytes")


@pytest.mark.parametrize("name", NAMES)
def test_a_dump_names_the_rule_of_every_broken_block_and_none_of_a_good_one(name: str) -> None:
    model = idl.compile_file(DATA / f"{name}.vidl").require()
    looked = 0
    for interface in model.interfaces:
        for proc in interface.procedures:
            where = f"{interface.name}.{proc.name}"
            good = idl.dump(model, where, good_request(model, interface, proc).block)
            assert not good.broken, good.text()
            for case in filter(shows_in_the_block, negative_cases(model, interface, proc)):
                found = idl.dump(model, where, case.request.block)
                rules = {row.rule for row in found.broken}
                assert f"D{case.rule}" in rules, f"{where}: {case.name}\n{found.text()}"
                looked += 1
    assert looked
