"""The bench's own process is killed: nothing of it stays."""

from __future__ import annotations

import contextlib
import os
import re
import select
import subprocess
import sys
import textwrap
import time
import uuid
from pathlib import Path

import pytest

BENCH = """
    import os, sys, threading
    import hyplink
    from hyplink.testing import connect_rpq

    def wait(application):
        application.rpq("vogl0").accept(timeout=None)

    bench = hyplink.Bench.from_dts("vogl", backend="process", timeout=60).__enter__()
    bench.link("vogl0").wait_on()
    pair = connect_rpq(bench)
    for _ in range(2):
        bench.vm(2).start(wait)
    bench.vm(3).start(os.getpid).done()
    bench._core.run(3, ["sleep", "1000"], [], [])
    ready = bench.vm(2).start(lambda application: 1).result(timeout=60)
    print("ready", flush=True)
    END
"""
ENDS = {
    "killed": "sys.stdin.read()",
    "left": "os._exit(0)",
    "ended": "pass",
    "raised": "raise SystemExit(3)",
}


def family(word: str) -> dict[int, str]:
    """Processes that inherited the word, by pid."""
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            if word.encode() in (entry / "environ").read_bytes():
                found[int(entry.name)] = (
                    (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                )
        except OSError:
            continue
    return found


@pytest.mark.parametrize("end", ENDS)
def test_nothing_survives_the_bench_process(end, tmp_path) -> None:
    word = f"HYPLINK_TEST_WORD={uuid.uuid4().hex}"
    name, value = word.split("=")
    shared = set(Path("/dev/shm").iterdir())
    script = tmp_path / "bench.py"
    script.write_text(textwrap.dedent(BENCH).replace("END", ENDS[end]))
    with subprocess.Popen(
        [sys.executable, str(script)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, name: value, "TMPDIR": str(tmp_path)},
        cwd=tmp_path,
    ) as child:
        line = child.stdout.readline()
        watched = {}
        if end == "killed":
            assert line == b"ready\n"
            members = family(word)
            assert sum("hyplink-vm" in command for command in members.values()) >= 2
            assert any("hyplink._app" in command for command in members.values())
            assert any("sleep" in command for command in members.values())
            for pid in members:
                # One that was started last may have ended by now.
                with contextlib.suppress(ProcessLookupError):
                    if pid != child.pid:
                        watched[os.pidfd_open(pid)] = pid
            child.kill()
        child.stdin.close()
        child.wait(timeout=120)
        # A process descriptor is readable once that process has ended.
        while watched:
            ended = select.select(list(watched), [], [], 60)[0]
            assert ended, f"still there: {[family(word).get(pid) for pid in watched.values()]}"
            for descriptor in ended:
                os.close(descriptor)
                del watched[descriptor]
    wait_until_gone(word)
    # Whatever else others put there meanwhile.
    assert [
        path for path in set(Path("/dev/shm").iterdir()) - shared if "hyplink" in path.name
    ] == []
    named = re.findall(rf"\S*hyplink\S*/{child.pid}/\S*", Path("/proc/net/unix").read_text())
    assert named == []
    assert [path.name for path in tmp_path.iterdir()] == ["bench.py"]


def wait_until_gone(word: str) -> None:
    """Also those that the last ones were just starting."""
    until = time.monotonic() + 60
    while members := family(word):
        assert time.monotonic() < until, f"still there: {members}"
        for pid in members:
            with contextlib.suppress(ProcessLookupError):
                descriptor = os.pidfd_open(pid)
                try:
                    assert select.select([descriptor], [], [], 60)[0], f"process {pid} stays"
                finally:
                    os.close(descriptor)
