"""OpenGL ES between two VMs: the client's programs know nothing of it.

    with hyplink.Bench.from_dts("vogl", backend="process") as bench:
        with vogl.serve(bench.vm(2)), vogl.run(bench.vm(3), ["./a-gles2-program"]) as program:
            print(program.read())

`serve` starts ``hyplink-vogl`` in the VM that has the graphics (here: the machine's own EGL and OpenGL ES, in
software). `run` starts a program in the other VM with the ``libEGL.so.1`` and ``libGLESv2.so.2`` of `library_dir` in
front of the machine's; by hand that is ``LD_LIBRARY_PATH`` and nothing else. The interfaces are ``gles2.vidl``,
imported from the Khronos registry, and ``vegl.vidl`` in `interface_dir`.

A program's context is a channel: what it draws is posted, what it asks is a call. When the server's VM dies its EGL
says EGL_CONTEXT_LOST and its GL does nothing.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hyplink import _core, errors
from hyplink.closing import Closing
from hyplink.guest import readable

if TYPE_CHECKING:
    from hyplink.vm import Vm

__all__ = ["Program", "interface_dir", "library_dir", "problem", "run", "serve"]


def interface_dir() -> Path:
    """Where ``gles2.vidl`` and ``vegl.vidl`` are."""
    return Path(__file__).parent


def library_dir() -> Path:
    """Where the client's ``libEGL.so.1`` and ``libGLESv2.so.2`` are: an entry of LD_LIBRARY_PATH."""
    return Path(_core.__file__).parent / "lib" / "vogl"


def _server_program() -> Path:
    return Path(_core.__file__).parent / "bin" / "hyplink-vogl"


def problem() -> str:
    """Why this installation has no vOGL, in a sentence; empty when it has."""
    if not (library_dir() / "libEGL.so.1").exists():
        return "hyplink was built without vOGL: the headers of EGL and OpenGL ES were not there"
    return ""


class Program(Closing):
    """A program in a VM, and what it prints (both streams)."""

    def __init__(
        self, vm: Vm, words: Sequence[str | os.PathLike[str]], environment: Sequence[str]
    ) -> None:
        self.words = [os.fspath(word) for word in words]
        read, write = os.pipe()
        self._output = os.fdopen(read, "rb", buffering=0)
        self._unread = b""
        try:
            # Descriptor 3 is the way to the VM's kernel, the pipe is the next.
            script = ["/bin/sh", "-c", 'exec "$@" >&4 2>&1 4>&-', "sh", *self.words]
            vm._running.core.run(vm.id, script, list(environment), [write])
        except BaseException:
            self._output.close()
            raise
        finally:
            os.close(write)

    def readline(self, *, timeout: float | None = None) -> str:
        """The next line; what is left of one at the program's end.

        Raises:
            DeadlineExceeded: ETIMEDOUT.
        """
        limit = None if timeout is None else time.monotonic() + timeout
        while b"\n" not in self._unread:
            chunk = self._chunk(limit)
            if not chunk:
                break
            self._unread += chunk
        line, _, self._unread = self._unread.partition(b"\n")
        return line.decode(errors="replace")

    def read(self, *, timeout: float | None = None) -> str:
        """Everything until it ends.

        Raises:
            DeadlineExceeded: ETIMEDOUT; what came until then is kept.
        """
        limit = None if timeout is None else time.monotonic() + timeout
        while chunk := self._chunk(limit):
            self._unread += chunk
        text, self._unread = self._unread.decode(errors="replace"), b""
        return text

    def _chunk(self, limit: float | None) -> bytes:
        left = None if limit is None else max(0.0, limit - time.monotonic())
        if not readable(self._output, left):
            raise errors.DeadlineExceeded(110, f"{self.words[0]} goes on")
        return self._output.read(65536) or b""

    def close(self) -> None:
        """Stop listening. The program goes on; it ends with its VM at the latest."""
        self._output.close()

    @property
    def closed(self) -> bool:
        """True after `close`."""
        return self._output.closed

    def __repr__(self) -> str:
        return f"<vogl.Program {self.words[0]}>"


def serve(vm: Vm, device: str = "vogl0", *, timeout: float | None = 30.0) -> Program:
    """Start the server of a vogl link in its server VM (process backend); clients may come when this returns.

    Raises:
        Unsupported: ENOTSUP; see `problem`.
        GuestFailed: It ended: no usable EGL here.
    """
    _require()
    server = Program(vm, [_server_program(), f"/dev/vrpq-srv-{device}"], [])
    line = server.readline(timeout=timeout)
    if line != "ready":
        with server:
            raise errors.GuestFailed(f"{line}\n{server.read(timeout=timeout)}".strip())
    return server


def run(
    vm: Vm,
    words: Sequence[str | os.PathLike[str]],
    device: str = "vogl0",
    *,
    environment: Sequence[str] = (),
) -> Program:
    """Start an OpenGL ES program in the client VM of a vogl link (process backend).

    Raises:
        Unsupported: ENOTSUP; see `problem`.
    """
    _require()
    path = os.pathsep.join([str(library_dir()), *filter(None, [os.environ.get("LD_LIBRARY_PATH")])])
    own = [f"LD_LIBRARY_PATH={path}", f"HYPLINK_VOGL_DEVICE=/dev/vrpq-clt-{device}"]
    return Program(vm, words, [*own, *environment])


def _require() -> None:
    why = problem()
    if why:
        raise errors.Unsupported(95, why)
