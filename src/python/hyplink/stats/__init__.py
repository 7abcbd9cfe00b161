"""Counters of every channel of a bench: what the guides' vrpqstat shows.

Example:
    before = bench.stats
    …
    print(bench.stats.since(before))      # every end of every channel
    print(bench.stats.rpq())              # channel by channel, both ends together
    print(bench.stats.buffers())          # vUmem and vION: buffers, sessions, requests by kind
    print(bench.stats.flows())            # pipes, calls, queues: end by end of each vlink
    bench.count_procedures()              # from here on also by procedure
"""

from __future__ import annotations

from hyplink.stats.buffers import BufferEnd, BufferStats
from hyplink.stats.channels import Stats
from hyplink.stats.ends import ChannelStats
from hyplink.stats.flows import FlowStats, LinkEnd
from hyplink.stats.history import History
from hyplink.stats.procedures import ProcedureStats, procedure_names
from hyplink.stats.rpq import RpqChannel, RpqStats

__all__ = [
    "BufferEnd",
    "BufferStats",
    "ChannelStats",
    "FlowStats",
    "History",
    "LinkEnd",
    "ProcedureStats",
    "RpqChannel",
    "RpqStats",
    "Stats",
    "procedure_names",
]
