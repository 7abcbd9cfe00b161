"""``hyplink doctor``: is everything here that hyplink needs?

Every line is the outcome of trying the thing now, not of a version number. What is missing comes
with its remedy; exit status 3 when something required is missing.
"""

from __future__ import annotations

import argparse
import ctypes
import dataclasses
import errno
import fcntl
import importlib.metadata
import importlib.util
import json
import os
import resource
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

__all__ = ["Finding", "add_command", "examine"]

#: What the kernel offers under this number on every architecture (Linux 5.16).
_FUTEX_WAITV = 449
#: Each VM and application holds some descriptors; a board of the size of the tests needs these.
_FILES, _MAPPINGS = 1024, 65530


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report. ``remedy`` is empty when ``ok``."""

    name: str
    ok: bool
    detail: str
    remedy: str = ""
    required: bool = True

    def to_json(self) -> dict[str, Any]:
        """Plain data for ``--json``."""
        return dataclasses.asdict(self)


class _Missing(Exception):
    """A check's answer when the thing is not there: what was seen, what helps."""

    def __init__(self, detail: str, remedy: str) -> None:
        super().__init__(detail)
        self.remedy = remedy


def _python() -> str:
    seen = sys.version.split()[0]
    if sys.hexversion < 0x030B0000:
        raise _Missing(seen, "apt-get install python3 (3.11 or later)")
    return f"{seen}, {sys.executable}"


def _core() -> str:
    try:
        from hyplink import _core as core
    except ImportError as error:
        raise _Missing(str(error), "pip install . (in the checkout)") from None
    return f"built from source {core.__stamp__[:12]}, {core.__file__}"


def _vm_program() -> str:
    found = importlib.util.find_spec("hyplink._core")
    if found is None or found.origin is None:
        raise _Missing("no compiled core, so no hyplink-vm", "pip install . (in the checkout)")
    program = Path(found.origin).parent / "bin" / "hyplink-vm"
    try:
        # Without arguments it says that it is not meant to be started by hand, and ends with 2.
        done = subprocess.run([program], capture_output=True, timeout=20, check=False)
    except (OSError, subprocess.SubprocessError) as error:
        raise _Missing(str(error), "pip install . (in the checkout)") from None
    if done.returncode != 2:
        raise _Missing(f"{program} ended with {done.returncode}", "pip install . --force-reinstall")
    return str(program)


def _mount() -> str:
    try:
        from hyplink import dev
    except ImportError as error:
        raise _Missing(str(error), "pip install . (in the checkout)") from None
    why = dev.missing()
    if why is not None:
        raise _Missing(why, "apt-get install libfuse3-dev fuse3, then pip install . again")
    return f"/dev/fuse, {dev.program()}"


def _sealed_memory() -> str:
    fd = os.memfd_create("hyplink-doctor", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.ftruncate(fd, 4096)
        wanted = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, wanted)
        if fcntl.fcntl(fd, fcntl.F_GET_SEALS) & wanted != wanted:
            raise _Missing("the kernel does not keep seals", "use Linux 5.3 or later")
        try:
            os.ftruncate(fd, 0)
        except PermissionError:
            return "memfd_create; a sealed region cannot be shrunk by a peer"
        raise _Missing("a sealed region was shrunk", "use Linux 5.3 or later")
    finally:
        os.close(fd)


def _eventfd() -> str:
    fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
    try:
        os.eventfd_write(fd, 1)
        os.eventfd_read(fd)
    finally:
        os.close(fd)
    return "rings and drains"


def _pidfd() -> str:
    os.close(os.pidfd_open(os.getpid()))
    return "pidfd_open"


def _passing() -> str:
    mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with mine, theirs:
        fd = os.eventfd(0, os.EFD_CLOEXEC)
        try:
            socket.send_fds(mine, [b"."], [fd])
        finally:
            os.close(fd)
        received = socket.recv_fds(theirs, 1, 1)[1]
        for fd in received:
            os.close(fd)
    if len(received) != 1:
        raise _Missing("the descriptor did not arrive", "allow SCM_RIGHTS in this sandbox")
    return "a descriptor went through a socket"


def _futex_waitv() -> str:
    libc = ctypes.CDLL(None, use_errno=True)
    # No futexes at all is a wrong argument where the call exists.
    libc.syscall(_FUTEX_WAITV, None, 0, 0, None, 0)
    seen = ctypes.get_errno()
    if seen != errno.EINVAL:
        raise _Missing(errno.errorcode.get(seen, "?"), "use Linux 5.16 or later")
    return "waits on several doorbells at once"


def _files() -> str:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    text = f"{soft} (up to {'any number' if hard == resource.RLIM_INFINITY else hard})"
    if soft < _FILES:
        raise _Missing(text, f"ulimit -n {_FILES}")
    return text


def _mappings() -> str:
    limit = int(Path("/proc/sys/vm/max_map_count").read_text())
    if limit < _MAPPINGS:
        raise _Missing(str(limit), f"sysctl -w vm.max_map_count={_MAPPINGS}")
    return str(limit)


def _cores() -> str:
    cores = len(os.sched_getaffinity(0))
    if cores < 2:
        raise _Missing(str(cores), "give this machine two cores: figures of one mean little")
    return str(cores)


def _unix_sockets() -> str:
    name = f"\0hyplink-doctor/{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        server.bind(name)
        server.listen()
        listed = Path("/proc/net/unix").read_text(encoding="utf-8", errors="replace")
        if "@" + name[1:] not in listed:
            raise _Missing(
                "a socket of ours is not listed", "mount /proc of this network namespace"
            )
    return "a bench elsewhere can be found"


def _taking_back(what: str, gives: str, remedy: str) -> Callable[[], str]:
    """A part of page granting, as the hypervisor would do it."""

    def look() -> str:
        try:
            from hyplink import _core as core
        except ImportError as error:
            raise _Missing(str(error), "pip install . (in the checkout)") from None
        from hyplink import errors

        try:
            core.try_taking_back(what)
        except errors.HyplinkError as refused:
            raise _Missing(str(refused), remedy) from None
        return gives

    return look


def _package(name: str, module: str, requirement: str) -> Callable[[], str]:
    def look() -> str:
        try:
            found = importlib.util.find_spec(module)
        except ImportError:
            found = None
        if found is None:
            raise _Missing("not installed", f"pip install '{requirement}'")
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            return "present"

    return look


def _tool(program: str, package: str) -> Callable[[], str]:
    def look() -> str:
        found = shutil.which(program)
        if found is None:
            raise _Missing("not found", f"apt-get install {package}")
        return found

    return look


_UFFD = "sysctl -w vm.unprivileged_userfaultfd=1 where it is refused"
_KERNEL = "use Linux 5.3 or later, or allow the call in this sandbox"
#: name, check, whether hyplink cannot do without, remedy for an errno that no check explains.
_CHECKS: tuple[tuple[str, Callable[[], str], bool, str], ...] = (
    ("Python 3.11 or later", _python, True, ""),
    ("compiled core", _core, True, ""),
    ("hyplink-vm runs", _vm_program, True, ""),
    ("sealed shared memory", _sealed_memory, True, _KERNEL),
    ("eventfd", _eventfd, True, _KERNEL),
    ("pidfd", _pidfd, True, _KERNEL),
    ("descriptor passing", _passing, True, _KERNEL),
    ("futex_waitv", _futex_waitv, False, _KERNEL),
    ("open files", _files, True, ""),
    ("memory mappings", _mappings, False, ""),
    ("cores", _cores, False, ""),
    ("hyplink dev mount", _mount, False, ""),
    (
        "grants: hold writers back",
        _taking_back(
            "hold writers", "no write is lost while pages are taken back", f"Linux 6.4; {_UFFD}"
        ),
        False,
        "",
    ),
    (
        "grants: hold all users back",
        _taking_back("hold users", "others keep what one is denied", f"Linux 5.13; {_UFFD}"),
        False,
        "",
    ),
    (
        "grants: move pages",
        _taking_back(
            "move pages",
            "a deny asks none of those who keep the pages",
            "echo never > /sys/kernel/mm/transparent_hugepage/shmem_enabled",
        ),
        False,
        "",
    ),
    (
        "grants: level broker",
        _taking_back(
            "pass through", "importers never hold an object", "Linux 6.9, CAP_SYS_ADMIN, /dev/fuse"
        ),
        False,
        "",
    ),
    ("abstract sockets, /proc/net/unix", _unix_sockets, False, "mount /proc"),
    ("devicetree (boards)", _package("devicetree", "devicetree", "devicetree>=0.0.2"), True, ""),
    ("pcpp (boards)", _package("pcpp", "pcpp", "pcpp>=1.30"), True, ""),
    ("pylibfdt (boards)", _package("pylibfdt", "libfdt", "pylibfdt>=1.7"), True, ""),
    ("cloudpickle (guests)", _package("cloudpickle", "cloudpickle", "cloudpickle>=3.0"), True, ""),
    ("numpy (notebooks)", _package("numpy", "numpy", "numpy>=1.26"), False, ""),
    ("ipykernel (notebooks)", _package("ipykernel", "ipykernel", "ipykernel>=6.29"), False, ""),
    ("pytest (plugin)", _package("pytest", "pytest", "pytest>=9.0"), False, ""),
    ("C++ compiler (C++ stubs)", _tool(os.environ.get("CXX", "c++"), "g++"), False, ""),
    ("cmake (C++ stubs)", _tool("cmake", "cmake"), False, ""),
)


def examine() -> Iterator[Finding]:
    """Try everything, one after another."""
    for name, check, required, remedy in _CHECKS:
        try:
            yield Finding(name, True, check(), required=required)
        except _Missing as missing:
            yield Finding(name, False, str(missing), missing.remedy, required)
        except (OSError, AttributeError, ValueError) as error:
            yield Finding(name, False, str(error), remedy, required)


def add_command(subparsers: Any) -> None:
    """Add ``doctor`` to the command line."""
    parser = subparsers.add_parser(
        "doctor",
        help="is everything here that hyplink needs?",
        description="Try everything that hyplink needs and say what helps where it is missing. "
        "Exit status 3 when something required is missing.",
        epilog="examples:\n  hyplink doctor\n  hyplink doctor --json",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    findings = list(examine())
    fine = all(finding.ok for finding in findings if finding.required)
    if options.json:
        text = json.dumps({"ok": fine, "findings": [f.to_json() for f in findings]}, indent=2)
        sys.stdout.write(text + "\n")
        return 0 if fine else 3
    width = max(len(finding.name) for finding in findings)
    for finding in findings:
        word = "ok" if finding.ok else "MISSING" if finding.required else "absent"
        sys.stdout.write(f"{word:8}{finding.name:{width}}  {finding.detail}\n")
        if finding.remedy:
            sys.stdout.write(f"{'':{width + 10}}→ {finding.remedy}\n")
    missing = sum(not finding.ok and finding.required for finding in findings)
    sys.stdout.write("all that is required is here\n" if fine else f"{missing} required missing\n")
    return 0 if fine else 3
