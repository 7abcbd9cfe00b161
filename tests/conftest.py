"""Two guards around every test: no stale binary, nothing left behind."""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import hashlib
import importlib
import os
import signal
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Generator, Hashable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent

# Children of a test inherit this word, and theirs do: an orphan is still recognised.
FAMILY = f"{os.getpid()}-{uuid.uuid4().hex}"
os.environ["HYPLINK_TEST_FAMILY"] = FAMILY
# Worker threads of numerical libraries would appear in whichever test imports numpy first.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# A shell starts what runs in the background with Ctrl-C ignored, and children inherit that: tests send it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


# --- the stamp ------------------------------------------------------------------------------------


def source_stamp(root: Path) -> str:
    """The hash that .config/cmake/stamp.cmake compiled into the module."""
    files = {
        path.relative_to(root).as_posix(): path
        for folder in ("src/cpp", "bindings")
        for path in (root / folder).rglob("*")
        if path.suffix in {".cpp", ".hpp", ".h"}
    }
    text = "".join(
        f"{name}:{hashlib.sha256(path.read_bytes()).hexdigest()}\n"
        for name, path in sorted(files.items())
    )
    return hashlib.sha256(text.encode()).hexdigest()


def stale() -> str:
    """Why the compiled module must not be tested; empty when it may be."""
    try:
        core = importlib.import_module("hyplink._core")
    except ModuleNotFoundError as missing:
        if missing.name in {"hyplink", "hyplink._core"}:
            return ""  # not built: the tests that need it will say so
        raise
    stamp = getattr(core, "__stamp__", None)
    if stamp == source_stamp(ROOT):
        return ""
    return f"{core.__file__} was not built from the C++ text in this checkout: run sh tests/run.sh"


def pytest_sessionstart() -> None:
    why = "" if os.environ.get("HYPLINK_STALE") == "allowed" else stale()
    if why:
        pytest.exit(f"{why} (or set HYPLINK_STALE=allowed)", returncode=3)


def pytest_collection_finish() -> None:
    # What importing and collecting made lives to the end. The guard's collections need not look at it again: they
    # took a third of a second each in a run of everything.
    gc.collect()
    gc.freeze()


def pytest_report_header() -> str:
    why = stale()
    return f"STALE: {why}" if why else ""


# --- the leak guard -------------------------------------------------------------------------------

# What the test harness and the interpreter make once, on first use, and keep.
KEPT_TARGETS = ("/dev/null", "/dev/urandom")
KEPT_PROCESSES = ("multiprocessing.resource_tracker", "multiprocessing.forkserver")
KEPT_THREADS = ("ZMQbg/",)  # pyzmq's context, for notebooks
# The ends of threads and of children may lag behind the close() that asked for them.
SETTLE_SECONDS = 30.0


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """What this process holds, each thing under a name that a reader recognises."""

    files: Counter[Hashable]
    mappings: Counter[Hashable]
    processes: Counter[Hashable]
    threads: Counter[Hashable]

    def more_than(self, before: Snapshot) -> Iterator[str]:
        for field in dataclasses.fields(self):
            for thing, count in (getattr(self, field.name) - getattr(before, field.name)).items():
                yield f"{field.name}: {count} × {' '.join(map(str, thing))}"


def _files() -> Iterator[tuple[int, str]]:
    tracker: object = None
    with contextlib.suppress(Exception):
        from multiprocessing import resource_tracker

        tracker = resource_tracker._resource_tracker._fd  # type: ignore[attr-defined]
    for entry in Path("/proc/self/fd").iterdir():
        # The descriptor of this very listing is gone by the time it is looked at.
        with contextlib.suppress(FileNotFoundError):
            target = str(entry.readlink())
            if target not in KEPT_TARGETS and int(entry.name) != tracker:
                yield int(entry.name), target


def _mappings() -> Iterator[tuple[str]]:
    """Shared memory only: libraries come and go with imports."""
    with open("/proc/self/maps") as maps:
        for line in maps:
            path = line.rstrip("\n").split(maxsplit=5)[5:]
            if path and path[0].startswith(("/memfd:", "/dev/shm/")):
                yield (path[0],)


def _stat(pid: str) -> tuple[str, str, int, str]:
    """Name, state, parent and start time of a process."""
    with open(f"/proc/{pid}/stat", "rb", buffering=0) as file:
        text = file.read(4096).decode(errors="replace")
    comm, rest = text[text.index("(") + 1 :].rsplit(")", 1)
    words = rest.split()
    return comm, words[0], int(words[1]), words[19]


def _everything_running() -> Iterator[tuple[str, tuple[str, str, int, str]]]:
    me = str(os.getpid())
    for entry in Path("/proc").iterdir():
        pid = entry.name
        if pid.isdigit() and pid != me:
            with contextlib.suppress(FileNotFoundError, ProcessLookupError, PermissionError):
                yield pid, _stat(pid)


# Older than the family's word, so none of it; looking into each of them for each test took a minute of a run.
STRANGERS = {(pid, stat[3]) for pid, stat in _everything_running()}


def _processes() -> Iterator[tuple[int, str]]:
    """Children, zombies too, and every living descendant, also one whose parent died."""
    me, word = os.getpid(), f"HYPLINK_TEST_FAMILY={FAMILY}".encode()
    for pid, (comm, state, parent, started) in _everything_running():
        child = parent == me
        if not child and (pid, started) in STRANGERS:
            continue
        entry = Path("/proc", pid)
        with contextlib.suppress(FileNotFoundError, ProcessLookupError, PermissionError):
            if child or word in (entry / "environ").read_bytes().split(b"\0"):
                words = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                if not any(kept in words for kept in KEPT_PROCESSES):
                    zombie = " (zombie: nobody waited for it)" if state == "Z" else ""
                    yield int(pid), f"{words.strip() or comm}{zombie}"


def _threads() -> Iterator[tuple[int, str]]:
    known = {thread.native_id: thread.name for thread in threading.enumerate()}
    for entry in Path("/proc/self/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            comm = (entry / "comm").read_text().strip()
            if not comm.startswith(KEPT_THREADS):
                yield int(entry.name), known.get(int(entry.name), f"{comm} (not Python's)")


def snapshot() -> Snapshot:
    return Snapshot(
        Counter(_files()), Counter(_mappings()), Counter(_processes()), Counter(_threads())
    )


def leaks(before: Snapshot, take: Callable[[], Snapshot] = snapshot) -> list[str]:
    """What is there now and was not before. Looks again until a moment has passed."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while True:
        found = sorted(take().more_than(before))
        if not found or time.monotonic() > deadline:
            return found
        gc.collect()  # objects in a cycle close what they hold only now
        time.sleep(0.01)  # nothing tells when another process or thread is quite gone


_raised = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if call.excinfo is not None:  # failed or skipped
        item.stash[_raised] = True
    return report


# Set up first among the fixtures of a test, so torn down last: all else has been closed by then.
@pytest.fixture(autouse=True)
def _nothing_left_behind(request: pytest.FixtureRequest) -> Iterator[None]:
    allowed = request.node.get_closest_marker("leaks_allowed")
    if allowed is not None:
        assert allowed.args or allowed.kwargs, "leaks_allowed needs its reason"
        yield
        return
    before = snapshot()
    yield
    # The traceback of a failure or a skip keeps its objects alive; that it came is the news.
    if not request.node.stash.get(_raised, False):
        found = leaks(before)
        if found:
            pytest.fail("left behind:\n  " + "\n  ".join(found), pytrace=False)


# A wait that nobody limits may be for a program that starts, under a sanitizer, on a machine with more to do.
PATIENCE = 60.0


@pytest.fixture
def bench_factory(bench_factory: Callable[..., Any]) -> Callable[..., Any]:
    """The plugin's, with more patience than a user needs."""

    def make(*arguments: Any, **options: Any) -> Any:
        return bench_factory(*arguments, **{"timeout": PATIENCE, **options})

    return make


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture(scope="session")
def build_dir() -> Path:
    """Where the check and perf programs of this run were built."""
    return Path(os.environ.get("HYPLINK_BUILD_DIR", ROOT / ".build" / "dev"))
