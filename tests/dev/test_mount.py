"""`hyplink dev mount`: real programs open the VMs' pipes as files, are signalled and killed."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import mmap
import os
import select
import shutil
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import hyplink
from hyplink import dev, errors

BOARD = """
&vm2_vdevs { be: vbpipe@be { compatible = "vbpipe"; info = "a;64K;;wakeup=250;name=vbpipe0"; }; };
&vm4_vdevs { vbpipe@fe { peer-phandle = <&be>; info = ";64K;;wakeup=250;name=vbpipe0"; }; };
"""
HERE = Path(__file__).parent
LIMIT = 60.0
NO_FUSE = not os.access("/dev/fuse", os.R_OK | os.W_OK)
pytestmark = [
    pytest.mark.hyplink_backend("process"),
    pytest.mark.hyplink_dts(BOARD),
    pytest.mark.skipif(NO_FUSE, reason="no /dev/fuse on this machine"),
]


@pytest.fixture
def folder(bench: hyplink.Bench, tmp_path: Path) -> Iterator[Path]:
    at = tmp_path / "mnt"
    at.mkdir()
    with bench.mount(at):
        yield at


@pytest.fixture
def one(folder: Path) -> Path:
    return folder / "vm2/dev/vbpipe0"


@pytest.fixture
def two(folder: Path) -> Path:
    return folder / "vm4/dev/vbpipe0"


class Programs:
    """Programs under way; none outlives its test."""

    def __init__(self) -> None:
        self.running: list[subprocess.Popen[bytes]] = []

    def start(self, *words: object, **more: object) -> subprocess.Popen[bytes]:
        started = subprocess.Popen(
            [str(word) for word in words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            **{"stdin": subprocess.DEVNULL, **more},  # type: ignore[call-overload]
        )
        self.running.append(started)
        return started

    def shell(self, line: str) -> subprocess.Popen[bytes]:
        return self.start("sh", "-c", line)


@pytest.fixture
def programs() -> Iterator[Programs]:
    made = Programs()
    yield made
    for program in made.running:
        if program.poll() is None:
            program.kill()
        program.wait(LIMIT)
        for stream in (program.stdin, program.stdout, program.stderr):
            if stream is not None:
                stream.close()


def output(program: subprocess.Popen[bytes]) -> bytes:
    out, err = program.communicate(timeout=LIMIT)
    assert program.returncode == 0, err
    return out


def names_in(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def until(condition: Callable[[], object]) -> None:
    """What another process does shows in /proc; nobody tells of it."""
    give_up = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.005)


def sleeping(stat: Path) -> bool:
    return stat.read_text().rsplit(")", 1)[1].split()[0] in "SD"


def asleep(program: subprocess.Popen[bytes]) -> bool:
    """It sleeps in a system call, which is the one that the test is about or one before."""
    return sleeping(Path(f"/proc/{program.pid}/stat"))


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    def compile_one(name: str) -> Path:
        made = tmp_path_factory.getbasetemp() / name
        if not made.exists():
            compiler = shutil.which("cc") or "gcc"
            subprocess.run([compiler, "-Wall", "-o", made, HERE / f"{name}.c"], check=True)
        return made

    return compile_one


# --- what is there --------------------------------------------------------------------------------


def test_each_vm_shows_its_devices(folder: Path) -> None:
    assert names_in(folder) == ["vm2", "vm4"]
    assert names_in(folder / "vm2") == ["dev"]
    assert "vbpipe0" in names_in(folder / "vm4/dev")
    with pytest.raises(FileNotFoundError):
        (folder / "vm2/dev/vbpipe9").stat()
    with pytest.raises(FileNotFoundError):
        (folder / "vm3").stat()


def test_what_is_no_pipe_cannot_be_opened(folder: Path) -> None:
    with pytest.raises(OSError, match="Invalid argument"):
        os.open(folder / "vm2/dev/vlx-ump", os.O_RDWR)


def test_what_is_missing_is_said_clearly(bench, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(dev, "program", lambda: tmp_path / "absent")
    with pytest.raises(errors.Unsupported, match="libfuse3-dev"):
        bench.mount(tmp_path)


def test_a_folder_that_is_not_there_is_refused(bench, tmp_path) -> None:
    with pytest.raises(errors.Unsupported, match="mount"):
        bench.mount(tmp_path / "absent")


MAPPED = """
&vm2_vdevs { u: vupipe@u { compatible = "vupipe"; info = "64K"; server; }; };
&vm4_vdevs { vupipe@f { peer-phandle = <&u>; client; }; };
"""


@pytest.mark.hyplink_dts(MAPPED)
def test_a_upipe_is_refused_at_once_and_the_mount_says_why(bench, tmp_path: Path) -> None:
    with bench.mount(tmp_path) as mounted:
        for vm, flags in ((2, os.O_RDONLY), (2, os.O_RDWR | os.O_NONBLOCK), (4, os.O_WRONLY)):
            with pytest.raises(OSError, match="Invalid argument"):
                os.open(tmp_path / f"vm{vm}/dev/vupipe0", flags)
        until(lambda: len(mounted.notes) == 2)  # each once
    assert [note.split(":")[0] for note in mounted.notes] == [
        "vm2/dev/vupipe0",
        "vm4/dev/vupipe0",
    ]
    assert "mapped" in mounted.notes[0]


@pytest.mark.hyplink_backend("thread")
def test_a_bench_of_threads_has_nothing_to_mount(bench, tmp_path) -> None:
    with pytest.raises(errors.Unsupported, match="process backend"):
        bench.mount(tmp_path)


# --- programs -------------------------------------------------------------------------------------


def test_echo_to_cat(programs: Programs, one: Path, two: Path) -> None:
    reader = programs.start("cat", one)
    assert output(programs.shell(f"echo hello > {two}")) == b""
    assert output(reader) == b"hello\n"


def test_again_and_again(programs: Programs, one: Path, two: Path) -> None:
    for number in range(10):
        reader = programs.start("cat", one)
        output(programs.shell(f"echo {number} > {two}"))
        assert output(reader) == b"%d\n" % number


def test_dd_copies_a_megabyte_through_two_vms(
    programs: Programs, one: Path, two: Path, tmp_path: Path
) -> None:
    data = os.urandom(1 << 20)
    (tmp_path / "in").write_bytes(data)
    reader = programs.shell(f"dd if={one} of={tmp_path}/out bs=4K iflag=fullblock status=none")
    output(programs.shell(f"dd if={tmp_path}/in of={two} bs=64K conv=notrunc status=none"))
    output(reader)
    assert (tmp_path / "out").read_bytes() == data


def test_socat_carries_a_conversation(programs: Programs, one: Path, two: Path) -> None:
    if shutil.which("socat") is None:
        pytest.skip("socat is not installed")
    # Both ways at once: what VM 2 gets, a cat sends back.
    echo = programs.start("socat", f"OPEN:{one},rdwr", "EXEC:cat")
    with two.open("r+b", buffering=0) as pipe:
        for word in (b"there\n", b"and back\n"):
            pipe.write(word)
            assert pipe.read(len(word)) == word
    echo.wait(LIMIT)


def test_python_opens_it_as_a_file(one: Path, two: Path) -> None:
    got: list[bytes] = []

    def read() -> None:
        with one.open("rb", buffering=0) as pipe:
            while data := pipe.read(100):
                got.append(data)

    reader = threading.Thread(target=read)
    reader.start()
    with two.open("wb", buffering=0) as pipe:
        pipe.write(b"from Python")
    reader.join(LIMIT)
    assert b"".join(got) == b"from Python"


def test_the_guides_listings_work_as_printed(
    compiled, programs: Programs, one: Path, two: Path
) -> None:
    program = compiled("listings")
    server = programs.start(program, "server", one)
    client = programs.start(program, "client", two, stdin=subprocess.PIPE)
    out, err = client.communicate(b"hello from the guide\n", timeout=LIMIT)
    assert (client.returncode, err) == (0, b"")
    # Listing 6 writes one byte more than it got.
    assert out[:-1] == b"hello from the guide"
    output(server)


def test_select_in_a_program_that_knows_nothing(
    compiled, programs: Programs, one: Path, two: Path
) -> None:
    program = programs.start(compiled("selecting"), one)
    writing = os.open(two, os.O_WRONLY)
    try:
        assert program.stdout is not None
        assert program.stdout.readline() == b"open\n"
        for _ in range(3):
            until(lambda: asleep(program))
            os.write(writing, b"xy")
    finally:
        os.close(writing)
    assert output(program) == b"6 bytes, then the end\n"


# --- manners --------------------------------------------------------------------------------------


def both_open(one: Path, two: Path, flags: int = 0) -> tuple[int, int]:
    opened: list[int] = []
    thread = threading.Thread(target=lambda: opened.append(os.open(one, os.O_RDWR | flags)))
    thread.start()
    other = os.open(two, os.O_RDWR | flags)
    thread.join(LIMIT)
    return opened[0], other


def test_without_waiting_there_is_what_there_is(one: Path, two: Path) -> None:
    mine, theirs = both_open(one, two, os.O_NONBLOCK)
    with pytest.raises(BlockingIOError):
        os.read(mine, 10)
    os.write(theirs, b"abc")
    assert os.read(mine, 10) == b"abc"
    for size in (4096, 1):  # fill it
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(mine, bytes(size))
    assert select.select([], [mine], [], 0)[1] == []
    os.read(theirs, 60000)
    assert select.select([], [mine], [], LIMIT)[1] == [mine]
    os.close(theirs)
    os.close(mine)


def test_not_waiting_can_be_switched_on_later(one: Path, two: Path) -> None:
    """FIONBIO and F_SETFL, both: the flag is the file's and goes along with each request."""
    mine, theirs = both_open(one, two)
    for switch in (
        lambda: fcntl.ioctl(mine, termios.FIONBIO, struct.pack("i", 1)),
        lambda: os.set_blocking(mine, False),
    ):
        switch()
        with pytest.raises(BlockingIOError):
            os.read(mine, 1)
        os.set_blocking(mine, True)
        os.write(theirs, b"!")
        assert os.read(mine, 1) == b"!"
    os.close(mine)
    os.close(theirs)


def test_a_mapping_is_refused_rather_than_private(one: Path, two: Path) -> None:
    """A mapping of pages that the other VM does not have would be a lie."""
    mine, theirs = both_open(one, two)
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
    at = libc.mmap(None, 4096, mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_SHARED, mine, 0)
    assert (at, ctypes.get_errno()) == (ctypes.c_void_p(-1).value, errno.ENODEV)
    os.close(mine)
    os.close(theirs)


def test_poll_says_that_the_other_end_has_gone(one: Path, two: Path) -> None:
    mine, theirs = both_open(one, two)
    poll = select.poll()
    poll.register(mine, select.POLLIN)
    assert poll.poll(0) == []
    timer = threading.Timer(0.05, lambda: os.close(theirs))
    timer.start()
    ((_, events),) = poll.poll(LIMIT * 1000)
    timer.join()
    assert events & (select.POLLERR | select.POLLHUP)
    assert os.read(mine, 1) == b""
    with pytest.raises(BrokenPipeError):
        os.write(mine, b"x")
    os.close(mine)


def test_a_read_that_waits_keeps_no_write_from_going(one: Path, two: Path) -> None:
    """One descriptor in two threads: a position that both would lock is not there."""
    mine, theirs = both_open(one, two)
    got: list[bytes] = []
    thread_ids: list[int] = []

    def read() -> None:
        thread_ids.append(threading.get_native_id())
        got.append(os.read(theirs, 4))

    reading = threading.Thread(target=read)
    reading.start()
    until(lambda: thread_ids and sleeping(Path(f"/proc/self/task/{thread_ids[0]}/stat")))
    os.write(theirs, b"out")
    assert os.read(mine, 3) == b"out"
    os.write(mine, b"back")
    reading.join(LIMIT)
    assert got == [b"back"]
    os.close(mine)
    os.close(theirs)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_signal_ends_an_open_that_waits(programs: Programs, one: Path, two: Path, number) -> None:
    waiting = programs.start("cat", one)
    until(lambda: asleep(waiting))
    waiting.send_signal(number)
    assert waiting.wait(LIMIT) == -number
    reader = programs.start("cat", one)
    output(programs.shell(f"echo fine > {two}"))
    assert output(reader) == b"fine\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_signal_ends_a_read_that_waits(programs: Programs, one: Path, two: Path, number) -> None:
    reader = programs.start("cat", one)
    theirs = os.open(two, os.O_WRONLY)
    os.write(theirs, b"!")
    assert reader.stdout is not None
    assert reader.stdout.read(1) == b"!"
    until(lambda: asleep(reader))
    reader.send_signal(number)
    assert reader.wait(LIMIT) == -number

    def write_on() -> None:
        while True:
            os.write(theirs, b"x" * 1000)

    with pytest.raises(BrokenPipeError):
        write_on()
    os.close(theirs)


def test_eintr_reaches_a_handler(one: Path, two: Path) -> None:
    """A signal that a program handles interrupts its read, as it does on a device."""
    script = (
        "import os, signal, sys\n"
        "class Alarm(Exception): pass\n"
        "def ring(*_): raise Alarm\n"
        "signal.signal(signal.SIGALRM, ring)\n"
        "fd = os.open(sys.argv[1], os.O_RDWR)\n"
        "try: signal.setitimer(signal.ITIMER_REAL, 0.1), os.read(fd, 1)\n"
        "except Alarm: print('rung')\n"
        "print(os.read(fd, 2))\n"
    )
    program = subprocess.Popen([sys.executable, "-c", script, one], stdout=subprocess.PIPE)
    theirs = os.open(two, os.O_RDWR)
    assert program.stdout is not None
    assert program.stdout.readline() == b"rung\n"
    os.write(theirs, b"ok")
    assert program.communicate(timeout=LIMIT)[0] == b"b'ok'\n"
    os.close(theirs)


def is_broken(file: int) -> bool:
    try:
        os.write(file, b"x")
    except BrokenPipeError:
        return True
    return False


def test_a_vm_that_dies_ends_its_files_and_comes_back(
    bench, programs: Programs, one: Path, two: Path
) -> None:
    mine, theirs = both_open(one, two)
    os.write(theirs, b"last")
    bench.vm(4).kill()
    assert os.read(mine, 4) == b"last"
    assert os.read(mine, 4) == b""
    until(lambda: is_broken(theirs))  # its program hears by another way than VM 2
    os.close(mine)
    os.close(theirs)
    with pytest.raises(BrokenPipeError):
        os.open(two, os.O_RDWR)
    bench.vm(4).boot()
    reader = programs.start("cat", one)
    output(programs.shell(f"echo back > {two}"))
    assert output(reader) == b"back\n"


def test_files_and_applications_meet(bench, one: Path) -> None:
    """One end is a file of the mount, the other an application of the VM."""
    opened: list[int] = []
    thread = threading.Thread(target=lambda: opened.append(os.open(one, os.O_RDWR)))
    thread.start()
    with bench.vm(4).pipe("vbpipe0") as pipe:
        thread.join(LIMIT)
        os.write(opened[0], b"file")
        assert pipe.read(4) == b"file"
        pipe.write(b"app")
        assert os.read(opened[0], 3) == b"app"
        os.close(opened[0])


def test_unmounting_waits_for_no_file_that_was_polled_and_is_open(bench, tmp_path: Path) -> None:
    at = tmp_path / "other"
    at.mkdir()
    mounted = bench.mount(at)
    mine, theirs = both_open(at / "vm2/dev/vbpipe0", at / "vm4/dev/vbpipe0")
    poll = select.poll()
    poll.register(mine, select.POLLIN)
    assert poll.poll(10) == []  # asks to be told, and does not wait for it
    for _ in range(100):  # it is told at the first of them, and asks no more
        os.write(theirs, b"x")
        assert os.read(mine, 1) == b"x"
    mounted.close()
    for file in (mine, theirs):
        with contextlib.suppress(OSError):  # ENOTCONN: nobody is there to hear of it
            os.close(file)


def test_unmounting_ends_what_waits(bench, programs: Programs, tmp_path: Path) -> None:
    at = tmp_path / "other"
    at.mkdir()
    mounted = bench.mount(at)
    waiting = programs.start("cat", at / "vm2/dev/vbpipe0")
    until(lambda: asleep(waiting))
    mounted.close()
    waiting.wait(LIMIT)
    assert names_in(at) == []
    mounted.close()


def test_unmounting_with_files_open_that_were_polled(bench, tmp_path: Path) -> None:
    at = tmp_path / "other"
    at.mkdir()
    mounted = bench.mount(at)
    mine, theirs = both_open(at / "vm2/dev/vbpipe0", at / "vm4/dev/vbpipe0")
    assert select.select([mine], [], [], 0.01)[0] == []
    mounted.close()
    for fd in (mine, theirs):
        with pytest.raises(OSError, match=r"not connected|aborted"):
            os.write(fd, b"x")
        with contextlib.suppress(OSError):
            os.close(fd)


# --- the command ----------------------------------------------------------------------------------


def test_the_command_mounts_a_bench_of_another_terminal(bench_factory, tmp_path: Path) -> None:
    bench = bench_factory(BOARD, observe=True)
    at = tmp_path / "cli"
    command = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "hyplink",
            "dev",
            "mount",
            str(at),
            "--bench",
            str(bench._observer.address),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        assert command.stdout is not None
        assert b"mounted" in command.stdout.readline()
        mine, theirs = both_open(at / "vm2/dev/vbpipe0", at / "vm4/dev/vbpipe0")
        os.write(mine, b"through")
        assert os.read(theirs, 7) == b"through"
        os.close(mine)
        os.close(theirs)
    finally:
        command.send_signal(signal.SIGINT)
        _, err = command.communicate(timeout=LIMIT)
    assert (command.returncode, err) == (0, b"")
    with contextlib.suppress(FileNotFoundError):
        assert names_in(at) == []


@pytest.mark.hyplink_backend("thread")
def test_the_command_says_that_a_bench_of_threads_has_nothing_to_mount(
    bench_factory, tmp_path: Path
) -> None:
    bench = bench_factory(BOARD, observe=True)
    words = ["dev", "mount", str(tmp_path / "cli"), "--bench", str(bench._observer.address)]
    done = subprocess.run(
        [sys.executable, "-m", "hyplink", *words], capture_output=True, text=True, timeout=LIMIT
    )
    assert (done.returncode, done.stdout) == (3, "")
    assert "only VMs of the process backend" in done.stderr
    assert not (tmp_path / "cli").exists()
