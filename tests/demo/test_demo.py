"""The main job, run as a user runs it."""

from __future__ import annotations

import json
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from hyplink.demo.report import Report

WANTED = {
    "ok",
    "backend",
    "requests",
    "batches",
    "xirqs",
    "wakes",
    "copies_per_request",
    "lost_requests",
    "reconnects",
    "latency_us",
    "timeline",
}


def demo(tmp_path: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "hyplink", "demo", "--batches", "20", *words],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.mark.parametrize("backend", ["process", "thread"])
def test_the_demo_holds_its_claims_and_prints_one_object(tmp_path: Path, backend: str) -> None:
    done = demo(tmp_path, "--json", "--backend", backend)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)  # one object and nothing else
    assert found.keys() >= WANTED
    assert found["ok"] is True
    assert found["backend"] == backend
    assert found["copies_per_request"] == 1.0
    assert found["reconnects"] == 1
    assert {"p50", "p99"} <= found["latency_us"].keys()
    assert ElementTree.parse(found["timeline"]).getroot().tag.endswith("svg")


def test_a_seeded_demo_holds_its_claims(tmp_path: Path) -> None:
    done = demo(tmp_path, "--backend", "thread", "--seed", "5", "--batches", "3")
    assert done.returncode == 0, done.stderr
    assert "all claims hold" in done.stdout


def test_a_seed_needs_the_thread_backend(tmp_path: Path) -> None:
    assert demo(tmp_path, "--seed", "5").returncode == 2


def test_a_claim_that_fails_makes_the_report_fail() -> None:
    report = Report(backend="thread")
    assert not report.ok, "nothing was claimed"
    report.claim("one", True)
    assert report.ok
    report.claim("two", False)
    assert not report.ok
    assert "FAILED two" in report.to_text()
