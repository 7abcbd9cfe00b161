"""vBpipe: bytes both ways."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hyplink.compare.mechanisms.base import Connection, Mechanism
from hyplink.compare.mechanisms.stream import StreamConnection, serve_stream

if TYPE_CHECKING:
    from hyplink.rpq import Application

__all__ = ["Bpipe"]


class Bpipe(Mechanism):
    """vBpipe ``vbpipe0``."""

    name = "vBpipe"
    board = """
&vm2_vdevs { be: vbpipe@be { compatible = "vbpipe"; info = ";1M"; }; };
&vm3_vdevs { vbpipe@fe { peer-phandle = <&be>; }; };
"""
    sources = ("app/pipe", "guest/pipe_", "ring/pipe_")

    def serve(self, application: Application) -> None:
        """Answer until the other end is closed."""
        with application.pipe("vbpipe0") as pipe:
            serve_stream(pipe, pipe)

    def connect(self, application: Application) -> Connection:
        """The other end, open."""
        pipe = application.pipe("vbpipe0")
        return StreamConnection(pipe, pipe, lambda: application.pipe("vbpipe0"))
