"""One file a command. A module here has ``add_command(subparsers)``.

All of them are imported to build the parser, so they import what their work needs when they run:
``check`` must not pay for ``gen``.
"""

from __future__ import annotations

__all__ = ["COMMANDS"]

#: In the order of ``--help``.
COMMANDS = [
    "check",
    "explain",
    "gen",
    "fmt",
    "lint",
    "lock",
    "breaking",
    "size",
    "lsp",
    "import_",
    "dump",
    "call",
    "mock",
    "replay",
]
