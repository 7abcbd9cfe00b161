"""What this machine can give, looked at without hyplink: so that a test is skipped only where it cannot run."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NoReturn

import pytest

from hyplink import errors

_SYS_ADMIN = 21


def passes_through() -> bool:
    """Whether a FUSE file system of ours may pass files through: Linux 6.9, all rights, nothing in the way."""
    status = dict(re.findall(r"^(\w+):\s*(\S+)", Path("/proc/self/status").read_text(), re.M))
    release = re.match(r"(\d+)\.(\d+)", os.uname().release)
    try:
        os.close(os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC))
    except OSError:
        return False
    return (
        release is not None
        and tuple(map(int, release.groups())) >= (6, 9)
        and int(status["CapEff"], 16) >> _SYS_ADMIN & 1 == 1
        and status.get("Seccomp", "0") == "0"
        and Path("/proc/self/uid_map").read_text().split() == ["0", "0", str(2**32 - 1)]
    )


def no_broker(refused: errors.Unsupported) -> NoReturn:
    """Skip where this machine has no level broker; where it should have, the refusal is the failure."""
    # A kernel may be built without it.
    if passes_through() and "passes nothing through" not in str(refused):
        raise refused
    pytest.skip(str(refused))
