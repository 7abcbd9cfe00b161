"""What a client does in a batch (a frame, say): how often it calls what, with how much data."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Mix", "MixItem", "parse_mix", "read_mix"]

_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
_ITEM = re.compile(
    r"\s*(?P<name>\w+(?:\.\w+)?)\s*=\s*(?P<count>\d+)"
    r"(?::(?P<bytes>\d+[KMG]?))?(?:/(?P<answer>\d+[KMG]?))?\s*\Z"
)


@dataclass(slots=True)
class MixItem:
    """``count`` requests of one procedure a batch.

    ``bytes`` is the variable data of one request (all its arrays and strings together), ``answer``
    that of its answer; None means the most that the interface allows.
    """

    procedure: str
    count: int
    bytes: int | None = None
    answer: int | None = None


@dataclass(slots=True)
class Mix:
    """One batch. ``in_flight`` batches are under way at once, on each of ``channels`` channels.

    ``buffers``: `@large` parts travel in a vUmem buffer, outside of the ports.
    """

    items: list[MixItem] = field(default_factory=list)
    in_flight: int = 2
    channels: int = 1
    buffers: bool = False


def parse_mix(text: str) -> Mix:
    """``proc=1000,other=3:64K/1K``: how often, data in, data out.

    Raises:
        ValueError: that is not a mix; the message says which item.
    """
    items = []
    for part in text.split(","):
        match = _ITEM.match(part)
        if match is None:
            raise ValueError(f"'{part.strip()}' is not PROCEDURE=COUNT[:BYTES][/ANSWER]")
        items.append(
            MixItem(
                match["name"],
                int(match["count"]),
                _size(match["bytes"]) if match["bytes"] else None,
                _size(match["answer"]) if match["answer"] else None,
            )
        )
    return Mix(items)


def read_mix(path: Path) -> Mix:
    """A mix from a TOML or JSON file.

    ``calls`` maps procedures to a count, or to a table of ``count``, ``bytes`` and ``answer``;
    ``in_flight``, ``channels`` and ``buffers`` may stand beside it.

    Raises:
        OSError: the file cannot be read.
        ValueError: it holds something else.
    """
    text = path.read_text(encoding="utf-8")
    data = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    calls = data.get("calls") if isinstance(data, Mapping) else None
    if not isinstance(calls, Mapping):
        raise ValueError(f"{path}: there is no table 'calls'")
    mix = Mix(
        in_flight=_number(path, "in_flight", data.get("in_flight", 2)),
        channels=_number(path, "channels", data.get("channels", 1)),
        buffers=data.get("buffers") is True,
    )
    for name, value in calls.items():
        entry = value if isinstance(value, Mapping) else {"count": value}
        unknown = set(entry) - {"count", "bytes", "answer"}
        if unknown:
            raise ValueError(f"{path}: {name}: unknown key '{min(unknown)}'")
        sizes = [_size(entry[key]) if key in entry else None for key in ("bytes", "answer")]
        mix.items.append(MixItem(name, _number(path, name, entry.get("count", 1)), *sizes))
    return mix


def _number(path: Path, name: str, value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(f"{path}: {name}: {value!r} is not a count")
    return value


def _size(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    match = re.fullmatch(r"(\d+)([KMG]?)", value) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f"{value!r} is not a size (256, 64K, 1M)")
    return int(match[1]) * _UNITS[match[2]]
