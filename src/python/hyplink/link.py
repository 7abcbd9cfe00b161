"""A vlink of a running board."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

from hyplink.running import Running
from hyplink.timeouts import UNSET, Timeout

if TYPE_CHECKING:
    from typing import Self

    from hyplink.board import LinkSpec

__all__ = ["Link", "LinkState"]


class LinkState(enum.IntEnum):
    """State of one end of a vlink. A link is usable when both ends are ON."""

    OFF = 0
    RESET = 1
    ON = 2


class Link:
    """One vlink of the board, as the hypervisor sees it."""

    def __init__(self, running: Running, index: int, spec: LinkSpec) -> None:
        self._running = running
        self.index = index
        self.spec = spec
        self.label: str = spec.label

    @property
    def states(self) -> tuple[LinkState, LinkState]:
        """(server's state, client's state)."""
        server, client = self._running.core.link_states(self.index)
        return LinkState(server), LinkState(client)

    @property
    def is_on(self) -> bool:
        """True if both ends are ON."""
        return self.states == (LinkState.ON, LinkState.ON)

    def wait_on(self, *, timeout: Timeout = UNSET) -> Self:
        """Wait until both ends are ON.

        Raises:
            DeadlineExceeded: ETIMEDOUT.

        Blocks: until then; Ctrl-C works.
        """
        self._running.core.wait_link(self.index, True, self._running.limit(timeout))
        return self

    def wait_off(self, *, timeout: Timeout = UNSET) -> Self:
        """Wait until the link is not usable."""
        self._running.core.wait_link(self.index, False, self._running.limit(timeout))
        return self

    def __repr__(self) -> str:
        server, client = self.states
        spec = self.spec
        return (
            f"<Link {self.label}: VM {spec.server} {server.name} – VM {spec.client} {client.name}>"
        )
