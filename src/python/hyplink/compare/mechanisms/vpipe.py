"""vPipe: bytes one way. Two of them, so that there is an answer to wait for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hyplink.compare.mechanisms.base import Connection, Mechanism
from hyplink.compare.mechanisms.stream import StreamConnection, serve_stream

if TYPE_CHECKING:
    from hyplink.rpq import Application

__all__ = ["Vpipe"]


class Vpipe(Mechanism):
    """vPipe: ``vpipe0`` to VM 2, ``vpipe1`` back."""

    name = "vPipe"
    board = """
&vm2_vdevs {
    to: vpipe@to { compatible = "vpipe"; info = "1M"; server; };
    vpipe@back { peer-phandle = <&back>; client; };
};
&vm3_vdevs {
    vpipe@to { peer-phandle = <&to>; client; };
    back: vpipe@back { compatible = "vpipe"; info = "1M"; server; };
};
"""
    sources = ("app/pipe", "guest/pipe_", "ring/pipe_")

    def serve(self, application: Application) -> None:
        """Answer until the other end is closed."""
        with application.pipe("vpipe0", "r") as asked, application.pipe("vpipe1", "w") as answers:
            serve_stream(asked, answers)

    def connect(self, application: Application) -> Connection:
        """The other ends, open."""
        out = application.pipe("vpipe0", "w")
        try:
            into = application.pipe("vpipe1", "r")
        except OSError:
            out.close()
            raise
        connection = StreamConnection(out, into, lambda: application.pipe("vpipe0", "w"))
        connection.both_ways = False
        return connection
