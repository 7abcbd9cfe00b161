"""A bench whose VM 2 runs `hostile_importer.py`, and how one talks to that program."""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import hyplink
from hyplink import errors
from hyplink.memory import GrantLevel
from machine import no_broker

PROGRAM = Path(__file__).parent / "hostile_importer.py"
PAGE = 4096
BOARD = """
&vm2_vplatform { vm-memory@3 { compatible = "vl,vm-memory"; vl,vm-id = <3>; }; };
&vm3_vplatform { vm-memory@2 { compatible = "vl,vm-memory"; vl,vm-id = <2>; }; };
&vm4_vplatform {
    vm-memory@2 { compatible = "vl,vm-memory"; vl,vm-id = <2>; };
    vm-memory@3 { compatible = "vl,vm-memory"; vl,vm-id = <3>; };
};
&vm5_vplatform { vm-memory@3 { compatible = "vl,vm-memory"; vl,vm-id = <3>; }; };
"""


class Importer:
    """The hostile program in VM 2."""

    def __init__(
        self, bench: hyplink.Bench, act: str, pages: tuple[int, int], seed: int, helper: str = ""
    ) -> None:
        self._said, report = os.pipe2(os.O_CLOEXEC)
        orders, self._order = os.pipe2(os.O_CLOEXEC)
        words = [sys.executable, "-IS", str(PROGRAM), act, *map(str, pages), str(seed), helper]
        try:
            bench._core.run(2, words, [], [report, orders])
        finally:
            os.close(report)
            os.close(orders)
        self._rest = b""

    def word(self) -> str:
        while b"\n" not in self._rest:
            assert select.select([self._said], [], [], 120)[0], "it neither ends nor says anything"
            piece = os.read(self._said, 1000)
            if not piece:
                return "(it ended)"
            self._rest += piece
        line, _, self._rest = self._rest.partition(b"\n")
        return line.decode()

    def has_said(self) -> bool:
        """Whether there is a word to read."""
        return bool(self._rest or select.select([self._said], [], [], 0)[0])

    def go(self) -> None:
        os.write(self._order, b"g")

    def close(self) -> None:
        os.close(self._order)
        os.close(self._said)


@contextmanager
def importer(
    bench: hyplink.Bench, act: str, pages: tuple[int, int], seed: int, helper: str = ""
) -> Iterator[Importer]:
    program = Importer(bench, act, pages, seed, helper)
    try:
        yield program
    finally:
        program.close()


@pytest.fixture(params=["memfd", "broker"])
def level(request: pytest.FixtureRequest, bench: hyplink.Bench) -> GrantLevel:
    """How pages are granted; skipped where this machine does not give it."""
    wanted: GrantLevel = request.param
    memory = bench.vm(3).memory
    with memory.alloc(PAGE) as page:
        try:
            memory.grant(2, page, level=wanted)
        except errors.Unsupported as refused:
            if wanted != "broker":
                raise
            no_broker(refused)
    return wanted
