"""The demo's interface (``gles2.vidl``) and the server that implements it.

The server folds every post into a digest, so that the client can prove that nothing was lost, doubled or altered.
"""

from __future__ import annotations

import functools
import importlib.resources
import struct
import zlib
from typing import Any

from hyplink import idl

__all__ = ["Digest", "interface", "make_server", "pixel"]

_FOUR_FLOATS = struct.Struct("<iffff").pack


@functools.cache
def interface() -> Any:
    """The stubs, generated from the IDL file of the package."""
    source = importlib.resources.files("hyplink.idl") / "examples" / "gles2.vidl"
    with importlib.resources.as_file(source) as path:
        return idl.load(path)


class Digest:
    """Order-sensitive sum over requests; client and server each keep one."""

    def __init__(self) -> None:
        self.value = 0
        self.count = 0

    def add(self, location: int, x: float, y: float, z: float, w: float) -> None:
        """Fold one ``uniform4f`` in."""
        self.value = zlib.crc32(_FOUR_FLOATS(location, x, y, z, w), self.value)
        self.count += 1


def pixel(x: int, y: int) -> bytes:
    """What the server draws at a place, as RGBA."""
    return bytes((x & 255, y & 255, (x ^ y) & 255, 255))


def make_server() -> Any:
    """A handler for ``gles2``; it runs inside the server VM."""
    gles = interface()

    class Server(gles.Handler):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            self.sum = Digest()
            self.names = {"u_mvp": 3, "u_colour": 7}

        def clear_color(self, red: float, green: float, blue: float, alpha: float) -> None:
            self.sum.count += 1

        def uniform4f(self, location: int, x: float, y: float, z: float, w: float) -> None:
            self.sum.add(location, x, y, z, w)

        def buffer_data(self, id: int, n: int, data: memoryview) -> None:
            self.sum.count += 1

        def viewport(self, area: Any) -> None:
            self.sum.count += 1

        def uniform4fv(self, location: int, count: int, values: Any) -> None:
            self.sum.count += 1

        def shader_source(self, shader: int, text: str) -> None:
            self.sum.count += 1

        def swap_buffers(self) -> None:
            self.sum.count += 1

        def get_error(self) -> Any:
            return gles.GlError.NO_ERROR

        def get_uniform_location(self, program: int, name: str) -> int:
            return self.names.get(name, -1)

        def read_pixels(
            self, x: int, y: int, width: int, height: int, format: Any, pixels: memoryview
        ) -> None:
            size = {gles.PixelFormat.RGBA: 4, gles.PixelFormat.RGB: 3}.get(format, 1)
            at = 0
            for row in range(height):
                for column in range(width):
                    pixels[at : at + size] = pixel(x + column, y + row)[:size]
                    at += size

        def digest(self) -> tuple[int, int]:
            return self.sum.value, self.sum.count

        def get_string(self) -> str:
            return "hyplink demo server"

    return Server()
