from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hyplink.cli import _COMMANDS

IDL = "src/python/hyplink/idl/examples/gles2.vidl"


def hyplink(*words: object, **more: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "hyplink", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, **more)


def one_object(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """Standard output is one JSON object and nothing else."""
    data = json.loads(done.stdout)
    assert isinstance(data, dict)
    return data


# --- the command itself ---------------------------------------------------------------------------


def test_the_version_is_that_of_the_package() -> None:
    import importlib.metadata

    done = hyplink("--version")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"hyplink {importlib.metadata.version('hyplink')}\n"


def test_help_lists_every_command_with_examples() -> None:
    done = hyplink("--help")
    assert done.returncode == 0
    for name in _COMMANDS:
        assert re.search(rf"^    {name} ", done.stdout, re.M), name
    assert "examples:" in done.stdout


@pytest.mark.parametrize("name", _COMMANDS)
def test_every_command_has_help(name: str) -> None:
    done = hyplink(name, "--help")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"usage: hyplink {name}")


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("nothing",),
        ("board",),
        ("trace",),
        ("run",),
        ("run", "no such file.py"),
        ("run", "x.py", "--backend", "steam"),
        ("trace", "timeline"),
        ("stat", "--every", "0"),
        ("doctor", "--jason"),
    ],
)
def test_wrong_usage_is_status_2(words: tuple[str, ...]) -> None:
    done = hyplink(*words)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr


def test_a_seed_needs_the_thread_backend(tmp_path: Path) -> None:
    (tmp_path / "s.py").write_text("")
    done = hyplink("run", tmp_path / "s.py", "--seed", 1, "--backend", "process")
    assert done.returncode == 2
    assert "--backend thread" in done.stderr


@pytest.mark.parametrize("words", [("board", "check", "vogl"), ("idl", "check", IDL)])
def test_boards_and_interfaces_do_without_the_compiled_core(
    words: tuple[str, ...], root: Path
) -> None:
    script = (
        "import sys; from hyplink.cli import main\n"
        f"status = main({list(words)!r})\n"
        "assert 'hyplink._core' not in sys.modules and 'hyplink.bench' not in sys.modules\n"
        "sys.exit(status)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_an_error_is_one_message_and_a_traceback_only_on_request(tmp_path: Path) -> None:
    (tmp_path / "bad.journal").write_bytes(b"not a journal")
    done = hyplink("trace", "show", tmp_path / "bad.journal")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"hyplink: {tmp_path}/bad.journal: journal of 13 bytes")
    assert len(done.stderr.splitlines()) == 1
    more = hyplink(
        "trace", "show", tmp_path / "bad.journal", env={**os.environ, "HYPLINK_DEBUG": "1"}
    )
    assert more.returncode == 1
    assert "Traceback" in more.stderr


def test_a_missing_core_is_an_environment_error() -> None:
    script = (
        "import sys; sys.modules['hyplink._core'] = None\n"
        "from hyplink.cli import main; sys.exit(main(['run', sys.argv[1]]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, __file__], capture_output=True, text=True, check=False
    )
    assert done.returncode == 3
    assert "pip install" in done.stderr


def test_a_reader_that_goes_away_is_no_news() -> None:
    command = [sys.executable, "-m", "hyplink", "board", "show", "vogl", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""


# --- doctor ---------------------------------------------------------------------------------------


def test_the_doctor_finds_this_machine_fit() -> None:
    done = hyplink("doctor")
    assert done.returncode == 0, done.stdout
    assert "all that is required is here" in done.stdout


def test_the_doctor_says_how_memory_can_be_taken_back_here() -> None:
    findings = {f["name"]: f for f in one_object(hyplink("doctor", "--json"))["findings"]}
    broker = findings["grants: level broker"]
    script = (
        "import hyplink\n"
        "tree = '&vm2_vplatform { vm-memory@3 { compatible = \"vl,vm-memory\"; vl,vm-id = <3>; }; };'\n"
        "with hyplink.Bench.from_dts(tree + '&vm3_vplatform { };', backend='process') as bench:\n"
        "    region = bench.vm(3).memory.alloc(4096)\n"
        "    try: bench.vm(3).grant(2, region, level='broker')\n"
        "    except hyplink.errors.Unsupported: print('refused')\n"
        "    else: print(bench.grants[0].level)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == ("broker" if broker["ok"] else "refused")
    assert broker["ok"] or "CAP_SYS_ADMIN" in broker["detail"]


def test_the_doctor_speaks_json() -> None:
    data = one_object(hyplink("doctor", "--json"))
    assert data["ok"] is True
    assert all(f["ok"] or f["remedy"] or not f["required"] for f in data["findings"])


def test_the_doctor_names_the_remedy_for_what_is_missing() -> None:
    def run(prelude: str) -> subprocess.CompletedProcess[str]:
        script = f"{prelude}\nfrom hyplink.cli import main; import sys; sys.exit(main(['doctor']))"
        return subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=False
        )

    few = run("import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (100, 200))")
    assert few.returncode == 3
    assert re.search(r"MISSING +open files +100 \(up to 200\)\n +→ ulimit -n", few.stdout)
    no_core = run("import sys; sys.modules['hyplink._core'] = None")
    assert no_core.returncode == 3
    assert re.search(r"MISSING +compiled core .*\n +→ pip install", no_core.stdout)
    no_calls = run(
        "import os\ndef refuse(*_): raise OSError(38, 'Function not implemented')\n"
        "os.memfd_create = os.pidfd_open = os.eventfd = refuse"
    )
    assert no_calls.returncode == 3
    assert len(re.findall(r"^MISSING.*Function not implemented", no_calls.stdout, re.M)) >= 3
    # In a user namespace of its own nobody may pass files through, whoever he was outside.
    no_rights = run("import ctypes; ctypes.CDLL(None).unshare(0x10000000)")
    assert re.search(r"absent +grants: level broker .*\n +→ Linux 6.9", no_rights.stdout)


# --- run ------------------------------------------------------------------------------------------


def scenario(folder: Path, text: str) -> Path:
    path = folder / "scenario.py"
    path.write_text(text)
    return path


@pytest.mark.parametrize("backend", ["thread", "process"])
def test_a_scenario_has_a_booted_bench(tmp_path: Path, backend: str) -> None:
    path = scenario(
        tmp_path,
        "import sys\nbench.link('vogl0').wait_on()\n"
        "def main(given):\n    assert given is bench\n"
        "    print(bench.backend, [vm.state.name for vm in bench.vms.values()], sys.argv[1:])\n",
    )
    done = hyplink("run", path, "--backend", backend, "--", "--frames", 3)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{backend} ['RUNNING', 'RUNNING'] ['--frames', '3']\n"


@pytest.mark.parametrize("backend", ["thread", "process"])
def test_a_failure_shows_its_line_and_the_last_events(tmp_path: Path, backend: str) -> None:
    path = scenario(tmp_path, "def main(bench):\n    bench.vm(2).kill()\n    assert 1 == 2\n")
    done = hyplink("run", path, "--backend", backend, "--tail", 5)
    assert (done.returncode, done.stdout) == (1, "")
    assert "line 3, in main" in done.stderr
    assert "cli/scenario.py" not in done.stderr
    assert "VM 2 RUNNING→DEAD" in done.stderr
    assert "AssertionError" in done.stderr


def test_a_scenario_may_end_itself(tmp_path: Path) -> None:
    assert hyplink("run", scenario(tmp_path, "raise SystemExit")).returncode == 0
    done = hyplink("run", scenario(tmp_path, "import sys; sys.exit('no frames')"))
    assert done.returncode == 1
    assert "no frames" in done.stderr


def test_functions_of_a_scenario_run_inside_a_vm_process(tmp_path: Path) -> None:
    path = scenario(
        tmp_path,
        "import os\n"
        "def guest(application):\n    print('printed inside'); return os.getpid(), application.vm\n"
        "pid, vm = bench.vm(2).start(guest).result(timeout=60)\n"
        "assert vm == 2 and pid != os.getpid()\n",
    )
    done = hyplink("run", path, "--backend", "process", "--json")
    assert done.returncode == 0, done.stderr
    data = one_object(done)
    assert (data["ok"], data["backend"], data["error"]) == (True, "process", None)
    assert "printed inside" in done.stderr


def test_a_failed_scenario_is_one_json_object_too(tmp_path: Path) -> None:
    done = hyplink("run", scenario(tmp_path, "print('noise')\nbench.vm(9)"), "--json")
    assert done.returncode == 1
    assert "VM 9" in one_object(done)["error"]


def test_a_seeded_scenario_writes_the_same_journal_twice(tmp_path: Path) -> None:
    path = scenario(tmp_path, "bench.vm(2).reboot()\nbench.link('vogl0').wait_on()\n")
    for name in ("a", "b"):
        done = hyplink("run", path, "--seed", 4, "--trace", tmp_path / f"{name}.journal")
        assert done.returncode == 0, done.stderr
    same = hyplink("trace", "diff", tmp_path / "a.journal", tmp_path / "b.journal", "--times")
    assert same.returncode == 0
    assert same.stdout.startswith("the same ")


def test_ctrl_c_is_status_130(tmp_path: Path) -> None:
    path = scenario(tmp_path, "print('ready', flush=True)\nbench.vm(2).wait(0, timeout=None)\n")
    command = [sys.executable, "-m", "hyplink", "run", str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        # Pressed again: one that comes right before the sleep ends no sleep.
        while process.poll() is None:
            process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(10)
        assert process.returncode == 130


# --- trace and stat -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def journals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("journals")
    for name, text in (("boot", ""), ("kill", "bench.vm(2).kill()\n")):
        done = hyplink(
            "run", scenario(folder, text), "--seed", 1, "--trace", folder / f"{name}.journal"
        )
        assert done.returncode == 0, done.stderr
    return folder


def test_a_journal_is_shown_filtered_and_as_json(journals: Path) -> None:
    file = journals / "kill.journal"
    shown = hyplink("trace", "show", file, "--kind", "vm_state", "--vm", 2)
    assert [line.split("  ")[-1] for line in shown.stdout.splitlines()] == [
        "VM 2 OFF→BOOTING",
        "VM 2 BOOTING→RUNNING",
        "VM 2 RUNNING→DEAD",
    ]
    lines = hyplink("trace", "show", file, "--json").stdout.splitlines()
    assert {json.loads(line)["kind"] for line in lines} >= {"vm_state", "link_state"}
    assert "there are" in hyplink("trace", "show", file, "--kind", "nothing").stderr


def test_a_difference_between_journals_is_status_1(journals: Path) -> None:
    pair = (journals / "boot.journal", journals / "kill.journal")
    done = hyplink("trace", "diff", *pair)
    assert done.returncode == 1
    assert "the runs differ at event" in done.stdout
    data = one_object(hyplink("trace", "diff", *pair, "--json"))
    assert data["same"] is False


def test_a_journal_becomes_a_picture_and_a_perfetto_trace(journals: Path, tmp_path: Path) -> None:
    file = journals / "kill.journal"
    assert hyplink("trace", "timeline", "--from", file, "-o", tmp_path / "a.svg").returncode == 0
    assert (tmp_path / "a.svg").read_text().startswith("<svg")
    assert hyplink("trace", "save", tmp_path / "a.json", "--from", file).returncode == 0
    assert json.loads((tmp_path / "a.json").read_text())["traceEvents"]
    assert hyplink("trace", "save", tmp_path / "a.doc", "--from", file).returncode == 1
    assert hyplink("trace", "show", tmp_path / "none.journal").returncode == 1


@pytest.fixture
def running(tmp_path: Path) -> Iterator[str]:
    """PID of a bench in another process; it ends when its input does."""
    path = scenario(tmp_path, "import sys\nprint('ready', flush=True)\nsys.stdin.read()\n")
    command = [sys.executable, "-m", "hyplink", "run", str(path), "--backend", "process"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == "ready\n"
        yield str(process.pid)
        process.stdin.close()
        assert process.wait() == 0


def test_a_running_bench_is_looked_at_from_here(running: str, tmp_path: Path) -> None:
    listed = one_object(hyplink("stat", "--list", "--json"))
    assert running in [bench["bench"] for bench in listed["benches"]]
    assert one_object(hyplink("stat", "--bench", running, "--json"))["channels"] == []
    tail = hyplink("trace", "tail", "--bench", running, "--kind", "vm_state", "-n", 1)
    assert tail.stdout.endswith("VM 3 BOOTING→RUNNING\n")
    out = tmp_path / "live.svg"
    assert hyplink("trace", "timeline", "--bench", running, "-o", out).returncode == 0
    assert "RUNNING" in out.read_text()


def test_a_bench_that_is_not_there_is_status_1() -> None:
    for words in (("stat",), ("trace", "tail"), ("trace", "save", "x.json")):
        done = hyplink(*words, "--bench", "1.1")
        assert (done.returncode, done.stdout) == (1, "")
        assert "not running" in done.stderr


def test_watching_ends_with_the_bench(tmp_path: Path) -> None:
    path = scenario(tmp_path, "import sys\nprint('ready', flush=True)\nsys.stdin.read()\n")
    me = [sys.executable, "-m", "hyplink"]
    with subprocess.Popen(
        [*me, "run", str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as bench:
        assert bench.stdout is not None
        assert bench.stdin is not None
        assert bench.stdout.readline() == "ready\n"
        watch = [*me, "stat", "--watch", "--json", "--every", "0.01", "--bench", str(bench.pid)]
        with subprocess.Popen(
            watch, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as watcher:
            assert watcher.stdout is not None
            for _ in range(3):
                assert json.loads(watcher.stdout.readline())["channels"] == []
            bench.stdin.close()
            rest, said = watcher.communicate()
        assert watcher.returncode == 0
        assert all(json.loads(line) for line in rest.splitlines())
        assert "has ended" in said


# --- perf -----------------------------------------------------------------------------------------

PROGRAM = """#!{python}
import json, sys
assert sys.argv[1] == "--json"
print(json.dumps({{"program": "fake", "cores": 2, "passes": 7, "figures": [
    {{"name": "limit", "unit": "ns", "median": 100.0, "lowest": 90.0, "highest": 120.0}},
    {{"name": "ours", "unit": "ns", "median": 130.0, "lowest": 120.0, "highest": 140.0,
      "limit": "limit", "ratio": 1.3, "goal": 1.5, "met": True}}]}}))
"""


@pytest.fixture
def build(tmp_path: Path) -> Path:
    folder = tmp_path / "tests" / "perf"
    folder.mkdir(parents=True)
    for name, text in (("fake", PROGRAM.format(python=sys.executable)), ("bad", "#!/bin/false\n")):
        (folder / f"perf_{name}").write_text(text)
        (folder / f"perf_{name}").chmod(0o755)
    return tmp_path


def test_figures_are_shown_with_their_ratio_and_goal(build: Path) -> None:
    done = hyplink("perf", "fake", "--build", build)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^ours +130 +ns .*1\.30 × limit +≤ 1\.5 met$", done.stdout, re.M)


def test_figures_for_scripts_are_one_object(build: Path) -> None:
    data = one_object(hyplink("perf", "fake", "--build", build, "--json"))
    assert data["ok"] is True
    assert data["programs"]["fake"]["figures"][1]["ratio"] == 1.3


def test_absent_programs_are_said_to_be_absent(tmp_path: Path) -> None:
    done = hyplink("perf", "--build", tmp_path, "--json", "ring")
    assert done.returncode == 3
    assert one_object(done)["programs"]["ring"]["state"] == "absent"


def test_a_program_that_fails_is_a_failure(build: Path) -> None:
    done = hyplink("perf", "bad", "fake", "--build", build, "--json")
    assert done.returncode == 1
    data = one_object(done)
    assert data["programs"]["bad"]["state"] == "failed"
    assert data["programs"]["fake"]["state"] == "measured"
