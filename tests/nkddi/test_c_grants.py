"""Page granting with the documents' C names, between two programs in two VMs."""

from __future__ import annotations

from pathlib import Path

import pytest

from vm_programs import Runner

GRANTS = Path(__file__).with_name("grants.c")
BOARD = """
&vm2_vplatform { vm-memory@3 { compatible = "vl,vm-memory"; vl,vm-id = <3>; }; };
&vm3_vplatform { };
"""
pytestmark = [pytest.mark.hyplink_backend("process"), pytest.mark.hyplink_dts(BOARD)]


@pytest.mark.parametrize(
    ("here", "there"), [(64, 64), (32, 64), (64, 32), (32, 32)], ids=lambda bits: f"{bits}"
)
def test_c_programs_grant_map_and_deny(runner: Runner, here: int, there: int) -> None:
    """The exporter and the importer have so many bits."""
    exporter = runner.c(3, GRANTS, "exporter", bits=here)
    assert exporter.line() == "1 1 1 0"  # VM 5 is not on this board: EINVAL, not EACCES
    address = exporter.line()
    importer = runner.c(2, GRANTS, "importer", address, bits=there)
    assert importer.line() == "from C"
    assert exporter.line() == "denied, from C"
    assert importer.rest() == ["gone 1", "1"]
