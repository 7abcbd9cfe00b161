"""Sessions, and the devices they are made on."""

from __future__ import annotations

from typing import Any

from hyplink.closing import Closing
from hyplink.rpq.client import ClientChannel
from hyplink.rpq.common import ChannelState
from hyplink.rpq.server import ServerChannel
from hyplink.timeouts import UNSET, Timeout, or_default


class Session(Closing):
    """A client application and a server application that talk. Any thread."""

    def __init__(self, core: Any, application: Any, timeout: float | None) -> None:
        self._core = core
        self._application = application
        self.timeout = timeout
        self.info: bytes = bytes(core.info)
        self.number: int = core.number
        self.role: str = core.role
        self.device: str = core.device
        #: The VM at the other end, and its application (server side).
        self.peer_vm: int = core.peer_vm
        self.peer_app: int = core.peer_app
        #: What generated servers keep for all channels of the session.
        self.shared: dict[str, Any] = {}

    def channel(
        self, info: bytes = b"", *, parameter_bytes: int = 0, timeout: Timeout = UNSET
    ) -> ClientChannel:
        """Create a channel; waits until the server accepts it.

        Args:
            info: At most 480 bytes, handed to the server.
            parameter_bytes: Room for parameters; 0 asks for an eighth of ``vrpq-pmem``.
            timeout: Seconds; the channel keeps it as its default.

        Raises:
            PmemExhausted: ENOMEM; names the key to raise.
            PeerDied: EPIPE; the server is gone.
            DeadlineExceeded: ETIMEDOUT; nobody accepted.
        """
        limit = or_default(timeout, self.timeout)
        core = self._core.create_channel(parameter_bytes, info, limit, self._application)
        return ClientChannel(core, limit)

    def accept(self, *, timeout: Timeout = UNSET) -> ServerChannel:
        """Accept the next channel of this session (server side)."""
        limit = or_default(timeout, self.timeout)
        return ServerChannel(self._core.accept_channel(limit, self._application), limit)

    @property
    def state(self) -> ChannelState:
        """OPEN, PEER_CLOSED, DEAD or CLOSED. An aborted session never comes back."""
        return ChannelState(self._core.state)

    def close(self) -> None:
        """Close the session and its channels. Idempotent."""
        self._core.close()

    def __repr__(self) -> str:
        return f"<rpq.Session {self.number} on {self.device}: {self.role}, {self.state.name}>"


class Device:
    """A vRPQ device of a VM, such as ``vogl0``: sessions are created on it, or accepted."""

    def __init__(self, application: Any, name: str, timeout: float | None) -> None:
        self._application = application
        self.name = name
        self.timeout = timeout

    def session(self, info: bytes = b"", *, timeout: Timeout = UNSET) -> Session:
        """Create a session; waits for the link and for a server that accepts.

        Raises:
            NoSuchLink: ENODEV; lists the devices there are.
            DeadlineExceeded: ETIMEDOUT; no server accepted in time.
        """
        limit = or_default(timeout, self.timeout)
        core = self._application.create_session(f"vrpq-clt-{self.name}", info, limit)
        return Session(core, self._application, limit)

    def accept(self, *, timeout: Timeout = UNSET) -> Session:
        """Accept a session (server side).

        Raises:
            PeerDied: EPIPE; the client VM died while we waited: accept again.
            DeadlineExceeded: ETIMEDOUT; nobody came.
        """
        limit = or_default(timeout, self.timeout)
        core = self._application.accept_session(f"vrpq-srv-{self.name}", limit)
        return Session(core, self._application, limit)

    def __repr__(self) -> str:
        return f"<rpq.Device {self.name} of VM {self._application.vm}>"
