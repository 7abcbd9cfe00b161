"""The pytest plugin: benches as fixtures, and reports that say what happened on them.

It is loaded wherever hyplink is installed. Fixtures:

======================  ============================================================================
``backend``             ``thread``, then ``process``; narrowed by ``--hyplink-backend`` and the mark
                        ``hyplink_backend``. The mark may also ask for ``seeded``: the thread
                        backend under ``seed``.
``seed``                from ``--hyplink-seed``, else drawn; a failing test's report shows it
``bench``               a booted bench on the board of the nearest ``hyplink_dts`` mark, else "vogl"
``bench_factory``       ``make(dts, …)`` for several benches
``two_vms``             (server VM, client VM) of the board's first vlink
``rpq_pair``            both ends of a vRPQ channel, connected: `hyplink.testing.RpqPair`
``pipe_pair``           both ends of a vBpipe or vPipe, connected: `hyplink.testing.PipePair`
======================  ============================================================================

Every bench is closed after its test, and closing must leave nothing behind.
"""

from __future__ import annotations

import gc
import os
import random
import re
import threading
import time
from collections.abc import Callable, Generator, Iterator
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

import pytest

if TYPE_CHECKING:
    from hyplink.bench import Bench, Vm
    from hyplink.testing import PipePair, RpqPair

BACKENDS = ("thread", "process")
#: What the mark `hyplink_backend` knows: the backends, and the thread backend under a seed.
MODES = (*BACKENDS, "seeded")
_TAIL = 30
#: Seconds that what runs beside a test has to end when its benches are closed.
_PATIENCE = 10.0

_benches = pytest.StashKey[list["Bench"]]()
_seed = pytest.StashKey[int]()
_failed = pytest.StashKey[bool]()
_raised = pytest.StashKey[
    bool
]()  # failed or skipped: the traceback keeps the objects of its frames


class BenchFactory(Protocol):
    """Makes benches for one test; they are closed after it."""

    def __call__(
        self,
        dts: str | os.PathLike[str] | bytes | None = None,
        *,
        backend: str | None = None,
        seed: int | None = None,
        boot: bool = True,
        **options: Any,
    ) -> Bench:
        """A bench on a board; without arguments what `bench` would give."""


# --- options, marks, header -----------------------------------------------------------------------


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of this plugin."""
    group = parser.getgroup("hyplink")
    group.addoption(
        "--hyplink-backend",
        action="append",
        choices=MODES,
        default=[],
        help="run tests on this backend only (may be given several times)",
    )
    group.addoption(
        "--hyplink-seed",
        type=int,
        metavar="N",
        help="the value of the fixture 'seed'; every thread bench then runs under it",
    )
    group.addoption(
        "--hyplink-trace",
        metavar="DIR",
        help="keep the journals of failing tests' benches in this directory",
    )
    group.addoption(
        "--hyplink-repeat",
        type=int,
        default=1,
        metavar="N",
        help="run each test that uses a bench N times, with different seeds",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Announce the marks."""
    for line in (
        "hyplink_dts(board): the board of 'bench': a path (relative to the test), a name or a text",
        "hyplink_backend(name, …): the backends a test runs on: thread, process, seeded",
    ):
        config.addinivalue_line("markers", line)


def pytest_report_header(config: pytest.Config) -> str:
    """Say which hyplink is tested."""
    words = [metadata.version("hyplink")]
    try:
        from hyplink import _core
    except ImportError as missing:
        words.append(f"no compiled core: {missing}")
    else:
        words.append(f"core {_core.__stamp__[:12]}")
    if config.getoption("hyplink_backend"):
        words.append("backend " + ", ".join(config.getoption("hyplink_backend")))
    if config.getoption("hyplink_seed") is not None:
        words.append(f"seed {config.getoption('hyplink_seed')}")
    return f"hyplink: {', '.join(words)}"


# --- which backends, how often --------------------------------------------------------------------


def _is_ours(metafunc: pytest.Metafunc, name: str) -> bool:
    """Whether the fixture is this plugin's, not one that a test module put in its place."""
    if name not in metafunc.fixturenames:
        return False
    for mark in metafunc.definition.iter_markers("parametrize"):
        names = mark.args[0] if mark.args else mark.kwargs.get("argnames", ())
        if name in (re.split(r"\s*,\s*", names) if isinstance(names, str) else names):
            return False
    definitions = getattr(metafunc, "_arg2fixturedefs", {}).get(name, ())
    return not definitions or definitions[-1].func.__module__ == __name__


def _modes(definition: pytest.Item) -> list[str]:
    mark = definition.get_closest_marker("hyplink_backend")
    wanted = BACKENDS if mark is None else tuple(mark.args)
    unknown = [mode for mode in wanted if mode not in MODES]
    if unknown or not wanted:
        expected = ", ".join(MODES)
        raise pytest.UsageError(
            f"{definition.nodeid}: hyplink_backend of {wanted}: expected {expected}"
        )
    narrowed = definition.config.getoption("hyplink_backend")
    return [mode for mode in wanted if not narrowed or mode in narrowed]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test once per backend, and as often as ``--hyplink-repeat`` says."""
    if _is_ours(metafunc, "backend"):
        modes: list[Any] = list(_modes(metafunc.definition))
        if not modes:
            narrowed = ", ".join(metafunc.config.getoption("hyplink_backend"))
            why = f"not for --hyplink-backend {narrowed}"
            modes = [pytest.param("none", marks=pytest.mark.skip(reason=why))]
        metafunc.parametrize("backend", modes, indirect=True)
    times = metafunc.config.getoption("hyplink_repeat")
    if times > 1 and {"bench_factory", "backend", "seed"} & set(metafunc.fixturenames):
        metafunc.fixturenames.append("_hyplink_round")
        names = [f"round{i + 1}" for i in range(times)]
        metafunc.parametrize("_hyplink_round", range(times), indirect=True, ids=names)


@pytest.fixture
def _hyplink_round(request: pytest.FixtureRequest) -> int:
    return int(request.param)


# --- fixtures -------------------------------------------------------------------------------------


@pytest.fixture
def backend(request: pytest.FixtureRequest) -> str:
    """``thread`` or ``process``."""
    mode = getattr(request, "param", "thread")
    return "thread" if mode == "seeded" else str(mode)


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """A number for what is random in a test: ``--hyplink-seed``, else drawn; failures show it."""
    return _seed_of(request.node)


def _seed_of(node: Any) -> int:
    if _seed not in node.stash:
        given = node.config.getoption("hyplink_seed")
        params = node.callspec.params if hasattr(node, "callspec") else {}
        drawn = random.SystemRandom().getrandbits(32)
        node.stash[_seed] = drawn if given is None else given + params.get("_hyplink_round", 0)
    return int(node.stash[_seed])


def _runs_seeded(request: pytest.FixtureRequest) -> bool:
    params = request.node.callspec.params if hasattr(request.node, "callspec") else {}
    return params.get("backend") == "seeded" or request.config.getoption("hyplink_seed") is not None


@pytest.fixture
def bench_factory(request: pytest.FixtureRequest, backend: str) -> Iterator[BenchFactory]:
    """``make(dts=None, *, backend=None, seed=None, boot=True, …)``: closed after the test."""
    from hyplink.bench import Bench

    default_backend = backend
    made: list[Bench] = request.node.stash.setdefault(_benches, [])
    before = _memory_objects()

    def make(
        dts: str | os.PathLike[str] | bytes | None = None,
        *,
        backend: str | None = None,
        seed: int | None = None,
        boot: bool = True,
        **options: Any,
    ) -> Bench:
        kind = cast(Any, backend or default_backend)
        if seed is None and kind == "thread" and _runs_seeded(request):
            seed = _seed_of(request.node)
        board = _board(request) if dts is None else dts
        bench = Bench.from_dts(board, backend=kind, seed=seed, boot=boot, **options)
        made.append(bench)
        return bench.__enter__()

    yield make
    pids = _close(made)
    if request.node.stash.get(_raised, False):
        return  # a failure's report needs the benches, too
    # Nothing may hold a bench or a channel from here on: pytest itself lets go of them a bit later.
    made.clear()
    request.node.funcargs.clear()
    left = [f"process {pid}" for pid in pids if _is_child(pid)]
    if _memory_objects() > before:
        gc.collect()  # a cycle may still hold a channel
        if (objects := _memory_objects() - before) > 0:
            left.append(f"{objects} descriptors or mappings")
    if left:
        pytest.fail(f"left behind by a closed bench: {', '.join(left)}", pytrace=False)


def _close(benches: list[Bench]) -> list[int]:
    """Close benches; returns the processes they had."""
    from hyplink.testing import BACKGROUND

    pids = [pid for bench in benches for vm in bench.vms.values() if (pid := vm.pid) is not None]
    for bench in reversed(benches):
        bench.close()
    # Whatever a test left running beside it has nothing to wait for any more, but may not have heard of it yet.
    deadline = time.monotonic() + _PATIENCE
    for thread in threading.enumerate():
        if thread.name == BACKGROUND:
            thread.join(max(0.0, deadline - time.monotonic()))
    return pids


@pytest.fixture
def bench(bench_factory: BenchFactory) -> Bench:
    """A booted bench on the board of the nearest ``hyplink_dts`` mark, else "vogl"."""
    return bench_factory()


@pytest.fixture
def two_vms(bench: Bench) -> tuple[Vm, Vm]:
    """(server VM, client VM) of the board's first vlink."""
    if not bench.board.links:
        pytest.fail(f"two_vms: the board {bench.board.name!r} has no vlink", pytrace=False)
    first = bench.board.links[0]
    return bench.vm(first.server), bench.vm(first.client)


@pytest.fixture
def rpq_pair(bench: Bench) -> Iterator[RpqPair]:
    """Both ends of a vRPQ channel on the board's first vlink that carries it, connected."""
    from hyplink.testing import connect_rpq

    with connect_rpq(bench) as pair:
        yield pair


@pytest.fixture
def pipe_pair(bench: Bench) -> Iterator[PipePair]:
    """Both ends of the board's first pipe, connected."""
    from hyplink.testing import connect_pipe

    with connect_pipe(bench) as pair:
        yield pair


def _board(request: pytest.FixtureRequest) -> str | os.PathLike[str] | bytes:
    """What the nearest mark says; a path is tried relative to the test's directory first."""
    mark = request.node.get_closest_marker("hyplink_dts")
    if mark is None:
        return "vogl"
    if len(mark.args) != 1 or mark.kwargs:
        pytest.fail("hyplink_dts takes one argument: a path, a name or a text", pytrace=False)
    board: str | os.PathLike[str] | bytes = mark.args[0]
    if isinstance(board, bytes) or (isinstance(board, str) and "\n" in board):
        return board
    beside = request.path.parent / board
    return beside if len(os.fspath(board)) < 1024 and beside.is_file() else board


def _memory_objects() -> int:
    """How many of this process's descriptors and mappings are hyplink's."""
    count = 0
    for entry in Path("/proc/self/fd").iterdir():
        try:
            count += "/memfd:hyplink" in str(entry.readlink())
        except OSError:
            continue  # the descriptor of this very listing
    return count + Path("/proc/self/maps").read_text().count("/memfd:hyplink")


def _is_child(pid: int) -> bool:
    """Whether a process (or its zombie) is there and ours; a number may be another's by now."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return int(stat.rsplit(")", 1)[1].split()[1]) == os.getpid()


# --- reports --------------------------------------------------------------------------------------


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add seed, topology and the end of the journal to the report of a test that failed."""
    report = yield
    if call.excinfo is not None:
        item.stash[_raised] = True
    if not report.failed or item.stash.get(_failed, False):
        return report
    item.stash[_failed] = True
    if _seed in item.stash:
        seed = item.stash[_seed]
        report.sections.append(("hyplink seed", f"{seed} (again with: --hyplink-seed={seed})"))
    directory = item.config.getoption("hyplink_trace")
    benches: list[Bench] = item.stash.get(_benches, [])
    for number, bench in enumerate(benches):
        name = "hyplink bench" if number == 0 else f"hyplink bench {number + 1}"
        report.sections.append((name, _guarded(_describe, bench)))
        report.sections.append((f"{name}: journal", _guarded(_tail, bench)))
        if directory:
            kept = _guarded(_keep, bench, Path(directory), item.nodeid, number)
            report.sections.append((f"{name}: kept", kept))
    return report


def _guarded(text: Callable[..., str], *arguments: Any) -> str:
    """A report must come out whatever state the bench is in."""
    try:
        return text(*arguments)
    except Exception as failure:
        return f"({type(failure).__name__}: {failure})"


def _describe(bench: Bench) -> str:
    lines = [repr(bench), *(repr(vm) for vm in bench.vms.values())]
    lines += [repr(link) for link in list(bench.links.values())[:20]]
    if len(bench.links) > 20:
        lines.append(f"… and {len(bench.links) - 20} vlinks more")
    else:
        lines.append(str(bench.board))
    return "\n".join(lines)


def _tail(bench: Bench) -> str:
    try:
        return str(bench.trace.tail(_TAIL))
    except ImportError:
        return f"{len(bench.journal_bytes()) // 64} records (no hyplink.trace to read them with)"


def _keep(bench: Bench, directory: Path, nodeid: str, number: int) -> str:
    name = re.sub(r"[^\w.-]+", "_", nodeid).strip("_")[-120:] + (f"_{number + 1}" if number else "")
    directory.mkdir(parents=True, exist_ok=True)
    kept = directory / f"{name}.journal"
    kept.write_bytes(bench.journal_bytes())
    (directory / f"{name}.txt").write_text(f"{_describe(bench)}\n\n{_tail(bench)}\n")
    return str(kept)


def pytest_assertrepr_compare(op: str, left: object, right: object) -> list[str] | None:
    """Show where two buffers differ."""
    kinds = (bytes, bytearray, memoryview)
    if op != "==" or not (isinstance(left, kinds) and isinstance(right, kinds)):
        return None
    if not all(isinstance(side, (bytes, bytearray)) or side.contiguous for side in (left, right)):
        return None
    from hyplink.testing import hexdump_difference

    lines = hexdump_difference(left, right)
    if not lines:
        return None
    return [f"{type(left).__name__} == {type(right).__name__}", *lines]
