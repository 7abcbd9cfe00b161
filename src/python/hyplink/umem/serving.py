"""A handler that serves a vUmem device as long as its VM lives."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any, Protocol

from hyplink import errors
from hyplink.umem.server import Server
from hyplink.umem.words import Command, Request

__all__ = ["Handler", "serve"]


class Handler(Protocol):
    """What `serve` asks of a handler. An ``OSError`` that a method raises answers its errno."""

    def alloc(self, request: Request) -> Any:
        """The memory of a new buffer, see `Server.respond`; or (memory, argument back)."""

    def free(self, request: Request) -> None:
        """The buffer is gone; its memory is this side's alone when this returns."""


class _Server:
    """What `serve` returns: a guest that runs inside a VM. Picklable, so that it can go to another process."""

    def __init__(self, device: str, make: Callable[[], Any]) -> None:
        self.device = device
        self.make = make

    def __call__(self, application: Any) -> int:
        """Serve until the VM stops; returns the requests handled."""
        device = application.umem(self.device)
        handled = 0
        while True:
            try:
                server = device.server(timeout=None)
            except errors.PeerDied:
                if application.alive:
                    continue  # the client VM died while it was made: the next one gets another
                return handled
            except errors.HandleClosed:
                return handled
            # A new life of the client begins with a new handler: nothing of the old is kept.
            with server:
                handler = self.make()
                with contextlib.suppress(errors.PeerDied, errors.Cancelled, errors.HandleClosed):
                    request = server.receive(timeout=None)
                    while True:
                        handled += 1
                        request = self._perform(server, handler, request)
            if not application.alive:
                return handled

    @staticmethod
    def _perform(server: Server, handler: Any, request: Request) -> Request:
        """Have the handler do it, and respond; returns the next request."""
        memory: Any = None
        argument: Any = None
        method = getattr(handler, request.command.name.lower(), None)
        try:
            result = None if method is None else method(request)
        except OSError as failure:
            return server.respond_and_receive(error=failure.errno or 5, timeout=None)
        if request.command is Command.ALLOC:
            memory, argument = result if isinstance(result, tuple) else (result, None)
        elif request.command is Command.CONTROL:
            argument = result
        try:
            return server.respond_and_receive(memory, argument=argument, timeout=None)
        except (errors.BadArgument, errors.MessageTooLong):
            if request.command is not Command.ALLOC:
                raise
            handler.free(request)  # the client has the error; the buffer never was
        return server.receive(timeout=None)


def serve(device: str, make: Callable[[], Handler]) -> Callable[[Any], int]:
    """A guest that serves a device with a handler: ``bench.vm(2).start(umem.serve("vogl0", Frames))``.

    Args:
        device: ``vogl0``.
        make: Makes a handler, once for each life of the client VM: its class. Methods: ``alloc(request)``,
            ``free(request)``, and if wanted ``register``, ``unregister``, ``control`` (returns the argument
            that goes back).
    """
    return _Server(device, make)
