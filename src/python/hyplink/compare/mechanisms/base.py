"""What each mechanism brings to the comparison: code for both VMs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from hyplink.rpq import Application

__all__ = ["CHUNK", "Connection", "Mechanism"]

#: How much is moved at a time unless a mechanism's own limit is lower.
CHUNK = 64 << 10


class Connection(ABC):
    """The client's side, in VM 3. A step that a mechanism has no form of is left out."""

    #: bytes of one `move`
    chunk: int = CHUNK
    #: whether the same end also receives
    both_ways: bool = True
    #: what can be told apart by whether the sender waits: name -> one transfer
    transfers: dict[str, Callable[[], object]]
    #: can the receiver be told and then sleep, or can it only look?
    wakes: bool = True

    @abstractmethod
    def round_trip(self) -> None:
        """Eight bytes there and eight bytes back."""

    @abstractmethod
    def move(self, times: int) -> None:
        """So many chunks to the server; returns when it has them all."""

    @abstractmethod
    def copies(self) -> tuple[int, int]:
        """Copies so far, and pieces of data that they moved."""

    @abstractmethod
    def send_away(self, seconds: float) -> None:
        """The server is busy from now on for so long."""

    @abstractmethod
    def came_back(self) -> int:
        """When it had been away (monotonic ns)."""

    @abstractmethod
    def opens_again(self) -> bool:
        """Whether a second user in this VM gets an end of its own beside this one."""

    @abstractmethod
    def wait_for_death(self) -> None:
        """Returns when the server is known to be dead."""

    @abstractmethod
    def close(self) -> None:
        """Give it up."""


class Mechanism(ABC):
    """One row of the table."""

    name: ClassVar[str]
    board: ClassVar[str]
    #: Files and folders below src/cpp/hyplink that are the mechanism, ``python/`` for those of the Python package.
    #: Kin share some.
    sources: ClassVar[tuple[str, ...]]

    @abstractmethod
    def serve(self, application: Application) -> None:
        """In VM 2, until the client is gone."""

    @abstractmethod
    def connect(self, application: Application) -> Connection:
        """In VM 3."""
