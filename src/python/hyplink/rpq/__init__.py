"""vRPQ: sessions, channels, requests, as an application of a VM uses them.

A session belongs to one client application and one server application; a channel to one thread of each. Requests
are marshalled straight into the channel's port and read there by the server. Generated stubs (``hyplink.idl``) use
`ClientChannel` and `Request`; the raw form below is for everything else.

Source: PVUG 3.1; DV-0024 3.4.
"""

from __future__ import annotations

from hyplink.rpq.application import Application as Application
from hyplink.rpq.client import ClientChannel as ClientChannel
from hyplink.rpq.common import DEFAULT_TIMEOUT as DEFAULT_TIMEOUT
from hyplink.rpq.common import CallbackHandler as CallbackHandler
from hyplink.rpq.common import ChannelState as ChannelState
from hyplink.rpq.common import ProcId as ProcId
from hyplink.rpq.common import Request as Request
from hyplink.rpq.devices import Devices as Devices
from hyplink.rpq.server import ServerChannel as ServerChannel
from hyplink.rpq.serving import Bind as Bind
from hyplink.rpq.serving import serve as serve
from hyplink.rpq.sessions import Device as Device
from hyplink.rpq.sessions import Session as Session
from hyplink.timeouts import Timeout as Timeout

__all__ = [
    "Application",
    "CallbackHandler",
    "ChannelState",
    "ClientChannel",
    "Device",
    "ProcId",
    "Request",
    "ServerChannel",
    "Session",
    "serve",
]
