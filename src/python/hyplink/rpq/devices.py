"""The devices of a VM, by name: what an `Application` opens, and through `hyplink.Vm` the process of the bench."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from hyplink.rpq.sessions import Device
from hyplink.timeouts import UNSET, Timeout, or_default

if TYPE_CHECKING:
    from hyplink import dma, ion, mq, rpc, umem
    from hyplink import event as events
    from hyplink import pipe as pipes
    from hyplink import upipe as upipes


class Devices(ABC):
    """Opens the devices of one VM. Names are those both sides use, with or without ``/dev/``. Any thread."""

    @abstractmethod
    def _opener(self) -> tuple[Any, float | None]:
        """The compiled application that opens, and what waits take when they are given no timeout."""

    def devices(self) -> list[str]:
        """Names of the devices under ``/dev``."""
        return str(self._opener()[0].devices()).split()

    def rpq(self, name: str) -> Device:
        """A vRPQ device, e.g. ``vogl0``."""
        application, timeout = self._opener()
        return Device(application, name.removeprefix("/dev/"), timeout)

    def umem(self, name: str) -> umem.Device:
        """A vUmem device, e.g. ``vogl0``. See `hyplink.umem`."""
        from hyplink import umem

        application, timeout = self._opener()
        return umem.Device(application, name.removeprefix("/dev/"), timeout)

    def dma(self) -> dma.Device:
        """A device of the VM that moves memory by itself. Close it when done. See `hyplink.dma`."""
        from hyplink import dma

        return dma.Device(*self._opener())

    def ion(self) -> ion.Ion:
        """The device ``vion``: buffers by global ids. Close it when done. See `hyplink.ion`."""
        from hyplink import ion

        return ion.Ion(*self._opener())

    def pipe(
        self,
        name: str,
        mode: str = "r+",
        *,
        nonblock: bool = False,
        exclusive: bool = False,
        timeout: Timeout = UNSET,
    ) -> pipes.Pipe:
        """Open a vBpipe or vPipe: ``vbpipe0``. Waits for the other VM to open it. See `hyplink.pipe.Pipe`.

        ``timeout`` is that of the rendez-vous; reads and writes wait as long as everything else here.
        """
        from hyplink import pipe as pipes

        application, default = self._opener()
        return pipes.Pipe(
            application,
            name,
            mode,
            nonblock=nonblock,
            exclusive=exclusive,
            timeout=default,
            open_timeout=or_default(timeout, default),
        )

    def upipe(self, name: str, *, nonblock: bool = False, timeout: Timeout = UNSET) -> upipes.Upipe:
        """Open this VM's end of a vUpipe: ``vupipe0``. Waits for the other VM to open it. See `hyplink.upipe`.

        ``timeout`` is as for `pipe`.
        """
        from hyplink import upipe as upipes

        application, default = self._opener()
        limit = or_default(timeout, default)
        return upipes.Upipe(
            application, name, nonblock=nonblock, timeout=default, open_timeout=limit
        )

    def rpc_client(self, name: str, *, over: int = 0, peer: int = 0) -> rpc.Client:
        """The calling end of a vRPC whose info starts with ``name``; `over`: how many such to pass over."""
        from hyplink import rpc

        application, timeout = self._opener()
        return rpc.Client(application, name, timeout, over=over, peer=peer)

    def rpc_server(self, name: str, *, over: int = 0, peer: int = 0) -> rpc.Server:
        """The called end of a vRPC whose info starts with ``name``."""
        from hyplink import rpc

        application, timeout = self._opener()
        return rpc.Server(application, name, timeout, over=over, peer=peer)

    def mq(self, name: str, tx: mq.Config | None = None, **options: Any) -> mq.Queue:
        """An end of a vMQ whose info starts with ``name``. The options are those of `hyplink.mq.Queue`."""
        from hyplink import mq

        application, timeout = self._opener()
        return mq.Queue(application, name, timeout, tx, **options)

    def event(self, name: str, *, peer: int = 0, wait: bool = True) -> events.FrontEnd:
        """The front end of a vEvent of that name, or ``/dev/input/event0``. See `hyplink.event.FrontEnd`."""
        from hyplink import event as events

        application, timeout = self._opener()
        return events.FrontEnd(application, name, timeout, peer=peer, wait=wait)

    def event_backend(
        self, name: str, properties: events.Properties, **options: Any
    ) -> events.BackEnd:
        """The back end of the vEvent of that name. The options are those of `hyplink.event.BackEnd`."""
        from hyplink import event as events

        application, timeout = self._opener()
        return events.BackEnd(application, name, timeout, properties, **options)
