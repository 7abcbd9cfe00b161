"""All of them, by the names of the document."""

from __future__ import annotations

from hyplink.compare.mechanisms.base import Mechanism
from hyplink.compare.mechanisms.bpipe import Bpipe
from hyplink.compare.mechanisms.calls import Ipc
from hyplink.compare.mechanisms.events import Event
from hyplink.compare.mechanisms.ion import Ion
from hyplink.compare.mechanisms.link import Link
from hyplink.compare.mechanisms.messages import Mq
from hyplink.compare.mechanisms.rpc import Rpc
from hyplink.compare.mechanisms.rpq import Rpq
from hyplink.compare.mechanisms.umem import Umem
from hyplink.compare.mechanisms.upipe import Vupipe
from hyplink.compare.mechanisms.vpipe import Vpipe

__all__ = ["MECHANISMS"]

MECHANISMS: dict[str, Mechanism] = {
    mechanism.name: mechanism
    for mechanism in (
        Link(),
        Rpq(),
        Umem(),
        Ion(),
        Bpipe(),
        Vpipe(),
        Vupipe(),
        Rpc(),
        Mq(),
        Ipc(),
        Event(),
    )
}
