"""The ``/dev`` names of VMs in a folder, for programs that nobody here wrote.

    with bench.mount("/tmp/bench"):
        subprocess.run(["sh", "-c", "echo hello > /tmp/bench/vm4/dev/vbpipe0"])

Pipes can be opened as files: ``cat``, ``dd``, ``socat`` or any program with ``open``, ``read``, ``write``, ``poll`` and
``close`` talk between VMs. They have the pipes' manners (`hyplink.pipe`): opening waits for the other end, a read waits
for all it asks for unless the tree says ``a``. O_NONBLOCK works, at opening and later. Three things do not come
through, because the kernel deals with them before a file system is asked: FIONREAD (what it says means nothing, ask
``poll``), O_EXCL, and a shared mapping. So a vUpipe is refused: EINVAL, and `Mount.notes` says why.
Source: PVUG 3.3; MODEL in src/README.md.

A bench of the process backend only; libfuse 3 and ``/dev/fuse`` have to be there, see `missing`.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

from hyplink import _core, errors
from hyplink.closing import Closing

__all__ = ["Mount", "missing"]

_PATIENCE = 10.0


def program() -> Path:
    """Where ``hyplink-dev`` lies, if it was built: beside the compiled core."""
    return Path(str(_core.__file__)).parent / "bin" / "hyplink-dev"


def missing() -> str | None:
    """Why nothing can be mounted here, with the remedy; None if it can."""
    if not program().exists():
        return (
            "hyplink was built without libfuse 3 (Debian: libfuse3-dev), so there is no hyplink-dev"
        )
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        return "/dev/fuse is absent or not yours: the kernel module fuse, or a container without that device"
    if os.geteuid() != 0 and shutil.which("fusermount3") is None:
        return "fusermount3 is not there (Debian: fuse3)"
    return None


class Mount(Closing):
    """A mounted folder. Any thread.

    Args:
        folder: Must exist; what is in it is hidden meanwhile.
        vms: The VMs there are: id and name.
        attach: Makes a descriptor with which another process is an application of a VM.
        tell: Called, from another thread, with what an errno cannot say: why a device cannot be opened as a file.
            Each text once.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        vms: Callable[[], list[tuple[int, str]]],
        attach: Callable[[int], int],
        tell: Callable[[str], object] = lambda _: None,
    ) -> None:
        """Mount.

        Raises:
            Unsupported: EOPNOTSUPP; says what is missing.
        """
        self.folder = Path(folder).resolve()
        self._vms, self._attach, self._tell = vms, attach, tell
        #: What an errno could not say: why devices were refused.
        self.notes: list[str] = []
        why = missing()
        if why is not None:
            raise errors.Unsupported(errno.EOPNOTSUPP, f"mount on {self.folder}: {why}")
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [str(program()), str(self.folder), str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
            )
        self._settled, self._mounted = threading.Event(), False
        self._thread = threading.Thread(target=self._serve, name="hyplink-dev", daemon=True)
        self._thread.start()
        self._settled.wait(_PATIENCE)
        if not self._mounted:
            self._process.terminate()
            assert self._process.stderr is not None
            words = self._process.stderr.read().decode(errors="replace").strip()
            self.close()
            raise errors.Unsupported(
                errno.EOPNOTSUPP, f"mount on {self.folder}: {words or 'no answer'}"
            )

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while request := self._socket.recv(4096):
                words = request.decode(errors="replace").split()
                if words == ["mounted"]:
                    self._mounted = True
                    self._settled.set()
                elif words == ["list"]:
                    lines = "".join(f"{vm} {name}\n" for vm, name in self._vms())
                    self._socket.send(lines.encode() or b"\n")
                elif words[:1] == ["note"]:
                    note = " ".join(words[1:])
                    self.notes.append(note)
                    self._tell(note)
                elif len(words) == 2 and words[0] == "attach":
                    self._answer(int(words[1]))
        self._settled.set()  # or it has ended

    def _answer(self, vm: int) -> None:
        try:
            descriptor = self._attach(vm)
        except Exception as failure:  # the daemon's user hears of it
            self._socket.send(f"no {failure}"[:1000].encode())
            return
        try:
            socket.send_fds(self._socket, [b"ok"], [descriptor])
        finally:
            os.close(descriptor)

    def wait(self) -> int:
        """Until it is unmounted by somebody; its exit status."""
        return self._process.wait()

    def close(self) -> None:
        """Unmount; what waits in a file gets EINTR. Idempotent."""
        if self._process.poll() is None:
            self._process.terminate()
        self._process.wait()
        if self._process.stderr is not None:
            self._process.stderr.close()
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        if threading.current_thread() is not self._thread:
            self._thread.join()
        self._socket.close()

    def __repr__(self) -> str:
        state = "mounted" if self._process.poll() is None else "ended"
        return f"<dev.Mount on {self.folder}: {state}>"
