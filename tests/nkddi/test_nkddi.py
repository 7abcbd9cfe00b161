"""NKDDI from Python, on both backends: the rules are those of tests/cpp/app, seen through the face."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import hyplink
from hyplink import errors, nkddi
from hyplink.nkddi import SYSCONF, Nkddi, Vlink

pytestmark = [
    pytest.mark.hyplink_dts("earlydata"),
    pytest.mark.hyplink_backend("thread", "process"),
]
Two = tuple[Nkddi, Nkddi]


def wait_on(nk: Nkddi) -> None:
    """Wait until something raises."""
    while True:
        nk.wait(timeout=None)


def links(two: Two) -> tuple[Vlink, Vlink]:
    (server,), (client,) = (nk.vlinks("vearlydata") for nk in two)
    return server, client


def shake_hands(*drivers: nkddi.Driver) -> None:
    while [driver.step() for driver in drivers] != [True] * len(drivers):
        pass


def test_a_vlink_shows_what_the_board_says(two: Two) -> None:
    server, client = links(two)
    for link in (server, client):
        assert (link.name, link.s_id, link.c_id, link.index) == ("vearlydata", 2, 3, 0)
        assert (link.s_state, link.c_state) == ("OFF", "OFF")
        assert link.s_info == link.c_info == "vearlydata_ctrl"
    assert (server.role, server.peer, client.role, client.peer) == ("server", 3, "client", 2)
    assert two[0].vlinks("vearly") == []
    assert {2, 3} <= two[0].running
    assert "server VM 2 OFF" in repr(server)


def test_persistent_memory_is_the_same_bytes_at_both_ends(two: Two) -> None:
    server, client = links(two)
    mine, theirs = server.pmem(0, 5000), client.pmem(0, 5000)
    mine[4990:] = b"0123456789"
    assert bytes(theirs[4990:]) == b"0123456789"
    assert len(theirs) == 5000
    assert client.pdev(0, 10).nbytes == 10
    with pytest.raises(errors.AlreadyExists):
        client.pmem(0, 5001)


def test_a_view_outlives_everything_it_came_from(bench: hyplink.Bench) -> None:
    with bench.vm(2).application() as application, Nkddi(application) as nk:
        view = nk.vlinks("vearlydata")[0].pmem(0, 64)
    view[:4] = b"kept"
    bench.vm(2).kill()
    assert bytes(view[:4]) == b"kept"


def test_a_refused_step_leaves_the_state(two: Two) -> None:
    server, client = links(two)
    assert server.set_state("ON") == "OFF"
    assert server.set_state("RESET") == "RESET"
    assert client.s_state == "RESET"
    with pytest.raises(errors.NotPermitted):
        client.set_state("ON", role="server")
    with pytest.raises(errors.BadArgument, match="OFF, RESET, ON"):
        client.set_state("UP")


def test_interrupts_go_both_ways_and_coalesce(two: Two) -> None:
    a, b = two
    server, client = links(two)
    first = server.pxirq(0, 3, 2)
    assert client.pxirq(0, 3, 2) == first
    heard: list[int] = []
    for number in (first + 1, first):
        b.attach(number, heard.append)
    for _ in range(3):
        a.trigger(first + 1, 3)
        a.trigger(first, 3)
    assert b.dispatch() == 2
    assert heard == [first, first + 1]
    assert b.poll() == 0
    with pytest.raises(errors.DeadlineExceeded):
        b.wait(timeout=0)


def test_a_number_that_is_rung_without_end_holds_up_no_other(two: Two) -> None:
    a, b = two
    first = links(two)[0].pxirq(0, 3, 3)
    for flooded in range(first, first + 3):
        heard: list[int] = []

        def ring_again(number: int, flooded: int = flooded, heard: list[int] = heard) -> None:
            heard.append(number)
            if number == flooded:
                b.trigger(number, 3)

        attached = [b.attach(number, ring_again) for number in range(first, first + 3)]
        for number in range(first, first + 3):
            a.trigger(number, 3)
        b.dispatch()
        assert sorted(heard[:3]) == [first, first + 1, first + 2]
        a.trigger(first + (flooded == first), 3)
        b.dispatch()
        assert heard[-64:].count(first + (flooded == first)) == 1  # also in the midst of a flood
        for one in attached:
            one.detach()


def test_masking_holds_one_back_and_detaching_ends_it(two: Two) -> None:
    a, b = two
    number = links(two)[0].pxirq(0, 3)
    heard: list[int] = []
    attached = b.attach(number, heard.append, masked=True)
    a.trigger(number, 3)
    assert b.poll() == 0
    attached.unmask()
    assert b.dispatch() == 1
    attached.detach()
    attached.detach()
    a.trigger(number, 3)
    assert b.poll() == 0
    assert heard == [number]


def test_unknown_numbers_and_vms_are_refused(two: Two) -> None:
    for number, vm in ((4711, 3), (0, 3), (SYSCONF, 31)):
        with pytest.raises(errors.BadArgument):
            two[0].trigger(number, vm)
    with pytest.raises(errors.BadArgument):
        two[0].attach(4711)


def test_a_waiting_thread_lets_others_run(two: Two) -> None:
    a, b = two
    number = links(two)[0].pxirq(0, 3)
    b.attach(number)
    thread = threading.Thread(target=lambda: a.trigger(number, 3))
    thread.start()
    assert b.wait(timeout=None) == number
    thread.join()


def test_a_signal_handler_that_raises_ends_the_wait(two: Two) -> None:
    class Rang(Exception):
        pass

    rung: list[int] = []

    def ring(*_: object) -> None:
        if not rung:
            rung.append(1)
            raise Rang

    two[0].attach(SYSCONF)
    while two[0].poll():
        pass
    before = signal.signal(signal.SIGALRM, ring)
    try:
        # Again: one that comes right before the sleep ends no sleep.
        signal.setitimer(signal.ITIMER_REAL, 0.05, 1.0)
        with pytest.raises(Rang):
            wait_on(two[0])
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_the_handshake_runs_its_callbacks_in_order_and_stops(two: Two) -> None:
    said: list[str] = []
    server, client = links(two)
    names = ("reset", "start", "up", "down")
    driver = server.driver(**{name: (lambda n=name: said.append(n)) for name in names})  # type: ignore[arg-type, misc]
    other = client.driver()
    shake_hands(driver, other)
    assert said == ["reset", "start", "up"]
    other.stop()
    assert other.state == "OFF"
    assert not driver.step()
    assert said == ["reset", "start", "up", "down", "reset"]
    other.restart()
    shake_hands(driver, other)
    driver.close()
    driver.close()
    assert (server.s_state, driver.state) == ("OFF", "OFF")
    assert "server, OFF" in repr(driver)


def test_an_exception_of_a_callback_comes_through_and_the_state_stays(two: Two) -> None:
    server, _ = links(two)
    answers = iter([ValueError("not yet"), None])

    def reset() -> None:
        if answer := next(answers):
            raise answer

    driver = server.driver(reset=reset)
    with pytest.raises(ValueError, match="not yet"):
        driver.step()
    assert server.s_state == "OFF"
    driver.step()
    assert server.s_state == "RESET"


def test_an_application_has_one_nkddi_and_ends_have_one_driver(
    bench: hyplink.Bench, two: Two
) -> None:
    server, _ = links(two)
    server.set_state("RESET")
    with bench.vm(2).application() as application, Nkddi(application) as nk:
        with pytest.raises(errors.Busy):
            Nkddi(application)
        with pytest.raises(errors.Busy):
            nk.vlinks("vearlydata")[0].set_state("OFF")
        assert server.s_state == "RESET"
    two[0].close()
    two[0].close()
    with pytest.raises(errors.HandleClosed):
        two[0].trigger(SYSCONF, 3)


def test_what_waits_hears_of_its_own_vms_death(bench: hyplink.Bench, two: Two) -> None:
    bench.vm(2).kill()
    with pytest.raises(errors.PeerDied):
        wait_on(two[0])


def test_a_killed_vm_is_off_for_its_peer_and_sysconf_says_so(
    bench: hyplink.Bench, two: Two
) -> None:
    server, client = links(two)
    drivers = server.driver(), client.driver()
    shake_hands(*drivers)
    bench.vm(2).kill()
    while drivers[1].is_up:
        two[1].dispatch()
    assert (client.s_state, client.c_state) == ("OFF", "RESET")
    assert 2 not in two[1].running


@pytest.mark.hyplink_backend("process")
def test_a_killed_process_takes_its_end_off_and_its_vm_goes_on(
    bench: hyplink.Bench, two: Two
) -> None:
    two[0].close()
    client = two[1].vlinks("vearlydata")[0]
    driver = client.driver()

    number = client.pxirq(0, 2)

    def drive_and_die(application: hyplink.rpq.Application) -> None:
        nk = Nkddi(application)
        nk.attach(number, lambda _: os.kill(os.getpid(), signal.SIGKILL))
        driver = nk.vlinks("vearlydata")[0].driver()
        while True:
            driver.step()
            nk.dispatch(timeout=None)

    for _ in range(2):
        guest = bench.vm(2).start(drive_and_die)
        while not driver.is_up:
            two[1].dispatch()
            driver.step()
        two[1].trigger(number, 2)
        with pytest.raises(errors.VmCrashed):
            guest.result()
        while driver.is_up:
            two[1].dispatch()
        assert client.s_state == "OFF"
    assert bench.vm(2).state.name == "RUNNING"
    assert 2 in two[1].running


@pytest.mark.hyplink_backend("process")
def test_a_c_program_sees_every_documented_failure(runner: Any) -> None:
    program = runner.c(2, Path(__file__).with_name("face.c"))
    assert program.rest() == ["ok"]


@pytest.mark.hyplink_backend("thread")
@pytest.mark.parametrize(
    "words",
    [
        ["gcc", "-std=c99", "-pedantic"],
        ["g++", "-std=c++17", "-x", "c++", "-Wold-style-cast"],
        ["gcc", "-std=c11", "-m32", "-ffreestanding"],
    ],
    ids=["C99", "C++17", "32 bits"],
)
def test_the_header_is_clean_and_lays_out_alike(words: list[str], tmp_path: Path) -> None:
    import subprocess

    source = tmp_path / "layout.c"
    source.write_text(
        "#include <stddef.h>\n#include <hyplink/compat/nkddi.h>\n"
        "char layout[sizeof(NkDevVlink) == 64 && offsetof(NkDevVlink, s_info) == 40 ? 1 : -1];\n"
    )
    flags = ["-Wall", "-Wextra", "-Werror", "-fsyntax-only", f"-I{nkddi.include_dir()}"]
    done = subprocess.run([*words, *flags, source], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_program_that_no_vm_started_is_told_so(
    build_c: Callable[[Path], Path], earlydata_c: Path
) -> None:
    import subprocess

    done = subprocess.run([build_c(earlydata_c)], capture_output=True, text=True)
    assert done.returncode == 1
    assert "runs inside a VM" in done.stderr
    with pytest.raises(errors.LinkDown):
        nkddi.connect()
