"""vUmem: buffers that live in one VM's memory and are mapped by the applications of another.

A server lends whatever memory it has; a client allocates, maps and frees::

    with server_vm.umem("vogl0").server() as server:           # VM 2
        for request in server:
            match request.command:
                case Command.ALLOC: server.respond(Memory(2 << 20))
                case _: server.respond()

    with client_vm.umem("vogl0").session() as session:         # VM 3
        with session.alloc(b"2M, please") as buffer:
            numpy.frombuffer(buffer.map(), "u4")[:] = 7        # no copy: the server's own memory

Source: PVUG 3.2; vlx-facts 3.
"""

from __future__ import annotations

from hyplink.timeouts import Timeout as Timeout
from hyplink.umem.client import Buffer as Buffer
from hyplink.umem.client import Session as Session
from hyplink.umem.device import Device as Device
from hyplink.umem.server import Server as Server
from hyplink.umem.serving import Handler as Handler
from hyplink.umem.serving import serve as serve
from hyplink.umem.words import MAX_ARGUMENT as MAX_ARGUMENT
from hyplink.umem.words import ORDINARY as ORDINARY
from hyplink.umem.words import Attribute as Attribute
from hyplink.umem.words import CacheOp as CacheOp
from hyplink.umem.words import CachePolicy as CachePolicy
from hyplink.umem.words import Command as Command
from hyplink.umem.words import Memory as Memory
from hyplink.umem.words import Profile as Profile
from hyplink.umem.words import Request as Request
from hyplink.umem.words import Token as Token

__all__ = [
    "Attribute",
    "Buffer",
    "CacheOp",
    "CachePolicy",
    "Command",
    "Device",
    "Handler",
    "Memory",
    "Profile",
    "Request",
    "Server",
    "Session",
    "Token",
    "serve",
]
