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

import enum
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from hyplink import _core, errors
from hyplink import board as board_module
from hyplink.closing import Closing
from hyplink.guest import Guest, ProcessGuest, ThreadGuest
from hyplink.memory import Grant, GrantLevel, Memory, MemoryRegion, MemoryWindow, Pages, grants_of
from hyplink.rpq import DEFAULT_TIMEOUT, Application, Device

if TYPE_CHECKING:
    from typing import Self

    from hyplink import dev, dma, ion, mq, pipe, rpc, umem, upipe
    from hyplink import event as events
    from hyplink.board import Board, IoMemory, LinkSpec, VmSpec
    from hyplink.stats import Stats
    from hyplink.trace import Trace

__all__ = ["Bench", "Guest", "Link", "LinkState", "Vm", "VmState"]

T = TypeVar("T")
Backend = Literal["thread", "process"]


class _Unset(enum.Enum):
    UNSET = enum.auto()


_UNSET = _Unset.UNSET
#: Seconds, None for ever, or not given: the default of the object.
Timeout = float | _Unset | None


class VmState(enum.IntEnum):
    """Life of a VM."""

    OFF = 0
    BOOTING = 1
    RUNNING = 2
    STOPPING = 3
    DEAD = 4


class LinkState(enum.IntEnum):
    """State of one end of a vlink. A link is usable when both ends are ON."""

    OFF = 0
    RESET = 1
    ON = 2


class Link:
    """One vlink of the board, as the hypervisor sees it."""

    def __init__(self, bench: Bench, index: int, spec: LinkSpec) -> None:
        self._bench = bench
        self.index = index
        self.spec = spec
        self.label: str = spec.label

    @property
    def states(self) -> tuple[LinkState, LinkState]:
        """(server's state, client's state)."""
        server, client = self._bench._core.link_states(self.index)
        return LinkState(server), LinkState(client)

    @property
    def is_on(self) -> bool:
        """True if both ends are ON."""
        return self.states == (LinkState.ON, LinkState.ON)

    def wait_on(self, *, timeout: Timeout = _UNSET) -> Self:
        """Wait until both ends are ON.

        Raises:
            DeadlineExceeded: ETIMEDOUT.

        Blocks: until then; Ctrl-C works.
        """
        self._bench._core.wait_link(self.index, True, self._bench._limit(timeout))
        return self

    def wait_off(self, *, timeout: Timeout = _UNSET) -> Self:
        """Wait until the link is not usable."""
        self._bench._core.wait_link(self.index, False, self._bench._limit(timeout))
        return self

    def __repr__(self) -> str:
        server, client = self.states
        spec = self.spec
        return (
            f"<Link {self.label}: VM {spec.server} {server.name} – VM {spec.client} {client.name}>"
        )


class Vm:
    """One VM of a bench."""

    def __init__(self, bench: Bench, spec: VmSpec) -> None:
        self._bench = bench
        self.spec = spec
        self.id: int = spec.id
        self.name: str = spec.name
        self._application: tuple[int, Application] | None = None
        self._guests: list[Guest[Any]] = []

    @property
    def state(self) -> VmState:
        """OFF, BOOTING, RUNNING, STOPPING or DEAD."""
        return VmState(self._bench._core.vm_state(self.id))

    @property
    def boots(self) -> int:
        """How often it was booted."""
        return int(self._bench._core.vm_boots(self.id))

    @property
    def pid(self) -> int | None:
        """Process of its guest kernel; None on the thread backend or when it never ran."""
        pid = int(self._bench._core.vm_pid(self.id))
        return pid if pid > 0 else None

    @property
    def io_memory(self) -> tuple[IoMemory, ...]:
        """The static regions that the tree gives this VM; `hyplink.nkddi.Nkddi.map` maps them at their ``ipa``."""
        return self.spec.io_memory

    def boot(self, *, timeout: Timeout = _UNSET) -> Self:
        """Boot, and wait until it runs. A VM that died may boot again.

        Raises:
            Busy: EBUSY; it is up.
            PeerDied: EPIPE; it died while booting.
            DeadlineExceeded: ETIMEDOUT; it is killed then.
        """
        self._bench._core.boot(self.id, self._bench._limit(timeout))
        return self

    def shutdown(self, *, timeout: Timeout = _UNSET) -> None:
        """Stop in order: its links go OFF, its applications see EPIPE, then it is OFF.

        Raises:
            DeadlineExceeded: ETIMEDOUT; it is killed then.
        """
        self._bench._core.shutdown(self.id, self._bench._limit(timeout))

    def reboot(self, *, timeout: Timeout = _UNSET) -> Self:
        """Shut down and boot."""
        self.shutdown(timeout=timeout)
        return self.boot(timeout=timeout)

    def kill(self) -> None:
        """SIGKILL (process backend) or abandon (thread backend). Nothing of it runs when this returns."""
        self._bench._core.kill(self.id)

    def wait(self, state: VmState, *, timeout: Timeout = _UNSET) -> Self:
        """Wait until the VM is in that state."""
        self._bench._core.wait_vm(self.id, int(state), self._bench._limit(timeout))
        return self

    def application(self) -> Application:
        """A new application of this VM that lives in this process. Close it when done."""
        return Application(self._bench._core.attach(self.id), self._bench.timeout)

    def _shared(self) -> Application:
        boots = self.boots
        if (
            self._application is None
            or self._application[0] != boots
            or self._application[1]._core.closed
        ):
            if self._application is not None:
                self._application[1].close()
            self._application = (boots, self.application())
        return self._application[1]

    def devices(self) -> list[str]:
        """Names of the devices its applications can open."""
        return self._shared().devices()

    def rpq(self, name: str) -> Device:
        """A vRPQ device of this VM, driven from this process: ``vogl0``."""
        return self._shared().rpq(name)

    @property
    def memory(self) -> Memory:
        """Memory of an application of this VM that lives in this process: to grant, and to map."""
        return self._shared().memory

    def grant(
        self,
        to: int | Vm,
        pages: Pages | list[Pages],
        access: str = "r",
        *,
        level: GrantLevel | None = None,
    ) -> None:
        """Let another VM map pages of ``self.memory``. See `Memory.grant`."""
        self.memory.grant(to.id if isinstance(to, Vm) else to, pages, access, level=level)

    def deny(self, to: int | Vm, pages: Pages | list[Pages], access: str = "r") -> None:
        """Take them back. See `Memory.deny`."""
        self.memory.deny(to.id if isinstance(to, Vm) else to, pages, access)

    def map(self, pages: MemoryRegion | tuple[int, int], *, writable: bool = False) -> MemoryWindow:
        """Map pages that another VM granted to this one. See `Memory.map`."""
        at, nbytes = (pages.address, pages.nbytes) if isinstance(pages, MemoryRegion) else pages
        return self.memory.map(at, nbytes, writable=writable)

    def umem(self, name: str) -> umem.Device:
        """A vUmem device of this VM, driven from this process: ``vogl0``."""
        return self._shared().umem(name)

    def dma(self) -> dma.Device:
        """A device of this VM that moves memory by itself. Close it when done. See `hyplink.dma`."""
        return self._shared().dma()

    def ion(self) -> ion.Ion:
        """The device ``vion`` of this VM, driven from this process. Close it when done."""
        return self._shared().ion()

    def pipe(
        self,
        name: str,
        mode: str = "r+",
        *,
        nonblock: bool = False,
        exclusive: bool = False,
        timeout: Timeout = _UNSET,
    ) -> pipe.Pipe:
        """A vBpipe or vPipe of this VM, driven from this process; waits for the other end. See `hyplink.pipe`."""
        limit = self._bench._limit(timeout)
        return self._shared().pipe(
            name, mode, nonblock=nonblock, exclusive=exclusive, timeout=limit
        )

    def upipe(self, name: str, *, nonblock: bool = False, timeout: Timeout = _UNSET) -> upipe.Upipe:
        """This VM's end of a vUpipe, driven from this process; waits for the other end. See `hyplink.upipe`."""
        return self._shared().upipe(name, nonblock=nonblock, timeout=self._bench._limit(timeout))

    def rpc_client(self, name: str, *, over: int = 0, peer: int = 0) -> rpc.Client:
        """The calling end of a vRPC of this VM, driven from this process. See `rpc.Client`."""
        return self._shared().rpc_client(name, over=over, peer=peer)

    def rpc_server(self, name: str, *, over: int = 0, peer: int = 0) -> rpc.Server:
        """The called end of a vRPC of this VM, driven from this process. See `rpc.Server`."""
        return self._shared().rpc_server(name, over=over, peer=peer)

    def mq(self, name: str, tx: mq.Config | None = None, **options: Any) -> mq.Queue:
        """An end of a vMQ of this VM, driven from this process. See `mq.Queue`."""
        return self._shared().mq(name, tx, **options)

    def event(self, name: str, *, peer: int = 0, wait: bool = True) -> events.FrontEnd:
        """A front end of a vEvent of this VM, driven from this process. See `hyplink.event.FrontEnd`."""
        return self._shared().event(name, peer=peer, wait=wait)

    def event_backend(
        self, name: str, properties: events.Properties, **options: Any
    ) -> events.BackEnd:
        """The back end of a vEvent of this VM, driven from this process. See `hyplink.event.BackEnd`."""
        return self._shared().event_backend(name, properties, **options)

    def start(self, guest: Callable[[Application], T], /) -> Guest[T]:
        """Run code inside the VM: in a process of its own (process backend) or a thread.

        The callable gets an `Application`; it is pickled by value when this process alone can import it.
        """
        kind = ProcessGuest if self._bench.backend == "process" else ThreadGuest
        started: Guest[T] = kind(self._bench._core, self.id, guest, self._bench.timeout)
        # Kept until it has ended: a server that nobody asks about must go on.
        # A failure that nobody heard of is kept, too: it is told when the bench closes.
        self._guests = [guest for guest in self._guests if not guest._settled()] + [started]
        return started

    def _close(self) -> None:
        if self._application is not None:
            self._application[1].close()
            self._application = None

    def __repr__(self) -> str:
        return f"<Vm {self.id} {self.name}: {self.state.name}>"


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
        self.timeout = timeout
        self._boot = boot
        self._core = _core.Bench(board.to_spec(), backend, seed, str(_vm_program()), cleanup_grace)
        self._vms = {spec.id: Vm(self, spec) for spec in board.vms}
        self._links = {
            spec.label: Link(self, index, spec) for index, spec in enumerate(board.links)
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

    def boot(self, *which: int | str, timeout: Timeout = _UNSET) -> Self:
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

        return Trace.from_bench(self)

    @property
    def stats(self) -> Stats:
        """Counters of every channel there was."""
        from hyplink.stats import Stats

        return Stats.from_bench(self)

    @property
    def grants(self) -> list[Grant]:
        """Every grant there is, by address, then importer."""
        return grants_of(*self._core.grants())

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

    def _limit(self, timeout: Timeout) -> float | None:
        return self.timeout if isinstance(timeout, _Unset) else timeout

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
