"""`vm3/dev/input/event0` of the mount: programs that read the kernel's input devices read a vEvent."""

from __future__ import annotations

import errno
import os
import select
import shutil
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import hyplink
from hyplink import errors, event
from hyplink.testing import background

BOARD = """
&vm2_vdevs {
    a: vevent@a { compatible = "vevent"; info = "vkp"; server; };
};
&vm3_vdevs {
    vevent@a { peer-phandle = <&a>; client; };
    b: vevent@b { compatible = "vevent"; info = "again"; server; };
};
&vm4_vdevs { vevent@b { peer-phandle = <&b>; client; }; };
"""
DEVICE = event.Properties(
    "Test panel",
    keys=frozenset(range(1, 100)),
    axes={event.ABS_X: event.AbsInfo(-5, 999, 7)},
    repeat=(250, 33),
    bustype=3,
    vendor=0x1234,
    product=0x5678,
    version=9,
)
STRUCT = struct.Struct("@llHHi")
LIMIT = 60.0
NO_FUSE = not os.access("/dev/fuse", os.R_OK | os.W_OK)
pytestmark = [
    pytest.mark.hyplink_backend("process"),
    pytest.mark.hyplink_dts(BOARD),
    pytest.mark.skipif(NO_FUSE, reason="no /dev/fuse on this machine"),
]


@pytest.fixture
def back(bench: hyplink.Bench) -> Iterator[event.BackEnd]:
    with bench.vm(2).event_backend("vkp", DEVICE, ring=1024) as made:
        yield made


@pytest.fixture
def node(bench: hyplink.Bench, back: event.BackEnd, tmp_path: Path) -> Iterator[Path]:
    at = tmp_path / "mnt"
    at.mkdir()
    with bench.mount(at):
        yield at / "vm3/dev/input/event0"


def opened(back: event.BackEnd, node: Path, flags: int = os.O_RDONLY) -> int:
    """A descriptor, and the back end knows of it."""
    file = os.open(node, flags)
    back.wait_front(3)
    return file


def events(file: int, count: int) -> list[tuple[int, ...]]:
    found: list[tuple[int, ...]] = []
    while len(found) < count:
        data = os.read(file, 24 * (count - len(found)))
        found += [one[2:] for one in STRUCT.iter_unpack(data)]
    return found


def fails(number: int) -> Any:
    return pytest.raises(OSError, match=rf"Errno {number}\b")


def strokes(*codes: int) -> list[tuple[int, ...]]:
    return [one for c in codes for v in (1, 0) for one in ((event.EV_KEY, c, v), (0, 0, 0))]


def test_the_node_lies_where_programs_look_for_it(node: Path) -> None:
    assert [entry.name for entry in node.parent.iterdir()] == ["event0"]
    assert "input" in [entry.name for entry in node.parent.parent.iterdir()]
    assert not (node.parents[3] / "vm2/dev/input").exists()  # it has the back end


def test_every_opener_reads_every_event(back: event.BackEnd, node: Path) -> None:
    first, second = opened(back, node), os.open(node, os.O_RDWR)
    back.key(30)
    back.key(31)
    assert events(first, 8) == events(second, 8) == strokes(30, 31)
    os.close(first)
    back.key(32)
    assert events(second, 4) == strokes(32)
    os.close(second)


def test_reads_have_the_manners_of_evdev(back: event.BackEnd, node: Path) -> None:
    file = opened(back, node, os.O_RDWR | os.O_NONBLOCK)
    with pytest.raises(BlockingIOError):
        os.read(file, 24)
    for small in (1, 23):
        with fails(errno.EINVAL):
            os.read(file, small)
    with fails(errno.EOPNOTSUPP):
        os.write(file, bytes(24))
    assert select.select([file], [], [], 0)[0] == []
    back.key(30)
    assert select.select([file], [], [], LIMIT)[0] == [file]
    assert len(os.read(file, 24 + 23)) == 24  # whole events only
    os.close(file)


def test_times_are_the_wall_clocks(back: event.BackEnd, node: Path) -> None:
    file = opened(back, node)
    before = time.time()
    back.key(30)
    sec, usec, *_ = STRUCT.unpack(os.read(file, 24))
    assert abs(sec + usec / 1e6 - before) < 3600  # the same clock; not boot's
    os.close(file)


def test_a_reader_that_sleeps_is_woken_and_can_be_interrupted(
    bench: hyplink.Bench, back: event.BackEnd, node: Path
) -> None:
    file = opened(back, node)
    reading = background(bench, lambda: os.read(file, 24))
    back.key(30)
    assert STRUCT.unpack(reading.result())[2:] == (1, 30, 1)
    os.close(file)
    program = subprocess.Popen([sys.executable, "-c", f"open({str(node)!r}, 'rb', 0).read(24)"])
    back.wait_front(3)
    program.send_signal(signal.SIGKILL)
    assert program.wait(LIMIT) == -signal.SIGKILL


def test_a_buffer_that_is_full_begins_anew_with_syn_dropped(
    back: event.BackEnd, node: Path
) -> None:
    slow, quick = opened(back, node), os.open(node, os.O_RDONLY)
    for code in range(1, 60):
        back.emit(event.EV_KEY, code, 1)
        back.sync()
        assert events(quick, 2) == [(1, code, 1), (0, 0, 0)]
    found = []
    os.set_blocking(slow, False)
    while True:
        try:
            found += [one[2:] for one in STRUCT.iter_unpack(os.read(slow, 24))]
        except BlockingIOError:
            break
    assert found[0] == (event.EV_SYN, event.SYN_DROPPED, 0)
    assert 2 <= len(found) <= 64
    assert found[-2:] == [(1, 59, 1), (0, 0, 0)]
    os.close(slow)
    os.close(quick)
    assert back.lost == 0


def test_a_back_end_that_goes_is_a_device_that_is_pulled_out(
    bench: hyplink.Bench, back: event.BackEnd, node: Path
) -> None:
    file = opened(back, node)
    poll = select.poll()
    poll.register(file, select.POLLIN)
    back.emit(event.EV_KEY, 30, 1)
    back.sync()
    bench.vm(2).kill()
    assert events(file, 4) == strokes(30)  # with the release that nobody sent
    assert poll.poll(LIMIT * 1000)[0][1] & (select.POLLHUP | select.POLLERR)
    for _ in range(2):
        with fails(errno.ENODEV):
            os.read(file, 24)
    with fails(errno.ENODEV):
        os.open(node, os.O_RDONLY)
    bench.vm(2).boot()
    with bench.vm(2).event_backend("vkp", DEVICE) as again:
        other = open_when_there(node)
        again.wait_front(3)
        again.key(31)
        assert events(other, 4) == strokes(31)
        os.close(other)
    os.close(file)


def open_when_there(node: Path) -> int:
    """The link takes a moment; nobody tells a program that opens a file."""
    while True:
        try:
            return os.open(node, os.O_RDONLY)
        except FileNotFoundError:
            raise
        except OSError:
            continue


def test_the_last_close_lets_the_vm_have_its_front_end(
    bench: hyplink.Bench, back: event.BackEnd, node: Path
) -> None:
    for _ in range(3):
        file = opened(back, node)
        with pytest.raises(errors.Busy):
            bench.vm(3).event("vkp")
        os.close(file)
        front = until_free(bench)
        with fails(errno.EBUSY):
            os.open(node, os.O_RDONLY)
        front.close()


def until_free(bench: hyplink.Bench) -> event.FrontEnd:
    """A close returns a moment before it is carried out."""
    while True:
        try:
            return bench.vm(3).event("vkp")
        except errors.Busy:
            continue


# --- real readers ---------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["64", "32"])
def reader(request: pytest.FixtureRequest, tmp_path_factory: Any) -> Path:
    made: Path = tmp_path_factory.mktemp("reader") / f"input_reader{request.param}"
    compiler = shutil.which("cc") or "gcc"
    source = Path(__file__).parent / "input_reader.c"
    words = [compiler, f"-m{request.param}", "-Wall", "-o", str(made), str(source)]
    compiled = subprocess.run(words, capture_output=True, text=True)
    if compiled.returncode != 0 and request.param == "32":
        pytest.skip("this compiler makes no programs of 32 bits")
    assert compiled.returncode == 0, compiled.stderr
    return made


def test_a_c_program_reads_what_the_device_is_and_its_events(
    back: event.BackEnd, node: Path, reader: Path
) -> None:
    with subprocess.Popen([reader, node, "4"], stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        lines = [program.stdout.readline().rstrip() for _ in range(5)]
        back.wait_front(3)
        back.key(30)
        rest = program.stdout.read().splitlines()
    assert lines == [
        "name 11 Test panel",
        "id 3 1234 5678 9",
        f"types {1 << 20 | 0b1011:x}",
        "x 7 -5..999",
        "keys 96:",
    ]
    assert rest == ["event 1 30 1", "event 0 0 0", "event 1 30 0", "event 0 0 0"]


def test_python_evdev_reads_it(back: event.BackEnd, node: Path) -> None:
    evdev = pytest.importorskip("evdev")
    device = evdev.InputDevice(str(node))
    back.wait_front(3)
    assert (device.name, device.phys) == ("Test panel", "hyplink/vm2/vkp")
    assert (device.info.vendor, device.info.product) == (0x1234, 0x5678)
    has = device.capabilities()
    assert set(has[evdev.ecodes.EV_KEY]) == DEVICE.keys
    ((axis, info),) = has[evdev.ecodes.EV_ABS]
    assert (axis, info.min, info.max, info.value) == (0, -5, 999, 7)
    assert tuple(device.repeat) == (250, 33)
    back.emit(event.EV_KEY, 30, 1)
    back.sync()
    loop: Iterator[Any] = device.read_loop()
    pressed = next(loop)
    assert (pressed.type, pressed.code, pressed.value) == (1, evdev.ecodes.KEY_A, 1)
    assert device.active_keys() == [evdev.ecodes.KEY_A]
    back.emit(event.EV_KEY, 30, 0)
    back.sync()
    while pressed.value or pressed.type != 1:
        pressed = next(loop)
    assert device.active_keys() == []
    device.close()


def test_a_node_can_be_the_device_of_a_back_end(
    bench: hyplink.Bench, back: event.BackEnd, node: Path
) -> None:
    """VM 2's panel, read by VM 3 as a real device, and passed on to VM 4."""
    with (
        event.Device(node, grab=False) as device,
        bench.vm(3).event_backend("again", device.properties) as second,
    ):
        back.wait_front(3)
        assert device.properties == DEVICE
        forwarding = background(bench, lambda: second.forward(device))
        with bench.vm(4).event("again") as four:
            until(lambda: 4 in forwarded(back, four))
        second.stop()
        forwarding.result()


def forwarded(back: event.BackEnd, four: event.FrontEnd) -> list[int]:
    back.key(4)
    four.timeout = 0.1
    try:
        return [e.code for e in four.read()]
    except errors.DeadlineExceeded:
        return []


def until(condition: Callable[[], object]) -> None:
    while not condition():
        pass


def test_devices_are_found_by_name_where_there_are_some(
    back: event.BackEnd, node: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert event.find(folder="/nowhere") is None
    assert event.find("other", folder=node.parent) is None
    with fails(errno.EFAULT):  # the mount's nodes cannot be grabbed: the kernel keeps that ioctl
        event.Device(node)
