"""The other terminal's side: find benches, ask them."""

from __future__ import annotations

import base64
import json
import os
import socket
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hyplink import errors
from hyplink.observe.protocol import ANSWER_BYTES, TRACE_EVENTS, Address, line_of

if TYPE_CHECKING:
    from typing import Self

    from hyplink.grants import Grants, MissedHolds
    from hyplink.stats import Stats
    from hyplink.trace import Trace

__all__ = ["Remote", "choose", "running"]

#: Seconds that a bench has to answer: it does so between its other work.
_PATIENCE = 10.0
_LISTENING = 0x10000


def running(uid: int | None = None) -> list[Address]:
    """The benches of a user that can be looked at; None asks for the own ones.

    Raises:
        Unsupported: EOPNOTSUPP; /proc/net/unix cannot be read here.
    """
    wanted = os.geteuid() if uid is None else uid
    try:
        lines = Path("/proc/net/unix").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise errors.Unsupported(95, f"benches are found in /proc/net/unix: {error}") from None
    found = []
    for line in lines[1:]:
        words = line.split(maxsplit=7)
        if len(words) == 8 and words[7].startswith("@") and int(words[3], 16) & _LISTENING:
            address = Address.parse(words[7][1:])
            if address is not None and address.uid == wanted:
                found.append(address)
    return sorted(set(found))


def choose(which: str | None = None) -> Address:
    """The bench a user means: by process, or the only one there is.

    Args:
        which: ``PID`` or ``PID.N`` as `Address` prints it; None if it goes without saying.

    Raises:
        NoSuchLink: ENODEV; there is none, or not this one.
        BadArgument: EINVAL; there are several; the message lists them.
    """
    found = running()
    names = ", ".join(map(str, found))
    if which is not None:
        for address in found:
            if which in (str(address), f"{address.pid}.{address.number}"):
                return address
        raise errors.NoSuchLink(19, f"bench {which!r}: not running; there is {names or 'none'}")
    if not found:
        raise errors.NoSuchLink(
            19, "no bench of yours is running that can be looked at (hyplink run and demo can)"
        )
    if len(found) > 1:
        raise errors.BadArgument(22, f"several benches are running, say which: --bench {names}")
    return found[0]


class Remote:
    """A running bench of another process. One question at a time; one thread."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            # A socket with a time limit of Python's would not wait for a place in a full queue.
            limit = struct.pack("ll", int(_PATIENCE), 0)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
            self._socket.connect(address.socket_name)
            self._socket.settimeout(_PATIENCE)
            self._check_owner()
        except BlockingIOError:
            self._socket.close()
            raise self._busy() from None
        except OSError as error:
            self._socket.close()
            raise self._gone(error) from None
        self._received = bytearray()

    def _check_owner(self) -> None:
        """Anybody may take a name that says it is ours."""
        data = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        if struct.unpack("3i", data)[1] != self.address.uid:
            raise PermissionError(1, f"its socket is not user {self.address.uid}'s")

    def ask(self, what: str, **more: object) -> dict[str, Any]:
        """Ask one question.

        Raises:
            PeerDied: EPIPE; the bench is gone.
            DeadlineExceeded: ETIMEDOUT; it is too busy to answer.
            ProtocolViolation: EPROTO; it did not understand, or what it says makes no sense.
        """
        try:
            self._socket.sendall(line_of({"do": what, **more}))
            line = self._line()
        except TimeoutError:
            raise self._busy() from None
        except OSError as error:
            raise self._gone(error) from None
        try:
            answer = json.loads(line)
        except ValueError:
            raise errors.ProtocolViolation(71, f"bench {self.address}: answered nonsense") from None
        if not isinstance(answer, dict) or not answer.get("ok"):
            why = answer.get("error") if isinstance(answer, dict) else "?"
            raise errors.ProtocolViolation(71, f"bench {self.address}: {why}")
        return {key: value for key, value in answer.items() if key != "ok"}

    def _line(self) -> bytes:
        while (end := self._received.find(b"\n")) < 0:
            piece = self._socket.recv(1 << 20)
            if not piece or len(self._received) > ANSWER_BYTES:
                raise ConnectionResetError("it hung up")
            self._received += piece
        line = bytes(self._received[:end])
        del self._received[: end + 1]
        return line

    def _busy(self) -> errors.DeadlineExceeded:
        return errors.DeadlineExceeded(110, f"bench {self.address}: no answer in {_PATIENCE:g} s")

    def _gone(self, error: OSError) -> errors.PeerDied:
        return errors.PeerDied(32, f"bench {self.address}: gone ({error.strerror or error})")

    def attach(self, vm: int) -> int:
        """A descriptor with which this process is an application of a VM; the caller's to close.

        Raises:
            ProtocolViolation: EPROTO; the VM does not run, or the backend has no applications in other processes.
        """
        self._socket.sendall(line_of({"do": "attach", "vm": vm}))
        data, descriptors, _, _ = socket.recv_fds(self._socket, 4096, 1)
        self._received += data
        answer = json.loads(self._line())
        if not isinstance(answer, dict) or not answer.get("ok") or len(descriptors) != 1:
            for descriptor in descriptors:
                os.close(descriptor)
            why = answer.get("error") if isinstance(answer, dict) else "?"
            raise errors.ProtocolViolation(71, f"bench {self.address}: {why}")
        return descriptors[0]

    def topology(self) -> dict[str, Any]:
        """VMs and vlinks with their states."""
        return self.ask("topology")

    def stats(self) -> Stats:
        """Its counters."""
        from hyplink.stats import Stats

        return Stats.from_json(self.ask("stats")["stats"])

    def grants(self) -> Grants:
        """Its page grants."""
        from hyplink.grants import Grant, Grants

        return Grants(Grant(**row) for row in self.ask("grants")["grants"])

    def missed_holds(self) -> list[MissedHolds]:
        """As of `Bench`."""
        from hyplink.grants import MissedHolds

        return [MissedHolds(**row) for row in self.ask("grants")["missed_holds"]]

    def count_procedures(self, on: bool = True) -> None:
        """Have it count by procedure, or stop that."""
        self.ask("count", on=on)

    def trace(self, last: int = TRACE_EVENTS) -> Trace:
        """Its last events."""
        from hyplink.trace import Trace

        return Trace.from_bytes(base64.b64decode(self.ask("trace", last=last)["journal"]))

    def close(self) -> None:
        """Hang up. Idempotent."""
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
