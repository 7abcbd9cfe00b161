"""Old and new versions of an interface: what peers and programs may rely on, and what broke."""

from __future__ import annotations

from hyplink.idl.compat.changes import Change, Class
from hyplink.idl.compat.compare import compare
from hyplink.idl.compat.contract import Entry, contract_of
from hyplink.idl.compat.lock import lock_text, read_contract, read_lock

__all__ = [
    "Change",
    "Class",
    "Entry",
    "compare",
    "contract_of",
    "lock_text",
    "read_contract",
    "read_lock",
]
