"""vION: a buffer under a global id; the id travels by vRPQ."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from hyplink import errors
from hyplink.compare.mechanisms.base import Connection, Mechanism
from hyplink.compare.mechanisms.shared import BYTES, LookingConnection, look_after

if TYPE_CHECKING:
    from hyplink.rpq import Application

__all__ = ["Ion"]


class Ion(Mechanism):
    """vION, with ``vogl0`` to say the id."""

    name = "vION"
    board = """
&vm2_vdevs {
    be: vogl@be { compatible = "vogl"; server; };
    b: vrpc@b { compatible = "vrpc"; info = "vion"; server; };
    vrpc@a { peer-phandle = <&a>; client; info = "vion"; };
};
&vm3_vdevs {
    vogl@fe { peer-phandle = <&be>; client; };
    a: vrpc@a { compatible = "vrpc"; info = "vion"; server; };
    vrpc@b { peer-phandle = <&b>; client; info = "vion"; };
};
"""
    sources = ("app/ion", "guest/ion")

    def serve(self, application: Application) -> None:
        """Share one buffer and look after it."""
        with (
            contextlib.suppress(errors.PeerDied, errors.HandleClosed),
            application.ion() as ion,
            application.rpq("vogl0").accept() as session,
            session.accept() as channel,
        ):
            buffer = ion.alloc(BYTES)
            (request,) = channel.receive()
            request.out[:] = buffer.share().to_bytes(8, "little")
            channel.acknowledge()
            look_after(buffer.map())

    def connect(self, application: Application) -> Connection:
        """The buffer, imported."""
        return _Connection(application)


class _Connection(LookingConnection):
    def __init__(self, application: Application) -> None:
        self.application = application
        self.ion = application.ion()
        with application.rpq("vogl0").session() as session, session.channel() as channel:
            self.ident = int.from_bytes(channel.call_bytes(1, b"", 8), "little")
        self.buffer = self.ion.import_buffer(self.ident)
        super().__init__(self.buffer.map())

    def opens_again(self) -> bool:
        with self.ion.import_buffer(self.ident):
            return True

    @property
    def is_lost(self) -> bool:
        return self.buffer.is_lost

    def close(self) -> None:
        super().close()
        self.buffer.close()
        self.ion.close()
