"""NKDDI: vlinks, persistent memory and cross interrupts, for code that drives a vlink by itself.

    with bench.vm(3).application() as application, Nkddi(application) as nk:
        (link,) = nk.vlinks("vearlydata")
        memory = link.pmem(0, 512)                      # the same bytes at the other end
        number = link.pxirq(0, link.s_id)               # a number of the server's VM
        driver = link.driver(reset=lambda: clear(memory), up=lambda: nk.trigger(number, link.s_id))
        driver.run_until_up()

Nothing runs behind the caller's back: handlers run in `Nkddi.dispatch`, in the thread that calls it. In C the same
names stand in ``hyplink/compat/nkddi.h``; `include_dir` and `library_dir` say where a compiler finds it.

Source: spec 000; vlx-facts 1, 6.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from hyplink import _core, errors
from hyplink.arguments import LAST_VM, whole
from hyplink.closing import Closing
from hyplink.timeouts import UNSET, Timeout, or_default

if TYPE_CHECKING:
    from typing import Self

    from hyplink.rpq import Application

__all__ = [
    "SYSCONF",
    "Attachment",
    "Driver",
    "Nkddi",
    "Vlink",
    "connect",
    "include_dir",
    "library_dir",
]

#: The cross interrupt that says: something about your vlinks or the set of running VMs has changed.
SYSCONF = int(_core.SYSCONF)

Role = Literal["server", "client"]
Handler = Callable[[int], object]
_UINT = 2**32 - 1
_OFF, _RESET, _ON = "OFF", "RESET", "ON"
_STATES = (_OFF, _RESET, _ON)


def include_dir() -> Path:
    """What a C or C++ compiler takes as ``-I`` to find ``hyplink/compat/nkddi.h``."""
    return Path(_core.__file__).parent / "include"


def connect() -> Application:
    """The place of a Python program that a VM runs (environment ``HYPLINK_APP_FD``).

    Raises:
        LinkDown: ENOTCONN; no VM has started this program.
    """
    from hyplink.rpq import Application

    descriptor = os.environ.pop("HYPLINK_APP_FD", "")
    if not descriptor.isdecimal():
        raise errors.LinkDown(
            107, "HYPLINK_APP_FD is not set: this program runs inside a VM of a bench"
        )
    return Application(_core.Application.from_fd(int(descriptor)))


def library_dir() -> Path:
    """What a linker takes as ``-L`` (and ``-Wl,-rpath,``) to find ``-lhyplink``, the C names."""
    return Path(_core.__file__).parent / "lib"


class Attachment:
    """A handler of a cross interrupt. One thread: the one that dispatches."""

    def __init__(self, nkddi: Nkddi, number: int, handler: Handler | None, ident: int) -> None:
        self._nkddi = nkddi
        self.number = number
        self.handler = handler
        self._id = ident

    def mask(self) -> None:
        """Stop delivering this number, to every handler of it; at most one is remembered."""
        self._nkddi._core.mask(self.number)

    def unmask(self) -> None:
        """Deliver again. Look at the shared state too: what came meanwhile came at most once."""
        self._nkddi._core.unmask(self.number)

    def detach(self) -> None:
        """Take the handler off. Idempotent."""
        if self._id:
            self._nkddi._core.detach(self._id)
            self._nkddi._attached.pop(self._id, None)
            self._id = 0

    def __repr__(self) -> str:
        return f"<Attachment of XIRQ {self.number}{'' if self._id else ': detached'}>"


class Driver:
    """The handshake of one end of one vlink; it moves at every SYSCONF that `Nkddi.dispatch` delivers."""

    def __init__(
        self, vlink: Vlink, role: Role, callbacks: Mapping[str, Callable[[], object] | None]
    ) -> None:
        self.vlink = vlink
        self.role: Role = role
        self._nkddi = vlink._nkddi
        self._callbacks = [callbacks.get(name) for name in ("reset", "start", "up", "down")]
        self._core: Any = _core.VlinkDriver(self._nkddi._core, vlink.address, role == "server")
        self._sysconf = self._nkddi.attach(SYSCONF, lambda _: self.step())

    @property
    def is_up(self) -> bool:
        """Both ends are ON, and ``up`` has run."""
        return bool(self._core.is_up)

    @property
    def state(self) -> str:
        """``OFF``, ``RESET`` or ``ON``: what this end announced last."""
        return _STATES[self._core.state]

    def step(self) -> bool:
        """Move until nothing moves; True if the link is up then. An exception of a callback comes through."""
        self._core.step(*self._callbacks)
        return self.is_up

    def run_until_up(self, *, timeout: Timeout = UNSET) -> Self:
        """Step and dispatch until the link is up.

        Raises:
            DeadlineExceeded: ETIMEDOUT; the peer did not come, or nothing happened for so long.
        """
        while not self.step():
            self._nkddi.dispatch(timeout=timeout)
        return self

    def stop(self) -> None:
        """Go down to OFF: ``down`` runs, the peer is told."""
        self._core.set_target(False)
        self.step()

    def restart(self) -> None:
        """Come up again after `stop`."""
        self._core.set_target(True)
        self.step()

    def close(self) -> None:
        """Stop, and hear no SYSCONF any more. Idempotent."""
        if self._sysconf._id:
            self._sysconf.detach()
            self.stop()

    def __repr__(self) -> str:
        return f"<Driver of {self.vlink.name} {self.vlink.link}: {self.role}, {self.state}>"


class Vlink:
    """One vlink of this VM, as its descriptor shows it."""

    def __init__(self, nkddi: Nkddi, address: int) -> None:
        self._nkddi = nkddi
        self.address = address
        name, link, index, s_id, c_id = nkddi._core.describe(address)
        #: The class: ``vearlydata``.
        self.name: str = name
        #: Number of the pair; both vlinks of a two-way service have the same.
        self.link: int = link
        #: Position on the board, the same in every VM.
        self.index: int = index
        self.s_id: int = s_id
        self.c_id: int = c_id

    @property
    def s_state(self) -> str:
        """The server's state: ``OFF``, ``RESET`` or ``ON``."""
        return _STATES[self._nkddi._core.state(self.address, True)]

    @property
    def c_state(self) -> str:
        """The client's state."""
        return _STATES[self._nkddi._core.state(self.address, False)]

    @property
    def s_info(self) -> str:
        """The server's ``info`` string."""
        return str(self._nkddi._core.info(self.address, True))

    @property
    def c_info(self) -> str:
        """The client's ``info`` string."""
        return str(self._nkddi._core.info(self.address, False))

    @property
    def roles(self) -> tuple[Role, ...]:
        """Which ends are this VM's; both on a loopback."""
        own: list[Role] = []
        if self.s_id == self._nkddi.id:
            own.append("server")
        if self.c_id == self._nkddi.id:
            own.append("client")
        return tuple(own)

    @property
    def role(self) -> Role:
        """Which end is this VM's.

        Raises:
            BadArgument: EINVAL; both are: say which.
        """
        if len(self.roles) != 1:
            raise errors.BadArgument(
                22, f"{self!r}: both ends are VM {self._nkddi.id}; say which role"
            )
        return self.roles[0]

    @property
    def peer(self) -> int:
        """The VM at the other end."""
        return self.c_id if self.s_id == self._nkddi.id else self.s_id

    def set_state(self, state: str, *, role: Role | None = None) -> str:
        """Write an own end's state and announce it; returns the state the bridge left there.

        Raises:
            NotPermitted: EPERM; that end is another VM's.
            Busy: EBUSY; somebody else drives it.
        """
        if state not in _STATES:
            raise errors.BadArgument(22, f"state {state!r}: expected one of {', '.join(_STATES)}")
        server = (role or self.role) == "server"
        kept: int = self._nkddi._core.set_state(self.address, server, _STATES.index(state))
        return _STATES[kept]

    def pmem(self, ident: int, nbytes: int) -> memoryview:
        """Persistent memory, the same at both ends, kept over restarts. The view stays good after a close.

        Raises:
            AlreadyExists: EEXIST; it has another size.
            BadArgument: EINVAL; 0 bytes, or no number (of 32 bits) or size.
        """
        return self._piece(self._nkddi._core.pmem, ident, nbytes)

    def _piece(
        self, allocate: Callable[[int, int, int], int], ident: int, nbytes: int
    ) -> memoryview:
        number, size = whole(ident, "ident", 0, _UINT), whole(nbytes, "nbytes", 1)
        view: memoryview = self._nkddi._core.map(allocate(self.address, number, size), size)
        return view

    def pdev(self, ident: int, nbytes: int) -> memoryview:
        """Persistent device memory: as `pmem`, in an id space of its own."""
        return self._piece(self._nkddi._core.pdev, ident, nbytes)

    def pxirq(self, ident: int, owner: int, count: int = 1) -> int:
        """First of `count` consecutive cross interrupts of VM `owner`."""
        number, many = whole(ident, "ident", 0, _UINT), whole(count, "count", 1, _UINT)
        vm = whole(owner, "owner", 1, LAST_VM)
        return int(self._nkddi._core.pxirq(self.address, number, vm, many))

    def driver(
        self,
        *,
        role: Role | None = None,
        reset: Callable[[], object] | None = None,
        start: Callable[[], object] | None = None,
        up: Callable[[], object] | None = None,
        down: Callable[[], object] | None = None,
    ) -> Driver:
        """Drive an own end through the handshake. It does not move before its first step.

        Args:
            role: Which end; needed on a loopback only.
            reset: Before OFF→RESET: clear the own part of the shared memory.
            start: Before RESET→ON: the peer's part may be read from now on.
            up: Both ends are ON.
            down: Before OFF; follows every ``start``.
        """
        return Driver(
            self, role or self.role, {"reset": reset, "start": start, "up": up, "down": down}
        )

    def __repr__(self) -> str:
        return (
            f"<Vlink {self.name} {self.link}: server VM {self.s_id} {self.s_state}, "
            f"client VM {self.c_id} {self.c_state}>"
        )


class Nkddi(Closing):
    """What a guest driver may ask of the hypervisor, for an application. One per application."""

    def __init__(self, application: Application) -> None:
        """Open it.

        Raises:
            Busy: EBUSY; this application has it open already.
            PeerDied: EPIPE; the VM is gone.
        """
        self._core: Any = _core.Nkddi(application._core)
        self.timeout = application.timeout
        self._attached: dict[int, Attachment] = {}

    @property
    def id(self) -> int:
        """The own VM."""
        return int(self._core.id)

    @property
    def last_id(self) -> int:
        """The highest VM id of the board."""
        return int(self._core.last_id)

    @property
    def running(self) -> frozenset[int]:
        """The VMs that run now."""
        mask: int = self._core.running()
        return frozenset(vm for vm in range(32) if mask >> vm & 1)

    def vlinks(self, name: str = "") -> list[Vlink]:
        """The vlinks of exactly this class, in the order of the board; without a name, all of this VM."""
        found: list[Vlink] = []
        address = self._core.lookup(name, 0)
        while address:
            found.append(Vlink(self, address))
            address = self._core.lookup(name, address)
        return found

    def map(self, address: int, nbytes: int) -> memoryview:
        """Memory of this VM at an intermediate physical address, in place: PMEM, PDEV pieces, and static regions.

        A static region is what the board's `vl,io-memory` gives this VM (`hyplink.Vm.io_memory`); it is mapped at the
        address the tree says (`ipa-base`), shared with the VMs that map the same physical memory and with no others,
        and keeps its contents over restarts. The view stays good after a close.

        Args:
            address: IPA of the first byte.
            nbytes: Length in bytes; it may not pass the region's end.

        Raises:
            BadGuestAddress: EFAULT; the VM has no memory there, or less of it.
            BadArgument: EINVAL; 0 bytes, or no address or size.

        Does not block beyond two control messages. Any thread. Source: document 003, 2.1.1.
        """
        at, size = whole(address, "address"), whole(nbytes, "nbytes", 1)
        view: memoryview = self._core.map(at, size)
        return view

    def trigger(self, number: int, vm: int) -> None:
        """Raise a cross interrupt of a VM. Rings a bell in shared memory; a system call only if it sleeps.

        Raises:
            BadArgument: EINVAL; never allocated, or no such VM. The journal has it.
            NotPermitted: EPERM; no vlink in common.
        """
        self._core.trigger(number, vm)

    def attach(
        self, number: int, handler: Handler | None = None, *, masked: bool = False
    ) -> Attachment:
        """Deliver a number of this VM (or SYSCONF) from now on. Several handlers may share it.

        Raises:
            BadArgument: EINVAL; never allocated.
            Busy: EBUSY; another application waits on it.
            PmemExhausted: ENOMEM; 63 are attached already.
        """
        ident: int = self._core.attach(number, masked)
        self._attached[ident] = made = Attachment(self, number, handler, ident)
        return made

    def wait(self, *, timeout: Timeout = UNSET) -> int:
        """Wait for the next attached number and take it. Handlers are not run.

        SYSCONF comes before others; these come in turn, beginning with the lowest, so that one which is rung without
        end holds up no other.

        Raises:
            DeadlineExceeded: ETIMEDOUT.
            PeerDied: EPIPE; the own VM is gone.

        Blocks: until one comes; Ctrl-C works.
        """
        return int(self._core.next(or_default(timeout, self.timeout)))

    def poll(self) -> int:
        """Take the pending number whose turn it is; 0 when there is none."""
        return int(self._core.take())

    def dispatch(self, *, timeout: Timeout = UNSET) -> int:
        """Wait for a number, then run the handlers of all that are pending; returns how many were delivered."""
        number, delivered = self.wait(timeout=timeout), 0
        while number:
            for attached in [a for a in self._attached.values() if a.number == number]:
                if attached._id and attached.handler is not None:
                    attached.handler(number)
            delivered += 1
            # Bounded: a handler that rings itself must not keep the caller here.
            number = self.poll() if delivered < 64 else 0
        return delivered

    def close(self) -> None:
        """Give everything back: ends that were taken go OFF, peers are told. Idempotent."""
        self._core.close()

    def __repr__(self) -> str:
        return f"<Nkddi of VM {self.id}>"
