"""``FILE.vidl.lock``: a contract as text, one fact a line's worth, so that a diff can be read.

Checked in next to its interface it says what is promised; ``hyplink idl breaking`` compares with it.
"""

from __future__ import annotations

import json
import os

from hyplink.idl.compat.contract import Entry, Fact, contract_of
from hyplink.idl.compat.places import Spot, spots_of
from hyplink.idl.front import Compiled, compile_file

__all__ = ["lock_text", "read_contract", "read_lock"]

_HEAD = "# Written by 'hyplink idl lock': what peers rely on. Compare with 'hyplink idl breaking'."
_VERSION = 1


def lock_text(contract: Entry) -> str:
    """The contract as text; equal contracts give equal texts."""
    lines = [_HEAD, f"vidl-lock {_VERSION}"]

    def write(entry: Entry, depth: int) -> None:
        facts = "".join(f" {key}={_value(value)}" for key, value in entry.facts.items())
        lines.append(f"{'    ' * depth}{entry.kind} {entry.name}{facts}")
        for item in entry.inner:
            write(item, depth + 1)

    write(contract, 0)
    return "\n".join(lines) + "\n"


def _value(value: Fact) -> str:
    return json.dumps(value, ensure_ascii=False)


def read_lock(text: str, file: str = "<lock>") -> Entry:
    """The contract that ``lock_text`` wrote, with its places in ``file``.

    Raises:
        ValueError: this is no lock file, or one of another version.
    """
    lines = text.splitlines()
    if len(lines) < 3 or lines[1] != f"vidl-lock {_VERSION}":
        raise ValueError(f"{file} is no lock file of version {_VERSION}")
    stack: list[Entry] = []
    for number, line in enumerate(lines[2:], start=3):
        words = line.lstrip(" ")
        if not words or words.startswith("#"):
            continue
        depth = (len(line) - len(words)) // 4
        try:
            entry = _entry(words)
        except (ValueError, IndexError) as error:
            raise ValueError(f"{file}:{number}: not a line of a lock file") from error
        entry.spot = Spot(file, number, len(line) - len(words) + 1)
        if depth > len(stack) or (not depth and stack):
            raise ValueError(f"{file}:{number}: not a line of a lock file")
        del stack[depth:]
        if stack:
            stack[-1].inner.append(entry)
            stack.append(entry)
        else:
            stack.append(entry)
            root = entry
    return root


def _entry(words: str) -> Entry:
    kind, _, rest = words.partition(" ")
    name, _, rest = rest.partition(" ")
    entry = Entry(kind, name)
    decoder = json.JSONDecoder()
    while rest:
        key, _, rest = rest.partition("=")
        value, end = decoder.raw_decode(rest)
        entry.facts[key] = value
        rest = rest[end:].lstrip(" ")
    return entry


def read_contract(path: str | os.PathLike[str]) -> tuple[Entry | None, Compiled | None]:
    """The contract of a ``.vidl`` or ``.lock`` file; None with the findings when it has mistakes.

    Raises:
        OSError: the file cannot be read.
        ValueError: a lock file that is none.
    """
    name = os.fspath(path)
    with open(name, encoding="utf-8") as stream:
        text = stream.read()
    if name.endswith(".lock"):
        return read_lock(text, name), None
    compiled = compile_file(name)
    if not compiled.ok:
        return None, compiled
    contract = contract_of(compiled.require())
    _place(contract, compiled)
    return contract, compiled


def _place(contract: Entry, compiled: Compiled) -> None:
    spots: dict[str, dict[str, Spot]] = {}
    for file in compiled.files:
        with open(file, encoding="utf-8", errors="replace") as stream:
            module, found = spots_of(file, stream.read())
        spots[module] = found
    contract.spot = Spot(compiled.files[0], 1, 1)
    for entry in contract.inner:
        module = contract.name
        name = entry.name
        for other in spots:
            if name.startswith(f"{other}."):
                module, name = other, name.removeprefix(f"{other}.")
        _place_below(entry, name, spots.get(module, {}), contract.spot)


def _place_below(entry: Entry, path: str, spots: dict[str, Spot], above: Spot) -> None:
    entry.spot = spots.get(path, above)
    for item in entry.inner:
        _place_below(item, f"{path}.{item.name}", spots, entry.spot)
