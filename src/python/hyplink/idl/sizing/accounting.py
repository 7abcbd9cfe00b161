"""How the transport counts: the arithmetic of record.hpp, rpq_port.hpp and RpqConfig, once more.

A test compares these numbers with channels of a running bench.
"""

from __future__ import annotations

__all__ = ["HEADER", "port_bytes", "record_bytes", "requests_for", "ring_bytes"]

HEADER = 16
_RING_AT = 1024
_PAGE = 4096
_CALLBACKS = 65536


def record_bytes(in_bytes: int, out_bytes: int) -> int:
    """A request in the ring: its header, its block, the room for its answer."""
    return HEADER + _round8(in_bytes) + _round8(out_bytes)


def requests_for(parameter_bytes: int, pmem: int, requests: int) -> int:
    """How many requests a channel with that many parameter bytes may have under way."""
    share = min(1.0, parameter_bytes / pmem)
    return int(min(max(share * requests, 16.0), 16.0 * 1024 * 1024))


def port_bytes(parameter_bytes: int, requests: int) -> int:
    """The memory object of a channel."""
    ring = parameter_bytes + HEADER * requests
    callback = min(ring // 3 + 512, _CALLBACKS)
    return max(_PAGE, (_RING_AT + ring + callback + 64 + _PAGE - 1) // _PAGE * _PAGE)


def ring_bytes(port: int) -> int:
    """The request ring inside a port."""
    callback = min(port // 4, _CALLBACKS) // 64 * 64
    return (port - _RING_AT - callback) // 64 * 64


def _round8(value: int) -> int:
    return (value + 7) & ~7
