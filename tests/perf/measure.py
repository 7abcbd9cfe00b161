"""What the Python measuring programs share: arguments, machine facts, medians, one JSON object or a table."""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any


def arguments(description: str, passes: int) -> argparse.Namespace:
    """The options every program takes."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--passes", type=int, default=passes)
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--same-core", action="store_true", help="accepted, has no effect here")
    return parser.parse_args()


def figure(
    name: str,
    unit: str,
    values: Sequence[float],
    *,
    goal: float | None = None,
    limit: tuple[str, Sequence[float]] | None = None,
) -> dict[str, Any]:
    """Median and spread; a goal is absolute, or of the ratio to a limit measured in the same passes."""
    found: dict[str, Any] = {
        "name": name,
        "unit": unit,
        "median": statistics.median(values),
        "lowest": min(values),
        "highest": max(values),
    }
    judged = found["median"]
    if limit is not None:
        ratios = [value / other for value, other in zip(values, limit[1], strict=True)]
        judged = statistics.median(ratios)
        found |= {"limit": limit[0], "ratio": judged}
    if goal is not None:
        found |= {"goal": goal, "met": judged >= goal if unit.endswith("/s") else judged <= goal}
    return found


def run(
    program: str, options: argparse.Namespace, body: Callable[[], Iterable[dict[str, Any]]]
) -> None:
    """Print machine facts and figures: each as soon as `body` gives it, with ``--json`` all of them at the end."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    facts = {
        "program": program,
        "cores": len(os.sched_getaffinity(0)),
        "model": model,
        "kernel": platform.release(),
        "load": os.getloadavg()[0],
        "passes": options.passes,
        "python": platform.python_version(),
    }
    if options.json:
        print(json.dumps(facts | {"figures": list(body())}))
        return
    print(", ".join(f"{key} {value}" for key, value in facts.items()), flush=True)
    for item in body():
        print(f"  {_line(item)}", flush=True)


def _line(item: dict[str, Any]) -> str:
    ratio = f"  {item['ratio']:.2f} x {item['limit']}" if "ratio" in item else ""
    goal = f"  goal {item['goal']:g} {'met' if item['met'] else 'MISSED'}" if "goal" in item else ""
    spread = f"{item['lowest']:.4g} .. {item['highest']:.4g}"
    return f"{item['name']:<58} {item['median']:>10.4g} {item['unit']:<8} {spread}{ratio}{goal}"
