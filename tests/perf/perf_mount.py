"""Pipes through the mounted /dev against a FUSE pass-through: the library's own example, where its source is."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import measure

from hyplink import Bench, dev

BLOCK = 65536
BOARD = """
&vm2_vdevs { be: vbpipe@be { compatible = "vbpipe"; info = ";1048592"; }; };
&vm4_vdevs { vbpipe@fe { peer-phandle = <&be>; info = ";1048592"; }; };
"""
EXAMPLE = Path("/usr/share/doc/libfuse3-dev/examples/passthrough_ll.c")


@contextlib.contextmanager
def pass_through(work: Path) -> Iterator[Path | None]:
    """A mounted pass-through of a folder in memory; None where it cannot be built."""
    source, mounted, program = work / "source", work / "through", work / "passthrough_ll"
    packed = EXAMPLE.with_suffix(".c.gz")
    if not (EXAMPLE.exists() or packed.exists()) or shutil.which("cc") is None:
        yield None
        return
    if EXAMPLE.exists():
        shutil.copy(EXAMPLE, work)
    else:
        (work / EXAMPLE.name).write_bytes(
            subprocess.run(["zcat", packed], capture_output=True, check=True).stdout
        )
    flags = subprocess.run(
        ["pkg-config", "--cflags", "--libs", "fuse3"], capture_output=True, text=True
    )
    built = subprocess.run(
        [
            "cc",
            "-O2",
            f"-I{EXAMPLE.parent}",
            work / EXAMPLE.name,
            "-o",
            program,
            *flags.stdout.split(),
        ],
        capture_output=True,
    )
    if built.returncode != 0:
        yield None
        return
    source.mkdir()
    mounted.mkdir()
    running = subprocess.Popen(
        [program, "-f", "-o", f"source={source},cache=never", mounted],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    (source / "file").write_bytes(bytes(BLOCK))
    while not (mounted / "file").exists() and running.poll() is None:
        time.sleep(0.01)
    try:
        yield mounted / "file" if running.poll() is None else None
    finally:
        running.terminate()
        running.wait()
        subprocess.run(["umount", "-l", mounted], capture_output=True)


def stream_out(path: str, rounds: int) -> None:
    fd = os.open(path, os.O_RDWR)
    for _ in range(rounds):
        os.write(fd, bytes(BLOCK))
    os.read(fd, 1)  # until all was taken


def stream(context: Any, ends: tuple[Path, Path], rounds: int) -> float:
    """GB/s of blocks from a process of one VM to a process of the other."""
    writer = context.Process(target=stream_out, args=(str(ends[1]), rounds + 1))
    writer.start()
    fd = os.open(ends[0], os.O_RDWR)
    os.read(fd, BLOCK)
    began = time.perf_counter()
    for _ in range(rounds):
        os.read(fd, BLOCK)
    took = time.perf_counter() - began
    os.write(fd, b"!")
    writer.join()
    os.close(fd)
    return rounds * BLOCK / took / 1e9


def echo(path: str, rounds: int) -> None:
    fd = os.open(path, os.O_RDWR)
    for _ in range(rounds):
        os.write(fd, os.read(fd, 1))
    os.read(fd, 1)


def ping(context: Any, ends: tuple[Path, Path], rounds: int) -> float:
    """Microseconds of a byte there and back: four requests."""
    answering = context.Process(target=echo, args=(str(ends[1]), rounds + 1))
    answering.start()
    fd = os.open(ends[0], os.O_RDWR)
    began = 0.0
    for number in range(rounds + 1):
        if number == 1:
            began = time.perf_counter()
        os.write(fd, b"x")
        os.read(fd, 1)
    took = time.perf_counter() - began
    os.close(fd)
    answering.join()
    return took / rounds * 1e6


def through(path: Path, size: int, rounds: int) -> float:
    """Seconds of a write and a read of that size through the pass-through."""
    fd = os.open(path, os.O_RDWR)
    data = bytes(size)
    began = time.perf_counter()
    for _ in range(rounds):
        os.pwrite(fd, data, 0)
        os.pread(fd, size, 0)
    took = time.perf_counter() - began
    os.close(fd)
    return took / rounds


def main() -> None:
    options = measure.arguments(__doc__ or "", passes=5)
    blocks, bytes_ = int(2000 * options.scale) + 10, int(1000 * options.scale) + 10
    context = get_context("fork")

    def body() -> list[dict[str, Any]]:
        why = dev.missing()
        if why is not None:
            return [measure.figure(f"absent: {why}", "", [0.0])]
        found: dict[str, list[float]] = {}
        with (
            tempfile.TemporaryDirectory(dir="/dev/shm") as folder,
            pass_through(Path(folder)) as passed,
            Bench.from_dts(BOARD, backend="process") as bench,
        ):
            mounted = Path(folder) / "bench"
            mounted.mkdir()
            with bench.mount(mounted):
                ends = (mounted / "vm2/dev/vbpipe0", mounted / "vm4/dev/vbpipe0")
                for _ in range(options.passes):
                    found.setdefault("stream", []).append(stream(context, ends, blocks))
                    found.setdefault("ping", []).append(ping(context, ends, bytes_))
                    if passed is not None:
                        took = through(passed, BLOCK, blocks)
                        found.setdefault("passed stream", []).append(BLOCK / took / 1e9)
                        took = through(passed, 1, bytes_)
                        found.setdefault("passed ping", []).append(2 * took * 1e6)
        made = []
        for what, name, unit in (
            ("stream", "vBpipe through the mount, blocks of 64 KiB", "GB/s"),
            ("ping", "vBpipe through the mount, one byte there and back", "us"),
        ):
            limit = None
            if passed is not None:
                limit = ("FUSE pass-through", found[f"passed {what}"])
                made.append(
                    measure.figure(f"pass-through, the same requests ({what})", unit, limit[1])
                )
            made.append(measure.figure(name, unit, found[what], limit=limit))
        return made

    measure.run("perf_mount", options, body)


if __name__ == "__main__":
    main()
