"""The pytest plugin, as a user's project in another directory sees it."""

from __future__ import annotations

import pytest

pytest_plugins = ["pytester"]


@pytest.fixture
def run(pytester: pytest.Pytester):
    """Run a test file with the installed plugin, in a process and a directory of its own."""

    def run(text: str, *arguments: str) -> pytest.RunResult:
        pytester.makepyfile(test_it=text)
        arguments = ("-p", "no:cacheprovider", "-p", "no:hypothesispytest", *arguments)
        return pytester.runpytest_subprocess(*arguments, timeout=300)

    return run


BOTH = """
import pytest

def test_it(bench, backend):
    assert bench.backend == backend

@pytest.mark.hyplink_backend("process")
def test_process_only(bench):
    assert bench.backend == "process"

@pytest.mark.hyplink_backend("seeded")
def test_seeded(bench, seed):
    assert bench.seed == seed
"""


def test_a_bench_test_runs_on_both_backends_and_a_mark_chooses(run) -> None:
    result = run(BOTH, "-v", "--strict-markers")
    result.assert_outcomes(passed=4)
    result.stdout.fnmatch_lines(
        [
            "hyplink: *core *",
            "*test_it[[]thread[]] PASSED*",
            "*test_it[[]process[]] PASSED*",
            "*test_process_only[[]process[]] PASSED*",
            "*test_seeded[[]seeded[]] PASSED*",
        ]
    )


def test_the_backend_option_narrows_and_says_what_it_skipped(run) -> None:
    result = run(BOTH, "-rs", "--hyplink-backend=thread")
    result.assert_outcomes(passed=1, skipped=2)
    result.stdout.fnmatch_lines(["*not for --hyplink-backend thread*"])


def test_a_seed_on_the_command_line_reaches_every_thread_bench(run) -> None:
    text = """
def test_it(bench, seed):
    assert seed == 77
    assert bench.seed == (77 if bench.backend == "thread" else None)
"""
    run(text, "--hyplink-seed=77").assert_outcomes(passed=2)


def test_repeat_runs_with_one_seed_after_the_other(run) -> None:
    text = """
seen = []
def test_it(bench, seed):
    seen.append(seed)
def test_without_a_bench():
    assert seen == [5, 6, 7]
"""
    options = ("--hyplink-seed=5", "--hyplink-repeat=3", "--hyplink-backend=thread")
    run(text, *options).assert_outcomes(passed=4)


FAILING = """
import pytest

@pytest.mark.hyplink_backend("process")
def test_it(rpq_pair, seed):
    rpq_pair.bench._core.mark(1, 2, 3)
    assert rpq_pair.client.pending == 99
"""


def test_a_failure_shows_journal_seed_and_topology_and_keeps_the_journal(run, pytester) -> None:
    result = run(FAILING, "--hyplink-seed=123", "--hyplink-trace=kept")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "*hyplink seed*",
            "123 (again with: --hyplink-seed=123)",
            "*hyplink bench*",
            "<Bench 'vogl': process, 2 of 2 VMs running*",
            "<Link vogl0: VM 2 ON – VM 3 ON>",
            "*VM 2 server * client VM 3*",
            "*hyplink bench: journal*",
            "*hyplink bench: kept*",
        ]
    )
    (journal,) = (pytester.path / "kept").glob("*.journal")
    assert journal.stat().st_size > 0
    assert journal.stat().st_size % 64 == 0
    assert "VM 2 ON – VM 3 ON" in journal.with_suffix(".txt").read_text()


def test_a_failure_while_the_bench_boots_is_reported_too(run) -> None:
    text = """
import pytest
@pytest.fixture
def broken(bench):
    bench.vm(2).kill()
    raise RuntimeError("no luck")
@pytest.mark.hyplink_backend("thread")
def test_it(broken): pass
"""
    result = run(text)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*hyplink bench*", "<Vm 2 vm2: DEAD>"])


def test_what_a_test_keeps_of_a_closed_bench_is_a_leak(run) -> None:
    text = """
kept = []
def test_it(rpq_pair):
    kept.append(rpq_pair)
"""
    result = run(text, "--hyplink-backend=thread")
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["left behind by a closed bench: * descriptors or mappings"])


def test_a_fixture_that_skips_when_the_bench_is_up_is_no_leak(run) -> None:
    text = """
import pytest

@pytest.fixture
def needs(bench):
    application = bench.vm(2).application()
    pytest.skip("not here")

def test_it(needs): pass
"""
    run(text).assert_outcomes(skipped=2)


def test_boards_are_named_given_as_text_and_found_beside_the_test(run, pytester) -> None:
    pytester.makefile(
        ".dts",
        mine='&vm4_vdevs { b: vogl@b { compatible = "vogl"; server; }; };\n'
        "&vm5_vdevs { vogl@f { peer-phandle = <&b>; client; }; };\n",
    )
    text = '''
import pytest
pytestmark = [pytest.mark.hyplink_backend("thread"), pytest.mark.hyplink_dts("mine.dts")]

def test_a_path(two_vms):
    assert [vm.id for vm in two_vms] == [4, 5]

@pytest.mark.hyplink_dts("vbpipe")
def test_a_name(bench):
    assert "vbpipe0" in bench.links

@pytest.mark.hyplink_dts("""
&vm6_vdevs { b: vogl@b { compatible = "vogl"; server; }; };
&vm7_vdevs { vogl@f { peer-phandle = <&b>; client; }; };
""")
def test_a_text(two_vms, rpq_pair):
    assert rpq_pair.server_vm.id == 6

def test_a_factory(bench_factory):
    first, second = bench_factory(), bench_factory("vogl", backend="process", boot=False)
    assert first.backend != second.backend
    assert (first.vm(4).state.name, second.vm(2).state.name) == ("RUNNING", "OFF")
'''
    run(text).assert_outcomes(passed=4)


def test_buffers_are_compared_with_a_hex_dump(run) -> None:
    text = """
def test_it():
    assert memoryview(b"0123456789abcdefXYZ") == b"0123456789abcdefXyZ"
def test_shorter():
    assert bytearray(b"0123") == b"01234"
"""
    result = run(text)
    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(
        [
            "*first difference at byte 17 (0x11): 0x59 != 0x79; 1 differ",
            "*left   00000010  58 59 5a *XYZ",
            "*right  00000010  58 79 5a *XyZ",
            "*4 bytes on the left, 5 on the right",
            "*equal up to byte 4 (0x4), where one ends",
        ]
    )


def test_a_module_may_put_its_own_backend_in_place(run) -> None:
    text = """
import pytest
@pytest.fixture(params=["a", "b"])
def backend(request): return request.param
def test_fixture(backend): assert backend in "ab"
@pytest.mark.parametrize("backend", ["c"])
def test_mark(backend): assert backend == "c"
"""
    run(text).assert_outcomes(passed=3)


def test_an_unknown_backend_in_a_mark_is_a_usage_error(run) -> None:
    text = """
import pytest
@pytest.mark.hyplink_backend("qemu")
def test_it(bench): pass
"""
    result = run(text)
    result.stdout.fnmatch_lines(
        ["*hyplink_backend of ('qemu',): expected thread, process, seeded*"]
    )
    assert result.ret != 0


def test_naming_the_plugin_twice_is_harmless(run) -> None:
    text = "def test_it(two_vms): pass"
    arguments = ("-p", "hyplink.pytest_plugin", "--hyplink-backend=thread")
    run(text, *arguments).assert_outcomes(passed=1)
