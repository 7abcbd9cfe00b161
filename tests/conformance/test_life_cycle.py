"""VMs and benches: boot, shut down, reboot, kill; who may do what when."""

from __future__ import annotations

import pytest
from conformance_lib import EVERYWHERE, PROCESS, check_handshake, ctrl_c, works

from hyplink import VmState, errors
from hyplink.testing import connect_rpq

pytestmark = EVERYWHERE


def test_a_vm_goes_from_off_over_booting_to_running(bench_factory) -> None:
    bench = bench_factory(boot=False)
    vm = bench.vm(2)
    assert (vm.state, vm.boots, vm.pid) == (VmState.OFF, 0, None)
    vm.boot()
    assert (vm.state, vm.boots) == (VmState.RUNNING, 1)
    assert (vm.pid is None) == (bench.backend == "thread")
    assert bench.vm(3).state is VmState.OFF


def test_shutdown_ends_in_off_and_kill_in_dead(bench) -> None:
    bench.vm(2).shutdown()
    bench.vm(3).kill()
    assert bench.vm(2).state is VmState.OFF
    assert bench.vm(3).state is VmState.DEAD


@pytest.mark.parametrize("end", ["shutdown", "kill"])
def test_a_vm_that_is_down_may_boot_again_and_its_link_works(bench, end) -> None:
    link = bench.link("vogl0").wait_on()
    for vm in (bench.vm(2), bench.vm(3), bench.vm(2)):
        getattr(vm, end)()
        assert not link.is_on
        vm.boot()
        link.wait_on()
    assert (bench.vm(2).boots, bench.vm(3).boots) == (3, 2)
    check_handshake(bench)
    with connect_rpq(bench) as pair:
        works(pair)


def test_reboot_is_shutdown_and_boot(bench) -> None:
    bench.link("vogl0").wait_on()
    bench.vm(2).reboot()
    bench.link("vogl0").wait_on()
    assert (bench.vm(2).state, bench.vm(2).boots) == (VmState.RUNNING, 2)


def test_booting_a_running_vm_is_refused_and_harms_nothing(bench) -> None:
    with pytest.raises(errors.Busy) as caught:
        bench.vm(2).boot()
    assert "RUNNING" in str(caught.value)
    assert bench.vm(2).state is VmState.RUNNING
    with connect_rpq(bench) as pair:
        works(pair)


def test_shutting_down_or_killing_a_vm_that_is_off_is_refused(bench_factory) -> None:
    bench = bench_factory(boot=False)
    with pytest.raises(errors.ProtocolViolation):
        bench.vm(2).shutdown()
    with pytest.raises(errors.PeerDied, match="OFF"):
        bench.vm(2).kill()


def test_an_unknown_vm_or_link_is_answered_with_those_there_are(bench) -> None:
    with pytest.raises(errors.NoSuchLink, match=r"2 \(vm2\), 3 \(vm3\)"):
        bench.vm(9)
    with pytest.raises(errors.NoSuchLink, match="vogl0"):
        bench.link("vogl7")
    assert bench.vm("vm3") is bench.vm(3)


def test_an_application_of_a_vm_that_is_off_is_refused(bench) -> None:
    bench.vm(2).kill()
    with pytest.raises(errors.PeerDied, match="DEAD"):
        bench.vm(2).application()


def test_boot_without_names_boots_what_is_down(bench) -> None:
    bench.vm(2).kill()
    bench.boot()
    assert [vm.boots for vm in bench.vms.values()] == [2, 1]


def test_two_benches_in_one_process_share_nothing(bench, bench_factory) -> None:
    other = bench_factory()
    with connect_rpq(bench) as here, connect_rpq(other) as there:
        works(here)
        other.vm(2).kill()
        works(here)
        with pytest.raises(errors.PeerDied):
            there.client.call_bytes(1)
        other.vm(2).boot()
        other.link("vogl0").wait_on()
    other.close()
    with connect_rpq(bench) as here:
        works(here)


def test_a_closed_bench_says_so_and_closing_again_is_nothing(bench) -> None:
    bench.close()
    bench.close()
    with pytest.raises(errors.HandleClosed, match="closed"):
        bench.vm(2).boot()
    assert bench.vm(2).state is VmState.DEAD
    assert bench.journal_bytes()  # what happened stays readable


def test_a_bench_closes_under_its_channels(bench) -> None:
    with connect_rpq(bench) as pair:
        pair.client.post_bytes(1, b"never received")
        bench.close()
        with pytest.raises((errors.PeerDied, errors.HandleClosed)):
            pair.client.notify()
        with pytest.raises((errors.PeerDied, errors.HandleClosed)):
            pair.server.receive()


@PROCESS
def test_a_vm_program_that_cannot_be_started_is_a_clear_error(bench_factory) -> None:
    bench = bench_factory(boot=False)
    core = type(bench._core)(bench.board.to_spec(), "process", None, "/nonexistent/vm", 1.0)
    with pytest.raises(errors.LinkError) as caught:
        core.boot(2, 10.0)
    assert "boot VM 2" in str(caught.value)
    assert core.vm_state(2) == VmState.DEAD
    core.close()


@PROCESS
def test_ctrl_c_while_a_vm_boots_takes_it_down_again(bench_factory, tmp_path) -> None:
    never = tmp_path / "vm"
    never.write_text("#!/bin/sh\nexec sleep 1000\n")
    never.chmod(0o700)
    bench = bench_factory(boot=False)
    core = type(bench._core)(bench.board.to_spec(), "process", None, str(never), 1.0)
    with ctrl_c():
        core.boot(2, None)
    assert core.vm_state(2) == VmState.DEAD
    with pytest.raises(errors.DeadlineExceeded):
        core.boot(2, 0.05)
    assert core.vm_state(2) == VmState.DEAD
    core.close()
