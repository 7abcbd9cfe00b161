"""The bench's side: one daemon thread that answers questions.

A client is not trusted to be in its right mind: it may send nonsense, send nothing, read nothing or
stay for ever. One thread serves all with sockets that never block; each client has one request and
one answer in flight, and when too many are there the one that was quiet longest has to go.
"""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import os
import selectors
import socket
import struct
import threading
import time
import weakref
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from hyplink.observe.protocol import REQUEST_BYTES, TRACE_EVENTS, Address, line_of

if TYPE_CHECKING:
    from typing import Self

    from hyplink.board import Board
    from hyplink.grants import Grants, MissedHolds
    from hyplink.link import Link
    from hyplink.stats import Stats
    from hyplink.vm import Vm

__all__ = ["Observable", "Observer"]

_CLIENTS, _BACKLOG = 16, 128
_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid
_numbers = itertools.count(1)


class Observable(Protocol):
    """What is asked of a `hyplink.Bench`."""

    _core: Any

    @property
    def board(self) -> Board:
        """See `Bench.board`."""
        ...

    @property
    def backend(self) -> str:
        """See `Bench.backend`."""
        ...

    @property
    def seed(self) -> int | None:
        """See `Bench.seed`."""
        ...

    @property
    def vms(self) -> Mapping[int, Vm]:
        """See `Bench.vms`."""
        ...

    @property
    def links(self) -> Mapping[str, Link]:
        """See `Bench.links`."""
        ...

    @property
    def stats(self) -> Stats:
        """See `Bench.stats`."""
        ...

    @property
    def grants(self) -> Grants:
        """See `Bench.grants`."""
        ...

    @property
    def missed_holds(self) -> list[MissedHolds]:
        """See `Bench.missed_holds`."""
        ...

    def count_procedures(self, on: bool = True) -> None:
        """See `Bench.count_procedures`."""
        ...

    def journal_bytes(self) -> bytes:
        """See `Bench.journal_bytes`."""
        ...


class _Client:
    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.received = bytearray()
        self.answer = memoryview(b"")
        self.descriptor = -1  # travels with the answer
        self.active = time.monotonic()


class Observer:
    """Lets `hyplink stat` and `hyplink trace` of the same user look at a bench.

    Thread: a daemon thread of its own, until `close` or until the bench is gone.
    """

    def __init__(self, bench: Observable) -> None:
        # Not the bench itself: a forgotten bench must still be collected.
        self._bench = weakref.ref(bench, lambda _: self._wake())
        self._selector = selectors.DefaultSelector()
        self._clients: dict[socket.socket, _Client] = {}
        self._stop = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._closing = False
        self._lock = threading.Lock()
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        self.address = Address(os.geteuid(), os.getpid(), next(_numbers))
        try:
            self._listener.bind(self.address.socket_name)
            self._listener.listen(_BACKLOG)
        except BaseException:
            self._listener.close()
            os.close(self._stop)
            raise
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(self._stop, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._run, name="hyplink-observe", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop answering; the socket is gone when this returns. Idempotent. Any thread."""
        self._wake()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _wake(self) -> None:
        with self._lock:
            if self._stop >= 0:
                self._closing = True
                os.eventfd_write(self._stop, 1)

    # --- the thread ----------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while not self._closing:
                for key, events in self._selector.select():
                    if key.fileobj is self._listener:
                        self._accept()
                    elif key.fileobj in self._clients:
                        self._serve(self._clients[key.fileobj], events)
        finally:
            for client in list(self._clients.values()):
                self._drop(client)
            self._selector.close()
            self._listener.close()
            with self._lock:
                os.close(self._stop)
                self._stop = -1

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError:
            return  # gone again, or no descriptor free: the next one may have more luck
        connection.setblocking(False)
        if not _welcome(connection):
            connection.close()
            return
        if len(self._clients) >= _CLIENTS:
            self._drop(min(self._clients.values(), key=lambda client: client.active))
        self._clients[connection] = _Client(connection)
        self._selector.register(connection, selectors.EVENT_READ)

    def _drop(self, client: _Client) -> None:
        self._selector.unregister(client.connection)
        del self._clients[client.connection]
        client.connection.close()
        if client.descriptor >= 0:
            os.close(client.descriptor)

    def _serve(self, client: _Client, events: int) -> None:
        try:
            if events & selectors.EVENT_WRITE:
                self._send(client)
            elif not self._receive(client):
                self._drop(client)
        except BlockingIOError:
            pass
        except OSError:
            self._drop(client)

    def _receive(self, client: _Client) -> bool:
        """Take what came; False if this client is done or mad."""
        piece = client.connection.recv(REQUEST_BYTES)
        client.received += piece
        client.active = time.monotonic()
        return bool(piece) and self._next(client)

    def _next(self, client: _Client) -> bool:
        end = client.received.find(b"\n")
        if end < 0:
            return len(client.received) < REQUEST_BYTES
        request = bytes(client.received[:end])
        del client.received[: end + 1]
        answer = self._answer(request)
        client.descriptor = answer.pop("descriptor", -1)
        client.answer = memoryview(line_of(answer))
        # Until it has taken this answer it is not listened to.
        self._selector.modify(client.connection, selectors.EVENT_WRITE)
        return True

    def _send(self, client: _Client) -> None:
        if client.descriptor >= 0:
            sent = socket.send_fds(client.connection, [client.answer], [client.descriptor])
            os.close(client.descriptor)
            client.descriptor = -1
        else:
            sent = client.connection.send(client.answer)
        client.answer = client.answer[sent:]
        client.active = time.monotonic()
        if not client.answer:
            self._selector.modify(client.connection, selectors.EVENT_READ)
            if not self._next(client):
                self._drop(client)

    def _answer(self, request: bytes) -> dict[str, Any]:
        bench = self._bench()
        if bench is None:
            return {"ok": False, "error": "the bench is gone"}
        try:
            asked = json.loads(request)
            what = asked.get("do") if isinstance(asked, dict) else None
            question = _QUESTIONS.get(what) if isinstance(what, str) else None
            if question is None:
                return {"ok": False, "error": f"do: expected one of {', '.join(_QUESTIONS)}"}
            return {"ok": True, **question(bench, asked)}
        except (ValueError, RecursionError):
            return {"ok": False, "error": "a request is one JSON object on one line"}
        except Exception as error:
            # Whatever went wrong, a question must never hurt the bench.
            return {"ok": False, "error": f"{type(error).__name__}: {error}"}


def _welcome(connection: socket.socket) -> bool:
    """The same user, or root. An abstract socket has no file mode that could say so."""
    with contextlib.suppress(OSError):
        data = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        _, uid, _ = _CREDENTIALS.unpack(data)
        return uid in (0, os.geteuid())
    return False


# --- questions ------------------------------------------------------------------------------------


def _list(bench: Observable, _: dict[str, Any]) -> dict[str, Any]:
    return {
        "board": bench.board.name,
        "backend": bench.backend,
        "seed": bench.seed,
        "vms": len(bench.vms),
        "links": len(bench.links),
    }


def _topology(bench: Observable, asked: dict[str, Any]) -> dict[str, Any]:
    vms = [
        {"id": vm.id, "name": vm.name, "state": vm.state.name, "boots": vm.boots, "pid": vm.pid}
        for vm in bench.vms.values()
    ]
    links = [
        {
            "label": link.label,
            "server": link.spec.server,
            "client": link.spec.client,
            "states": [state.name for state in link.states],
        }
        for link in bench.links.values()
    ]
    return {**_list(bench, asked), "vms": vms, "links": links}


def _stats(bench: Observable, _: dict[str, Any]) -> dict[str, Any]:
    return {"stats": bench.stats.to_json()}


def _grants(bench: Observable, _: dict[str, Any]) -> dict[str, Any]:
    return {
        "grants": [grant._asdict() for grant in bench.grants],
        "missed_holds": [missed._asdict() for missed in bench.missed_holds],
    }


def _count(bench: Observable, asked: dict[str, Any]) -> dict[str, Any]:
    on = asked.get("on", True)
    if not isinstance(on, bool):
        raise ValueError("on")
    bench.count_procedures(on)
    return {}


def _trace(bench: Observable, asked: dict[str, Any]) -> dict[str, Any]:
    from hyplink.trace.events import RECORD_BYTES, Names, pack_header

    last = asked.get("last", TRACE_EVENTS)
    if not isinstance(last, int) or isinstance(last, bool) or last < 0:
        raise ValueError("last")
    records = bench.journal_bytes()
    wanted = min(last, TRACE_EVENTS) * RECORD_BYTES
    kept = records[len(records) - min(wanted, len(records)) :]
    journal = pack_header(Names.of(bench.board)) + kept
    return {
        "events": len(records) // RECORD_BYTES,
        "journal": base64.b64encode(journal).decode(),
    }


def _attach(bench: Observable, asked: dict[str, Any]) -> dict[str, Any]:
    vm = asked.get("vm")
    if not isinstance(vm, int) or vm not in bench.vms:
        raise ValueError("vm")
    return {"descriptor": bench._core.attach_socket(vm)}


_QUESTIONS = {
    "list": _list,
    "topology": _topology,
    "stats": _stats,
    "grants": _grants,
    "count": _count,
    "trace": _trace,
    "attach": _attach,
}
