"""An application of a VM: what it opens, and its threads."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from hyplink import _core
from hyplink.closing import Closing
from hyplink.memory import Memory
from hyplink.rpq.common import _UNSET, DEFAULT_TIMEOUT, Timeout, _Unset
from hyplink.rpq.sessions import Device

if TYPE_CHECKING:
    from hyplink import dma, ion, mq, rpc, umem
    from hyplink import event as events
    from hyplink import pipe as pipes
    from hyplink import upipe as upipes


class Application(Closing):
    """This code's place in a VM: what a process of the VM holds of its guest kernel. Any thread."""

    def __init__(self, core: Any, timeout: float | None = DEFAULT_TIMEOUT) -> None:
        self._core = core
        self.timeout = timeout
        self._memory: Memory | None = None

    @property
    def vm(self) -> int:
        """The VM's id."""
        return int(self._core.vm)

    @property
    def id(self) -> int:
        """The application's id within its VM."""
        return int(self._core.id)

    def devices(self) -> list[str]:
        """Names of the devices under ``/dev``."""
        return str(self._core.devices()).split()

    def rpq(self, name: str) -> Device:
        """A vRPQ device by the name both sides use, e.g. ``vogl0``."""
        return Device(self._core, name.removeprefix("/dev/"), self.timeout)

    @property
    def memory(self) -> Memory:
        """Memory to grant to other VMs, and granted memory of theirs."""
        if self._memory is None:
            self._memory = Memory(_core.VmMemory(self._core), self.timeout)
        return self._memory

    def umem(self, name: str) -> umem.Device:
        """A vUmem device by the name both sides use, e.g. ``vogl0``."""
        from hyplink import umem

        return umem.Device(self._core, name.removeprefix("/dev/"), self.timeout)

    def dma(self) -> dma.Device:
        """A device of the VM that moves memory by itself. Close it when done. See `hyplink.dma`."""
        from hyplink import dma

        return dma.Device(self._core, self.timeout)

    def ion(self) -> ion.Ion:
        """The device ``vion``: buffers by global ids. Close it when done."""
        from hyplink import ion

        return ion.Ion(self._core, self.timeout)

    def pipe(
        self,
        name: str,
        mode: str = "r+",
        *,
        nonblock: bool = False,
        exclusive: bool = False,
        timeout: Timeout = _UNSET,
    ) -> pipes.Pipe:
        """Open a vBpipe or vPipe: ``vbpipe0``. Waits for the other VM to open it. See `hyplink.pipe.Pipe`."""
        from hyplink import pipe as pipes

        return pipes.Pipe(
            self._core,
            name,
            mode,
            nonblock=nonblock,
            exclusive=exclusive,
            timeout=self.timeout,
            open_timeout=self.timeout if isinstance(timeout, _Unset) else timeout,
        )

    def upipe(
        self, name: str, *, nonblock: bool = False, timeout: Timeout = _UNSET
    ) -> upipes.Upipe:
        """Open this VM's end of a vUpipe: ``vupipe0``. Waits for the other VM to open it. See `hyplink.upipe`."""
        from hyplink import upipe as upipes

        limit = self.timeout if isinstance(timeout, _Unset) else timeout
        return upipes.Upipe(
            self._core, name, nonblock=nonblock, timeout=self.timeout, open_timeout=limit
        )

    def rpc_client(self, name: str, *, over: int = 0, peer: int = 0) -> rpc.Client:
        """The calling end of a vRPC whose info starts with ``name``; `over`: how many such to pass over."""
        from hyplink import rpc

        return rpc.Client(self._core, name, self.timeout, over=over, peer=peer)

    def rpc_server(self, name: str, *, over: int = 0, peer: int = 0) -> rpc.Server:
        """The called end of a vRPC whose info starts with ``name``."""
        from hyplink import rpc

        return rpc.Server(self._core, name, self.timeout, over=over, peer=peer)

    def mq(self, name: str, tx: mq.Config | None = None, **options: Any) -> mq.Queue:
        """An end of a vMQ whose info starts with ``name``. The options are those of `mq.Queue`."""
        from hyplink import mq

        return mq.Queue(self._core, name, self.timeout, tx, **options)

    def event(self, name: str, *, peer: int = 0, wait: bool = True) -> events.FrontEnd:
        """The front end of a vEvent of that name, or ``/dev/input/event0``. See `hyplink.event.FrontEnd`."""
        from hyplink import event as events

        return events.FrontEnd(self._core, name, self.timeout, peer=peer, wait=wait)

    def event_backend(
        self, name: str, properties: events.Properties, **options: Any
    ) -> events.BackEnd:
        """The back end of the vEvent of that name. The options are those of `hyplink.event.BackEnd`."""
        from hyplink import event as events

        return events.BackEnd(self._core, name, self.timeout, properties, **options)

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

        What was granted is taken back when it returns.
        """
        if self._memory is not None:
            self._memory.close()
        self._core.close()

    def __repr__(self) -> str:
        return f"<Application {self.id} of VM {self.vm}>"
