"""Two applications with their NKDDI, and programs that run inside VMs."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import hyplink
from hyplink import nkddi
from hyplink.examples.earlydata import earlydata

sys.path.insert(0, str(Path(__file__).parent.parent))

from vm_programs import build_c as build_c
from vm_programs import runner as runner


@pytest.fixture
def two(bench: hyplink.Bench) -> Iterator[tuple[nkddi.Nkddi, nkddi.Nkddi]]:
    """An application of VM 2 and one of VM 3, both in this process."""
    with contextlib.ExitStack() as stack:
        yield tuple(  # type: ignore[misc]
            stack.enter_context(
                nkddi.Nkddi(stack.enter_context(bench.vm(vm).application())),
            )
            for vm in (2, 3)
        )


@pytest.fixture
def earlydata_c() -> Path:
    return Path(earlydata.__file__).with_suffix(".c")
