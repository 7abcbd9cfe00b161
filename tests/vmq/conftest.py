"""C programs over vmq.h, inside VMs."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import hyplink

sys.path.insert(0, str(Path(__file__).parent.parent))

from vm_programs import Compiler, Runner


@pytest.fixture(scope="session")
def build_c(tmp_path_factory: pytest.TempPathFactory) -> Compiler:
    return Compiler(tmp_path_factory.mktemp("vmq"), "hyplink")


@pytest.fixture
def runner(bench: hyplink.Bench, build_c: Compiler) -> Iterator[Runner]:
    made = Runner(bench, build_c)
    with made.stack:
        yield made
