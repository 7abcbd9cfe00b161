"""What the document says of each mechanism: spec 001, section 6, in short."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["CLAIMS", "Claim"]


class Claim(NamedTuple):
    """One line of the document's table. Empty: it says nothing or only "?"."""

    name: str
    ends: str
    copies: str
    depends: str
    sync: str
    #: Does the mechanism add latency of its own?
    latency: str


CLAIMS = {
    claim.name: claim
    for claim in (
        Claim("vLINK", "PtP, one way or both", "0", "NKDDI", "async", "no"),
        Claim("vUpipe", "PtP, one way", "0", "vLINK", "async", "no"),
        Claim("vRPQ", "many, one way or both", "1 in, read in place", "vLINK", "both", "no"),
        Claim("vUmem", "PtP, one way", "0", "XMEM bridge", "async", ""),
        Claim("vION", "PtP, one way", "0", "vLINK", "async", "yes"),
        Claim("vEth", "PtP, both ways", "4", "vLINK", "async", "yes"),
        Claim("vRPC", "PtP, both ways", "1", "vLINK", "sync", "no"),
        Claim("vMQ", "PtP, both ways", "0 or more", "vLINK", "async", ""),
        Claim("vEvent", "PtP, can be multiplexed", "2", "vLINK", "async", ""),
        Claim("virtio-net", "many, both ways", "", "nothing", "async", "no"),
        # In the chapters, not in the table.
        Claim("vBpipe", "PtP, both ways", "", "vLINK", "sync", ""),
        Claim("vPipe", "PtP, one way", "", "vLINK", "sync", ""),
        Claim("vIPC", "PtP, both ways", "", "vMQ", "sync", ""),
        Claim("vBD", "PtP, both ways", "", "vMQ, vIPC", "async", ""),
    )
}
