"""A VM whose program misbehaves: the bench keeps a clear state, the others keep working."""

from __future__ import annotations

import contextlib
import struct
import time

import pytest

from hyplink import LinkState, VmState, errors

pytestmark = pytest.mark.hyplink_backend("process")

# The program is killed for these: it does not speak the protocol.
NONSENSE = (
    "random_bytes",
    "unknown_opcode",
    "truncated",
    "too_much",
    "count_larger_than_message",
    "publishes_more_than_a_message_holds",
    "oversized",
    "too_many_descriptors",
    "ends_in_mid_call",
    "never_reads",
)
# It goes on after these: every single request was refused, or hurts only itself.
REFUSED = (
    "gives_descriptors_away",
    "wrong_arguments",
    "triggers_of_others",
    "ports_without_end",
    "scopes_without_end",
    "illegal_states",
    "wrong_moments",
    "scribbles_over_its_own_pages",
    "scribbles_over_its_lines",
)
QUOTAS = ("memory_without_end", "numbers_without_end")

# Kinds of the journal's records.
CORRUPT = 19
MUTED = 29
VM_DROPPED = 36


def records(bench, event: int) -> list[tuple[int, int]]:
    """(VM that wrote it, link) of every record of a kind."""
    every = struct.iter_unpack("<QHHIIIQQ24x", bench.journal_bytes())
    return [(vm, link) for _, kind, vm, _, link, _, _, _ in every if kind == event]


@pytest.mark.parametrize("act", NONSENSE)
@pytest.mark.parametrize("vm", [2, 3])
def test_a_program_that_does_not_speak_the_protocol_is_killed(hostile, vm, act) -> None:
    scene = hostile(vm, act, boot=False)
    with contextlib.suppress(errors.PeerDied):  # it may be dead before we look
        scene.vm.boot()
    scene.vm.wait(VmState.DEAD)
    every = struct.iter_unpack("<QHHIIIQQ24x", scene.bench.journal_bytes())
    why = [(record[5], record[6]) for record in every if record[1] == VM_DROPPED]
    assert why == ([] if act == "ends_in_mid_call" else [(vm, 1 if act == "never_reads" else 2)])
    scene.others_are_fine()
    scene.recovers_with_a_good_program()


@pytest.mark.parametrize("act", REFUSED)
@pytest.mark.parametrize("vm", [2, 3])
def test_requests_beyond_its_rights_are_refused(hostile, vm, act) -> None:
    scene = hostile(vm, act)
    scene.expect("idle")
    assert scene.vm.state is VmState.RUNNING
    assert scene.bench.journal_bytes()
    scene.others_are_fine()
    scene.recovers_with_a_good_program()


@pytest.mark.parametrize("vm", [2, 3])
def test_who_wakes_others_for_nothing_is_not_listened_to_until_it_boots_again(hostile, vm) -> None:
    scene = hostile(vm, "rings_for_nothing")
    scene.expect("ringing")
    deadline = time.monotonic() + 60
    while {writer for writer, _ in records(scene.bench, MUTED)} != {5 - vm, 4}:
        assert time.monotonic() < deadline
    scene.others_are_fine()
    assert len(records(scene.bench, MUTED)) == 2
    scene.recovers_with_a_good_program()


@pytest.mark.parametrize("act", QUOTAS)
def test_what_it_takes_is_bounded(hostile, act) -> None:
    scene = hostile(2, act)
    scene.expect("idle")
    scene.others_are_fine()


def test_a_program_that_exits_at_once_does_not_boot(hostile) -> None:
    scene = hostile(2, "exits_at_once", boot=False)
    with pytest.raises(errors.PeerDied, match="exit status 7"):
        scene.vm.boot()
    assert scene.vm.state is VmState.DEAD
    scene.recovers_with_a_good_program()


def test_a_program_that_talks_nonsense_does_not_boot(hostile) -> None:
    scene = hostile(2, "random_bytes_before_boot", boot=False)
    with pytest.raises(errors.PeerDied, match="SIGKILL"):
        scene.vm.boot()
    scene.recovers_with_a_good_program()


def test_a_program_that_never_boots_is_killed_after_the_time_given(hostile) -> None:
    scene = hostile(2, "never_boots", boot=False)
    with pytest.raises(errors.DeadlineExceeded, match="boot VM 2"):
        scene.vm.boot(timeout=0.3)
    assert scene.vm.state is VmState.DEAD
    scene.recovers_with_a_good_program()


def test_an_illegal_state_is_never_carried_over(hostile) -> None:
    scene = hostile(2, "illegal_states")
    scene.expect("idle")
    refused = [record for record in records(scene.bench, 3) if record[1] == 0]
    assert len(refused) == 7
    assert scene.bench.link("vogl0").states[0] is LinkState.OFF


ADMIN = (
    "head_jumps",
    "head_goes_back",
    "information_too_long",
    "unknown_kind",
    "kind_of_the_other_direction",
    "area_of_noise",
)
ADMIN_OF_A_CLIENT = (
    "tail_jumps",
    "session_number_out_of_range",
    "session_number_twice",
    "channel_number_out_of_range",
)


@pytest.mark.parametrize(
    ("vm", "act"),
    [*((vm, act) for vm in (2, 3) for act in ADMIN), *((3, act) for act in ADMIN_OF_A_CLIENT)],
)
def test_nonsense_in_the_administration_area_fails_that_link_only(hostile, vm, act) -> None:
    scene = hostile(vm, act)
    link = scene.bench.link("vogl0")
    scene.expect("up", "idle")
    link.wait_off()
    assert link.states[0 if vm == 3 else 1] is LinkState.OFF
    assert records(scene.bench, CORRUPT) == [(5 - vm, 0)]
    scene.others_are_fine()
    scene.recovers_with_a_good_program()


def test_an_impossible_index_is_found_when_the_peer_sends(hostile) -> None:
    scene = hostile(2, "tail_jumps")
    scene.expect("up", "idle")
    with pytest.raises(errors.DeadlineExceeded):
        scene.peer.rpq("vogl0").session(timeout=0.2)
    scene.bench.link("vogl0").wait_off()
    assert records(scene.bench, CORRUPT) == [(3, 0)]
    scene.others_are_fine()
    scene.recovers_with_a_good_program()


@pytest.mark.parametrize("vm", [2, 3])
def test_answers_nobody_asked_for_are_dropped(hostile, vm) -> None:
    scene = hostile(vm, "answers_nobody_asked_for")
    scene.expect("up", "idle")
    assert scene.bench.link("vogl0").is_on
    assert records(scene.bench, CORRUPT) == []
    scene.others_are_fine()
    scene.recovers_with_a_good_program()
