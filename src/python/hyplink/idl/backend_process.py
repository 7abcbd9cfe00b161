"""Generators of third parties: the model goes in as JSON, files come out as JSON.

A back end reads one model (``hyplink idl gen --model-doc`` describes it) from standard input and
writes ``{"files": {"name": "text", …}}`` to standard output. Anything else (another exit status than
0, names that lead elsewhere) fails the run; what it says on standard error is shown.
"""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
from pathlib import PurePosixPath

from hyplink.idl.model import Model
from hyplink.idl.model_json import to_json

__all__ = ["BackendError", "command_of", "run_backend"]


class BackendError(Exception):
    """A back end that failed, or answered nonsense."""


def command_of(backend: str) -> list[str]:
    """How to run it: an executable (a path, or found on PATH), else a Python module.

    Raises:
        BackendError: nothing is named.
    """
    words = shlex.split(backend)
    if not words:
        raise BackendError("no back end named")
    if shutil.which(words[0]):
        return words
    if words[0].replace(".", "").replace("_", "").isalnum() and "/" not in words[0]:
        return [sys.executable, "-m", *words]
    raise BackendError(f"{words[0]} is neither an executable nor a module's name")


def run_backend(backend: str, model: Model) -> dict[str, str]:
    """File name to text, as the back end says.

    Raises:
        BackendError: it failed, or its answer is not understood.
    """
    command = command_of(backend)
    try:
        done = subprocess.run(command, input=to_json(model), capture_output=True, text=True)
    except OSError as error:
        raise BackendError(f"{command[0]}: {error.strerror}") from error
    if done.returncode:
        said = done.stderr.strip() or "it said nothing"
        raise BackendError(f"{backend} ended with status {done.returncode}: {said}")
    try:
        files = json.loads(done.stdout)["files"]
        pairs = {str(name): text for name, text in files.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BackendError(f'{backend} did not answer {{"files": {{…}}}}') from error
    for name, text in pairs.items():
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or not path.parts or not isinstance(text, str):
            raise BackendError(f"{backend}: '{name}' is no file below the output directory")
    return pairs
