"""Benches on which one VM runs a program of ours in place of a guest kernel."""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import hyplink
from hyplink import _core
from hyplink.testing import connect_rpq

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))  # for granted_lib
REAL = Path(_core.__file__).parent / "bin" / "hyplink-vm"

#: VM 2 and VM 3 share a vlink; each has another one with VM 4, the bystander.
BOARD = """
&vm2_vdevs {
    be0: vogl@be0 { compatible = "vogl"; server; };
    be2: vogl@be2 { compatible = "vogl"; server; };
};
&vm3_vdevs {
    vogl@fe0 { peer-phandle = <&be0>; client; };
    vogl@fe1 { peer-phandle = <&be1>; client; };
};
&vm4_vdevs {
    be1: vogl@be1 { compatible = "vogl"; server; };
    vogl@fe2 { peer-phandle = <&be2>; client; };
};
"""
BYSTANDER = {2: "vogl2", 3: "vogl1"}


def exchange(bench: hyplink.Bench, label: str) -> None:
    """A call through a link, from end to end."""
    with connect_rpq(bench, label, timeout=60) as pair:
        call = pair.call(1, b"question", 8)
        (request,) = pair.server.receive()
        request.out[:] = bytes(request.params)[::-1]
        pair.server.acknowledge()
        assert call.result() == b"noitseuq"


class Hostile:
    """A bench with one hostile VM, and the questions every test asks afterwards."""

    def __init__(self, bench: hyplink.Bench, vm: int, reports: int, reform: Callable[[], None]):
        self.bench = bench
        self.vm = bench.vm(vm)
        self.peer = bench.vm(5 - vm)
        self.bystander = BYSTANDER[vm]
        self._reports = reports
        self._reform = reform

    def word(self, *, timeout: float = 60) -> str:
        """The next thing the hostile program says of itself; empty when it has ended."""
        assert select.select([self._reports], [], [], timeout)[0], (
            "the hostile program says nothing"
        )
        return os.read(self._reports, 1000).decode()

    def expect(self, *words: str) -> None:
        said = ""
        for word in words:
            while word not in said:
                piece = self.word()
                assert piece, f"ended after {said!r}, before {word!r}"
                said += piece

    def others_are_fine(self) -> None:
        assert self.peer.state.name == "RUNNING"
        self.bench.link(self.bystander).wait_on()
        exchange(self.bench, self.bystander)

    def recovers_with_a_good_program(self) -> None:
        if self.vm.state.name not in ("OFF", "DEAD"):
            self.vm.kill()
        self._reform()
        self.vm.boot()
        self.bench.link("vogl0").wait_on()
        exchange(self.bench, "vogl0")
        self.others_are_fine()


@pytest.fixture
def hostile(bench_factory, tmp_path, monkeypatch):
    """hostile(vm, behaviour): a bench where that VM runs hostile_guest.<behaviour>."""
    opened = []

    def make(
        vm: int, behaviour: str, *, boot: bool = True, grace: float = 0.1, board: str = BOARD
    ) -> Hostile:
        program = tmp_path / f"vm-{behaviour}"
        program.write_text(
            f"#!{sys.executable} -IS\n"
            "import sys\n"
            f"sys.path.insert(0, {str(HERE)!r})\n"
            "import hostile_guest\n"
            f"hostile_guest.main({vm}, {behaviour!r}, {str(REAL)!r}, {str(tmp_path)!r})\n"
        )
        program.chmod(0o700)
        fifo = tmp_path / "reports"
        os.mkfifo(fifo)
        opened.append(os.open(fifo, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC))
        monkeypatch.setattr("hyplink.bench._vm_program", lambda: program)
        bench = bench_factory(board, backend="process", boot=False, cleanup_grace=grace)
        good = tmp_path / "good"
        good.touch()
        bench.boot(*(other for other in bench.vms if other != vm))
        good.unlink()
        if boot:
            bench.vm(vm).boot()
        return Hostile(bench, vm, opened[-1], good.touch)

    yield make
    for descriptor in opened:
        os.close(descriptor)
