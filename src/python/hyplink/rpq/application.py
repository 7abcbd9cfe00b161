"""An application of a VM: what it opens, and its threads."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from hyplink import _core
from hyplink.closing import Closing
from hyplink.rpq.common import DEFAULT_TIMEOUT
from hyplink.rpq.devices import Devices

if TYPE_CHECKING:
    from hyplink.memory import Memory


class Application(Devices, Closing):
    """This code's place in a VM: what a process of the VM holds of its guest kernel. Any thread."""

    def __init__(self, core: Any, timeout: float | None = DEFAULT_TIMEOUT) -> None:
        self._core = core
        self.timeout = timeout
        self._memory: Memory | None = None

    def _opener(self) -> tuple[Any, float | None]:
        return self._core, self.timeout

    @property
    def vm(self) -> int:
        """The VM's id."""
        return int(self._core.vm)

    @property
    def id(self) -> int:
        """The application's id within its VM."""
        return int(self._core.id)

    @property
    def memory(self) -> Memory:
        """Memory to grant to other VMs, and granted memory of theirs."""
        if self._memory is None:
            from hyplink.memory import Memory

            self._memory = Memory(_core.VmMemory(self._core), self.timeout, self.vm)
        return self._memory

    def thread(self, body: Callable[[], object]) -> threading.Thread:
        """Start a thread of this application. A seeded bench schedules it like every other task."""
        started = threading.Thread(target=body, daemon=True)
        started.start()
        return started

    def join(self, thread: threading.Thread) -> None:
        """Wait for a thread made by `thread`."""
        thread.join()

    @property
    def alive(self) -> bool:
        """False once the VM is gone or this application was closed."""
        try:
            self.devices()
        except OSError:
            return False
        return True

    def close(self) -> None:
        """Leave the VM: everything opened here is closed. Idempotent.

        What was granted and lent is taken back when it returns, and keeps its contents.
        """
        if self._memory is not None:
            self._memory.close()
        self._core.close()

    def __repr__(self) -> str:
        return f"<Application {self.id} of VM {self.vm}>"
