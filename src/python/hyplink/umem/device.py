"""A vUmem device of a VM."""

from __future__ import annotations

from hyplink import _core
from hyplink.timeouts import UNSET, Timeout, or_default
from hyplink.umem.client import Buffer, Session, imported
from hyplink.umem.server import Server
from hyplink.umem.words import Profile, Token

__all__ = ["Device"]


class Device:
    """A vUmem device of a VM, such as ``vogl0``."""

    def __init__(
        self,
        application: _core.Application,
        name: str,
        timeout: float | None,
    ) -> None:
        self._application = application
        self.name = name
        self.timeout = timeout

    def _limit(self, timeout: Timeout) -> float | None:
        return or_default(timeout, self.timeout)

    def server(self, *, timeout: Timeout = UNSET) -> Server:
        """Become the server; waits for the link.

        Raises:
            Busy: EBUSY; there is one.
            NoSuchLink: ENODEV; lists the devices there are.
            DeadlineExceeded: ETIMEDOUT; the client VM did not come.
        """
        limit = self._limit(timeout)
        core = _core.UmemServer.create(self._application, f"vumem-srv-{self.name}", limit)
        return Server(core, self.name, limit)

    def session(self, *, master: bool = False, timeout: Timeout = UNSET) -> Session:
        """Create a session; waits for the link and for a server.

        Raises:
            Busy: EBUSY; a second master.
            NoSuchLink: ENODEV; lists the devices there are.
            DeadlineExceeded: ETIMEDOUT; no server came.
        """
        limit = self._limit(timeout)
        core = _core.UmemSession.create(self._application, f"vumem-clt-{self.name}", master, limit)
        return Session(core, self._application, self.name, limit)

    def import_buffer(self, token: Token, *, timeout: Timeout = UNSET) -> Buffer:
        """A buffer of another application of this VM; `Buffer.register` it before it is mapped."""
        return imported(self._application, self.name, token, self._limit(timeout))

    def profile(self, *, server: bool = False, reset: bool = False) -> Profile:
        """What this VM's driver has counted: vumemProf. `reset` begins again at 0."""
        device = f"vumem-{'srv' if server else 'clt'}-{self.name}"
        return Profile(*_core.umem_profile(self._application, device, reset, self.timeout))

    def __repr__(self) -> str:
        return f"<umem.Device {self.name} of VM {self._application.vm}>"
