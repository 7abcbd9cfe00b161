"""A language server: mistakes and advice while typing, hover, go to definition, layout.

``hyplink idl lsp`` speaks the protocol on standard input and output; editors start it. ``analysis``
is what it knows, ``server`` how it says it. Standard library only.
"""

from __future__ import annotations

from hyplink.idl.lsp.analysis import Document
from hyplink.idl.lsp.server import Server, serve

__all__ = ["Document", "Server", "serve"]
