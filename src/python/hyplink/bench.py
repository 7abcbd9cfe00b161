"""The bench: a running board. One hypervisor and its VMs, as threads or as processes.

    with hyplink.Bench.from_dts("vogl", backend="process") as bench:
        server = bench.vm(2).start(gles.serve("vogl0", MyServer()))
        with bench.vm(3).rpq("vogl0").session() as session, session.channel() as channel:
            gl = gles.Client(channel)
            gl.clear_color(0.0, 0.5, 1.0, 1.0)
            channel.notify()

Source: DV-0024 2; vlx-facts 1, 6.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from hyplink import _core, errors
from hyplink import board as board_module
from hyplink.closing import Closing
from hyplink.grants import Grants, MissedHolds, grants_of
from hyplink.guest import Guest
from hyplink.link import Link, LinkState
from hyplink.rpq import DEFAULT_TIMEOUT
from hyplink.running import Backend, Running
from hyplink.timeouts import UNSET, Timeout
from hyplink.vm import Vm, VmState

if TYPE_CHECKING:
    from typing import Self

    from hyplink import dev
    from hyplink.board import Board
    from hyplink.stats import Stats
    from hyplink.trace import Trace

__all__ = ["Bench", "Guest", "Link", "LinkState", "Vm", "VmState"]


class Bench(Closing):
    """A running board. Use it as a context manager: it boots on entry and leaves nothing behind.

    Args:
        board: What to run.
        backend: ``thread`` (objects and threads here) or ``process`` (real isolation, real SIGKILL).
        seed: Thread backend only: run every task under a deterministic scheduler and a virtual clock.
        timeout: Seconds that waits take when they are given no timeout of their own.
        cleanup_grace: Seconds the survivor of a peer death has to leave ON before it is forced.
        boot: Whether entering the context boots every VM.
        observe: Let ``hyplink stat`` and ``hyplink trace`` of the same user look at this bench.
    """

    def __init__(
        self,
        board: Board,
        *,
        backend: Backend = "thread",
        seed: int | None = None,
        timeout: float | None = DEFAULT_TIMEOUT,
        cleanup_grace: float = 2.0,
        boot: bool = True,
        observe: bool = False,
    ) -> None:
        if backend not in ("thread", "process"):
            raise errors.BadArgument(22, f"backend {backend!r}: expected 'thread' or 'process'")
        self.board = board
        self.backend: Backend = backend
        self.seed = seed
        self._boot = boot
        self._core = _core.Bench(board.to_spec(), backend, seed, str(_vm_program()), cleanup_grace)
        self._running = Running(self._core, backend, timeout)
        self._vms = {spec.id: Vm(self._running, spec) for spec in board.vms}
        self._links = {
            spec.label: Link(self._running, index, spec) for index, spec in enumerate(board.links)
        }
        self._closed = False
        self._mounts: list[dev.Mount] = []
        self._observer: Any = None
        if observe:
            from hyplink import observe as observing

            self._observer = observing.serve(self)

    @classmethod
    def from_dts(
        cls,
        source: str | os.PathLike[str] | bytes,
        /,
        *,
        backend: Backend = "thread",
        seed: int | None = None,
        timeout: float | None = DEFAULT_TIMEOUT,
        cleanup_grace: float = 2.0,
        boot: bool = True,
        observe: bool = False,
    ) -> Self:
        """A bench from a device tree: a path, a text, ``.dtb`` bytes, or the name of a board of the package.

        Raises:
            BoardError: The tree is wrong; the message shows every place with a caret.
        """
        board = board_module.load(source)
        return cls(
            board,
            backend=backend,
            seed=seed,
            timeout=timeout,
            cleanup_grace=cleanup_grace,
            boot=boot,
            observe=observe,
        )

    @property
    def timeout(self) -> float | None:
        """Seconds that waits take when they are given no timeout of their own; None: for ever."""
        return self._running.timeout

    @timeout.setter
    def timeout(self, seconds: float | None) -> None:
        self._running.timeout = seconds

    @property
    def vms(self) -> Mapping[int, Vm]:
        """The VMs by id."""
        return MappingProxyType(self._vms)

    @property
    def links(self) -> Mapping[str, Link]:
        """The vlinks by label (``vogl0``)."""
        return MappingProxyType(self._links)

    def vm(self, which: int | str, /) -> Vm:
        """A VM by id or name.

        Raises:
            NoSuchLink: ENODEV; lists the VMs there are.
        """
        for vm in self._vms.values():
            if which in (vm.id, vm.name):
                return vm
        known = ", ".join(f"{vm.id} ({vm.name})" for vm in self._vms.values())
        raise errors.NoSuchLink(19, f"VM {which!r}: not on this board; it has {known}")

    def link(self, label: str, /) -> Link:
        """A vlink by label.

        Raises:
            NoSuchLink: ENODEV; lists the vlinks there are.
        """
        found = self._links.get(label)
        if found is None:
            known = ", ".join(list(self._links)[:20]) or "none"
            raise errors.NoSuchLink(19, f"vlink {label!r}: not on this board; it has {known}")
        return found

    def boot(self, *which: int | str, timeout: Timeout = UNSET) -> Self:
        """Boot the VMs named, or all that are off."""
        vms = [self.vm(name) for name in which] if which else list(self._vms.values())
        for vm in vms:
            if which or vm.state in (VmState.OFF, VmState.DEAD):
                vm.boot(timeout=timeout)
        return self

    @property
    def trace(self) -> Trace:
        """What happened so far, from the journals of all processes, in order of time."""
        from hyplink.trace import Trace

        return Trace.from_bytes(self.journal_bytes(), self.board)

    @property
    def stats(self) -> Stats:
        """Counters of every channel there was."""
        from hyplink.stats import Stats

        counted, procedures = self._core.counters()
        return Stats.from_bytes(counted, self.board, procedures)

    @property
    def grants(self) -> Grants:
        """Every grant there is, by address, then importer. In Jupyter, and printed, a table."""
        return grants_of(self._core.grants())

    @property
    def missed_holds(self) -> list[MissedHolds]:
        """Importers whose views may have shown zeroes for a moment while others were denied the same pages."""
        return [MissedHolds(*row) for row in self._core.missed_holds()]

    def mount(self, folder: str | os.PathLike[str]) -> dev.Mount:
        """Show the ``/dev`` names of the VMs in a folder, so that any program can open their pipes.

        Raises:
            Unsupported: EOPNOTSUPP; says what is missing here. A bench of threads has no processes to show.
        """
        from hyplink import dev

        if self.backend != "process":
            raise errors.Unsupported(
                95, "mount: only VMs of the process backend have a /dev for others"
            )
        mounted = dev.Mount(
            folder,
            lambda: [(vm.id, vm.name) for vm in self._vms.values()],
            self._core.attach_socket,
        )
        self._mounts.append(mounted)
        return mounted

    def count_procedures(self, on: bool = True) -> None:
        """Count requests by procedure, too, on every channel that is or will be open.

        Servers count what they receive, clients time every call instead of one in 16; up to 256
        procedures a channel. See ``bench.stats.rpq()``.
        """
        self._core.count_procedures(on)

    def journal_bytes(self) -> bytes:
        """The merged journal as it is stored: 64 bytes a record."""
        return bytes(self._core.journal())

    def close(self) -> None:
        """Kill every VM and everything in it. Idempotent."""
        if self._closed:
            return
        self._closed = True
        if self._observer is not None:
            self._observer.close()
        for mounted in self._mounts:
            mounted.close()
        guests = [guest for vm in self._vms.values() for guest in vm._guests]
        for vm in self._vms.values():
            vm._close()
        for vm in self._vms.values():
            if vm.state not in (VmState.OFF, VmState.DEAD):
                vm.kill()
        for guest in guests:
            guest._drop()
        self._core.close()

    def __enter__(self) -> Self:
        if self._boot:
            try:
                self.boot()
            except BaseException:
                self.close()
                raise
        return self

    def __repr__(self) -> str:
        running = sum(vm.state is VmState.RUNNING for vm in self._vms.values())
        seed = "" if self.seed is None else f", seed {self.seed}"
        return (
            f"<Bench {self.board.name!r}: {self.backend}{seed}, {running} of {len(self._vms)} VMs running, "
            f"{len(self._links)} vlinks>"
        )

    def _repr_svg_(self) -> str:
        from hyplink.board.draw import draw_svg

        links = {}
        for label, link in self._links.items():
            server, client = link.states
            links[label] = (server.name, client.name)
        vms = {vm.id: vm.state.name for vm in self._vms.values()}
        return draw_svg(self.board, links=links, vms=vms)


def _vm_program() -> Path:
    """Where ``hyplink-vm`` lies: beside the compiled core."""
    return Path(str(_core.__file__)).parent / "bin" / "hyplink-vm"
