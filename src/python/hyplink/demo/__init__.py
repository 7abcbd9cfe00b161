"""The main job, end to end: a server VM, a client VM, requests between them, a SIGKILL, and back.

`run` does it and checks every claim; the ``hyplink demo`` command prints what it found.
"""

from __future__ import annotations

from hyplink.demo.command import add_command
from hyplink.demo.report import Report
from hyplink.demo.story import run

__all__ = ["Report", "add_command", "run"]
