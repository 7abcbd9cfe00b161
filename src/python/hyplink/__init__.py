"""Run, script, break and measure the inter-VM communication stack of an automotive hypervisor.

>>> import hyplink
>>> with hyplink.Bench.from_dts("vogl") as bench:   # doctest: +SKIP
...     bench.boot()

Names are loaded when first used, so that ``hyplink idl check`` does not pay for the compiled core.
"""

from __future__ import annotations

import importlib

#: As in ``typing``, whose import `hyplink idl check` does not need.
TYPE_CHECKING = False

if TYPE_CHECKING:
    from typing import Any

    from hyplink import board, errors, event, idl, ion, ipc, mq, pipe, rpc, rpq, umem
    from hyplink.bench import Bench, Guest, Link, LinkState, Vm, VmState
    from hyplink.errors import HyplinkError

__all__ = [
    "Bench",
    "Guest",
    "HyplinkError",
    "Link",
    "LinkState",
    "Vm",
    "VmState",
    "__version__",
    "board",
    "errors",
    "event",
    "idl",
    "ion",
    "ipc",
    "mq",
    "pipe",
    "rpc",
    "rpq",
    "umem",
]

__version__ = "0.1.0"

_MODULES = {"board", "errors", "event", "idl", "ion", "ipc", "mq", "pipe", "rpc", "rpq", "umem"}
_NAMES = {
    "Bench": "hyplink.bench",
    "Guest": "hyplink.bench",
    "Link": "hyplink.bench",
    "LinkState": "hyplink.bench",
    "Vm": "hyplink.bench",
    "VmState": "hyplink.bench",
    "HyplinkError": "hyplink.errors",
}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"hyplink.{name}")
    if name in _NAMES:
        return getattr(importlib.import_module(_NAMES[name]), name)
    raise AttributeError(f"module 'hyplink' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
