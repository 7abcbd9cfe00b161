"""A VM of a running board: its life, and its devices driven from this process."""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from hyplink.arguments import span
from hyplink.guest import Guest, ProcessGuest, ThreadGuest
from hyplink.memory import GrantLevel, Memory, MemoryRegion, MemoryWindow, Pages
from hyplink.rpq import Application, Devices
from hyplink.running import Running
from hyplink.timeouts import UNSET, Timeout

if TYPE_CHECKING:
    from typing import Self

    from hyplink.board import IoMemory, VmSpec

__all__ = ["Vm", "VmState"]

T = TypeVar("T")


class VmState(enum.IntEnum):
    """Life of a VM."""

    OFF = 0
    BOOTING = 1
    RUNNING = 2
    STOPPING = 3
    DEAD = 4


class Vm(Devices):
    """One VM of a bench. Its devices are driven from this process, as one application of the VM."""

    def __init__(self, running: Running, spec: VmSpec) -> None:
        self._running = running
        self.spec = spec
        self.id: int = spec.id
        self.name: str = spec.name
        self._application: tuple[int, Application] | None = None
        self._guests: list[Guest[Any]] = []

    @property
    def state(self) -> VmState:
        """OFF, BOOTING, RUNNING, STOPPING or DEAD."""
        return VmState(self._running.core.vm_state(self.id))

    @property
    def boots(self) -> int:
        """How often it was booted."""
        return int(self._running.core.vm_boots(self.id))

    @property
    def pid(self) -> int | None:
        """Process of its guest kernel; None on the thread backend or when it never ran."""
        pid = int(self._running.core.vm_pid(self.id))
        return pid if pid > 0 else None

    @property
    def io_memory(self) -> tuple[IoMemory, ...]:
        """The static regions that the tree gives this VM; `hyplink.nkddi.Nkddi.map` maps them at their ``ipa``."""
        return self.spec.io_memory

    def boot(self, *, timeout: Timeout = UNSET) -> Self:
        """Boot, and wait until it runs. A VM that died may boot again.

        Raises:
            Busy: EBUSY; it is up.
            PeerDied: EPIPE; it died while booting.
            DeadlineExceeded: ETIMEDOUT; it is killed then.
        """
        self._running.core.boot(self.id, self._running.limit(timeout))
        return self

    def shutdown(self, *, timeout: Timeout = UNSET) -> None:
        """Stop in order: its links go OFF, its applications see EPIPE, then it is OFF.

        Raises:
            DeadlineExceeded: ETIMEDOUT; it is killed then.
        """
        self._running.core.shutdown(self.id, self._running.limit(timeout))

    def reboot(self, *, timeout: Timeout = UNSET) -> Self:
        """Shut down and boot."""
        self.shutdown(timeout=timeout)
        return self.boot(timeout=timeout)

    def kill(self) -> None:
        """SIGKILL (process backend) or abandon (thread backend). Nothing of it runs when this returns."""
        self._running.core.kill(self.id)

    def wait(self, state: VmState, *, timeout: Timeout = UNSET) -> Self:
        """Wait until the VM is in that state."""
        self._running.core.wait_vm(self.id, int(state), self._running.limit(timeout))
        return self

    def application(self) -> Application:
        """A new application of this VM that lives in this process. Close it when done."""
        return Application(self._running.core.attach(self.id), self._running.timeout)

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

    def _opener(self) -> tuple[Any, float | None]:
        return self._shared()._core, self._running.timeout

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
        at, nbytes = span(pages, "pages", "a region or (address, bytes)")
        return self.memory.map(at, nbytes, writable=writable)

    def start(self, guest: Callable[[Application], T], /) -> Guest[T]:
        """Run code inside the VM: in a process of its own (process backend) or a thread.

        The callable gets an `Application`; it is pickled by value when this process alone can import it.
        """
        kind = ProcessGuest if self._running.backend == "process" else ThreadGuest
        started: Guest[T] = kind(self._running.core, self.id, guest, self._running.timeout)
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
