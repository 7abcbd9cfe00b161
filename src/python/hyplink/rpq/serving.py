"""A guest that serves: sessions, their channels, a thread each."""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Callable
from typing import Any

from hyplink import errors
from hyplink.rpq.application import Application
from hyplink.rpq.server import ServerChannel
from hyplink.rpq.sessions import Session

#: From handler, session, channel and table of buffers (if there is one) to the function that performs one request.
Bind = Callable[..., Callable[[Any], int]]


class _Server:
    """What `serve` returns: a guest that runs inside a VM. Picklable, so that it can go to another process."""

    def __init__(
        self,
        device: str,
        handler: Any,
        dispatch: Callable[[Any, Any], int],
        sessions: int | None,
        batch: int,
        bind: Bind | None,
        hello: bytes,
    ) -> None:
        self.bind = bind
        self.hello = hello
        self.device = device
        self.handler = handler
        self.dispatch = dispatch
        self.sessions = sessions
        self.batch = batch
        #: What its calls may name in vUmem: `buffers.ServerBuffers`, or None.
        self.buffers: Any = None

    def __call__(self, application: Application) -> int:
        """Serve until the VM stops (or `sessions` sessions were served); returns the requests handled."""
        device = application.rpq(self.device)
        handled: list[int] = []
        workers: list[threading.Thread] = []
        failures: list[BaseException] = []
        served = 0
        while self.sessions is None or served < self.sessions:
            try:
                session = device.accept(timeout=None)
            except errors.PeerDied:
                if application.alive:
                    continue  # the client VM died while nobody was there: wait for the next
                break
            except errors.HandleClosed:
                break
            served += 1
            work = functools.partial(self._serve_session, application, session, handled, failures)
            workers.append(application.thread(work))
            workers = [worker for worker in workers if worker.is_alive()]
        for worker in workers:
            application.join(worker)
        if failures:
            raise failures[0]
        return sum(handled)

    def _serve_session(
        self,
        application: Application,
        session: Session,
        handled: list[int],
        failures: list[BaseException],
    ) -> None:
        workers: list[threading.Thread] = []
        with session:
            try:
                while True:
                    channel = session.accept(timeout=None)
                    work = functools.partial(
                        self._serve_channel, session, channel, handled, failures
                    )
                    workers.append(application.thread(work))
            except _GONE:
                pass
            except BaseException as failure:  # handed to whoever asks for the guest's result
                failures.append(failure)
            for worker in workers:
                application.join(worker)

    def _serve_channel(
        self,
        session: Session,
        channel: ServerChannel,
        handled: list[int],
        failures: list[BaseException],
    ) -> None:
        try:
            with channel:
                if self._understands(session, channel):
                    handled.append(self.serve_channel(channel, session))
        except BaseException as failure:  # handed to whoever asks for the guest's result
            failures.append(failure)

    def _understands(self, session: Session, channel: ServerChannel) -> bool:
        """Whether this client can be served; one that did not say what it speaks can. Else it is refused."""
        try:
            for info in (session.info, channel.info) if self.hello else ():
                channel.check_hello(self.hello, info)
        except errors.VersionMismatch:
            return False
        return True

    def serve_channel(self, channel: ServerChannel, session: Session | None = None) -> int:
        """Handle the requests of one channel until its client is gone."""
        if self.bind is None:
            return self._perform_all(channel, functools.partial(self.dispatch, self.handler))
        if self.buffers is None:
            return self._perform_all(channel, self.bind(self.handler, session, channel))
        with self.buffers.table(session) as table:
            perform = self.bind(self.handler, session, channel, table)
            return self._perform_all(channel, perform)

    def _perform_all(self, channel: ServerChannel, perform: Callable[[Any], int]) -> int:
        handled = 0
        receive, set_reason = channel._core.receive, channel._core.set_reason

        def nested(request: Any) -> int:
            try:
                return perform(request)
            except errors.CorruptRing as broken:
                channel.fail(broken)
                return broken.errno or 0

        channel.on_nested(nested)
        with contextlib.suppress(*_GONE):
            while True:
                for request in receive(self.batch, None):
                    try:
                        status = perform(request)
                    except errors.CorruptRing as broken:
                        channel.fail(broken)
                        return handled
                    if request.is_call:
                        set_reason(status)
                    handled += 1
        return handled


#: How a server learns that there is nobody left to serve.
_GONE = (errors.PeerDied, errors.Cancelled, errors.HandleClosed)


def serve(
    device: str,
    handler: Any,
    dispatch: Callable[[Any, Any], int],
    *,
    sessions: int | None = None,
    batch: int = 64,
    bind: Bind | None = None,
    hello: bytes = b"",
) -> Callable[[Application], int]:
    """A guest that accepts sessions on `device` and hands every request to `handler`.

    Start it with ``bench.vm(2).start(serve(…))``. Sessions are served one after another; a request that breaks a
    decode rule closes its channel and nothing else.

    Args:
        device: ``vogl0``.
        handler: An instance of a generated handler class.
        dispatch: The generated module's ``dispatch``.
        sessions: Stop after so many sessions; None serves until the VM stops.
        batch: Most requests taken at a time.
        bind: Makes the function that performs one channel's requests, from handler, session and
            channel; without it ``dispatch`` is that function.
        hello: What the server speaks; a client that says something else gets VersionMismatch.
    """
    return _Server(device, handler, dispatch, sessions, batch, bind, hello)
