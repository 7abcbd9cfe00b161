"""Info strings: each class of vlinks reads its own.

A class registers a reader with ``@reader("class")``. It gets the info strings of both ends and
returns the options of the link. What is wrong is reported where it stands; a bad value never turns
into a default.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from hyplink.board.findings import Findings, Place, did_you_mean
from hyplink.board.model import NO_OPTIONS

__all__ = ["Info", "Reader", "classes", "parse_size", "read_options", "reader"]

_NUMBER = re.compile(r"(0[xX][0-9a-fA-F]+|0[0-7]*|[1-9][0-9]*)([kKmMgG]?)")
_UNIT = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
_SIZE_HINT = "a size is a number, decimal, 0x or octal, and perhaps K, M or G: 2M, 0x20000, 4096"
#: Largest size of a resource: addresses inside it must fit a signed 32-bit offset.
_MAX_SIZE = 1 << 31


@dataclasses.dataclass(frozen=True, slots=True)
class Info:
    """The info string of one end, and the way to a place in it."""

    text: str
    where: str
    locate: Callable[[int, int], Place]
    findings: Findings

    def error(self, code: str, at: int, length: int, message: str, hint: str = "") -> None:
        """Report characters of this string."""
        message = f"{message} (info of {self.where})"
        self.findings.add(code, self.locate(at, length), message, hint)

    def warn(self, code: str, at: int, length: int, message: str, hint: str = "") -> None:
        """Report characters that are allowed but hardly meant."""
        message = f"{message} (info of {self.where})"
        self.findings.warn(code, self.locate(at, length), message, hint)


Reader = Callable[[Info, Info], Mapping[str, Any]]
_readers: dict[str, Reader] = {}


def reader(name: str) -> Callable[[Reader], Reader]:
    """Register the function that reads the info strings of a class."""

    def register(function: Reader) -> Reader:
        _readers[name] = function
        return function

    return register


def classes() -> tuple[str, ...]:
    """The classes whose info strings are understood."""
    return tuple(_readers)


def read_options(name: str, server: Info, client: Info) -> Mapping[str, Any]:
    """The options of a link of a class; classes without a reader have none, their text is free."""
    function = _readers.get(name)
    return NO_OPTIONS if function is None else function(server, client)


def parse_size(text: str) -> int | None:
    """A C number with an optional K, M or G, or ``None``.

    >>> parse_size("2M"), parse_size("0x20000"), parse_size("many")
    (2097152, 131072, None)
    """
    match = _NUMBER.fullmatch(text)
    if match is None or len(text) > 24:
        return None
    digits, unit = match.groups()
    base = 16 if digits[:2] in ("0x", "0X") else 8 if digits[0] == "0" else 10
    return int(digits, base) * _UNIT[unit.lower()]


def _pieces(text: str, separator: str) -> Iterator[tuple[int, str]]:
    """The trimmed pieces of a text with their offsets; empty ones too."""
    at = 0
    for piece in text.split(separator):
        yield at + len(piece) - len(piece.lstrip()), piece.strip()
        at += len(piece) + 1


def _size(
    info: Info, at: int, text: str, what: str, least: int = 1, most: int = _MAX_SIZE
) -> int | None:
    value = parse_size(text)
    if value is None:
        shown = repr(text) if text else "nothing"
        info.error("BOARD0050", at, max(1, len(text)), f"{what}: {shown} is not a size", _SIZE_HINT)
    elif not least <= value <= most:
        info.error("BOARD0053", at, len(text), f"{what}: {value} is not between {least} and {most}")
        return None
    return value


_VOGL_DEFAULTS = {"vrpq-pmem": 7 << 20, "vrpq-reqs": 4096, "vumem-pdev": 16 << 10}
_VOGL_ALIAS = {"vrpq-regs": "vrpq-reqs"}
#: Least and most bytes: both kernels' calls with one chunk each, and what an area may have.
_LIMITS = {"vumem-pdev": (608, 1 << 30)}


@reader("vogl")
def _vogl(server: Info, client: Info) -> Mapping[str, Any]:
    """``vumem-pdev=SIZE,vrpq-reqs=COUNT,vrpq-pmem=SIZE`` in any order, from the server only."""
    options = dict(_VOGL_DEFAULTS)
    seen: set[str] = set()
    for at, piece in _pieces(server.text, ","):
        if not piece:
            continue
        word, equals, value = piece.partition("=")
        word, value_at = word.rstrip(), at + len(piece) - len(value.lstrip())
        value = value.strip()
        key = _VOGL_ALIAS.get(word, word)
        if key not in options:
            known = (*_VOGL_DEFAULTS, *_VOGL_ALIAS)
            hint = did_you_mean(word, known)
            if hint:
                server.error("BOARD0052", at, len(word), f"unknown key {word}", hint)
            else:
                server.warn(
                    "BOARD0052", at, len(word), f"key {word} is not one of {', '.join(known)}"
                )
            continue
        if key in seen:
            server.error("BOARD0051", at, len(word), f"{word} is given twice")
        seen.add(key)
        if not equals:
            server.error("BOARD0050", at, len(word), f"{word} has no value", f"{word}=64K")
            continue
        number = _size(server, value_at, value, word, *_LIMITS.get(key, ()))
        if number is None:
            continue
        if key == "vrpq-reqs" and (number < 256 or number & (number - 1)):
            server.error(
                "BOARD0053",
                value_at,
                len(value),
                f"{word}: {number} is not a power of two of at least 256",
                f"the next one is {max(256, 1 << number.bit_length())}",
            )
            continue
        options[key] = number
    if client.text and client.text != server.text:
        client.warn(
            "BOARD0055", 0, len(client.text), "the server's info is read only, this is not used"
        )
    return options


reader("vomx")(_vogl)  # the same drivers


@reader("vumem")
def _vumem(server: Info, _client: Info) -> Mapping[str, Any]:
    """``vumem-pdev=SIZE``, from the server; other pieces are the driver's own."""
    options = {"vumem-pdev": _VOGL_DEFAULTS["vumem-pdev"]}
    for at, piece in _pieces(server.text, ","):
        word, equals, value = piece.partition("=")
        if word.rstrip() != "vumem-pdev" or not equals:
            continue
        value_at = at + len(piece) - len(value.lstrip())
        number = _size(server, value_at, value.strip(), word, *_LIMITS["vumem-pdev"])
        if number is not None:
            options["vumem-pdev"] = number
    return options


@reader("vbpipe")
def _vbpipe(server: Info, _client: Info) -> Mapping[str, Any]:
    """``[a];[size];[minor]`` and then ``key=value``; the server's end of each direction counts."""
    options: dict[str, Any] = {"available": False, "size": 4096, "minor": None}
    for index, (at, piece) in enumerate(_pieces(server.text, ";")):
        if index >= 3:
            _vbpipe_key(server, at, piece, options)
        elif piece:
            _vbpipe_field(server, index, at, piece, options)
    return options


def _vbpipe_field(info: Info, index: int, at: int, piece: str, options: dict[str, Any]) -> None:
    if index == 0 and piece == "a":
        options["available"] = True
    elif index == 0:
        hint = "the form is [a];[size];[minor];key=value…"
        info.error(
            "BOARD0054", at, len(piece), f"the first field is a or empty, not {piece!r}", hint
        )
    elif index == 1:
        # The ring's own header takes 16 bytes; below 32 nothing useful is left.
        options["size"] = _size(info, at, piece, "size", least=32)
    else:
        number = parse_size(piece)
        if number is None or number > 255 or not piece[-1].isalnum() or piece[-1] in "kKmMgG":
            info.error("BOARD0053", at, len(piece), f"minor: {piece!r} is not between 0 and 255")
        options["minor"] = number


def _vbpipe_key(info: Info, at: int, piece: str, options: dict[str, Any]) -> None:
    if not piece:
        return
    word, equals, value = piece.partition("=")
    if not equals or word not in ("wakeup", "name"):
        hint = did_you_mean(word, ("wakeup", "name"))
        report = info.error if hint or not equals else info.warn
        report("BOARD0052", at, len(word), f"{word!r} is neither wakeup=MS nor name=TEXT", hint)
    elif word in options:
        info.error("BOARD0051", at, len(word), f"{word} is given twice")
    elif word == "name":
        options["name"] = value
    else:
        number = parse_size(value)
        if number is None:
            info.error("BOARD0050", at, len(piece), f"wakeup: {value!r} is not a time in ms")
        options["wakeup"] = number


def _only_size(server: Info, _client: Info) -> Mapping[str, Any]:
    """Nothing but a size."""
    text = server.text.strip()
    return {"size": _size(server, 0, text, "size", least=32) if text else 4096}


reader("vpipe")(_only_size)
reader("vupipe")(_only_size)


@reader("vevent")
def _vevent(server: Info, client: Info) -> Mapping[str, Any]:
    """The device's name: ``vkp``, ``vts``, ``vms`` or its own; from the server only."""
    if client.text and client.text != server.text:
        client.warn(
            "BOARD0055",
            0,
            len(client.text),
            "vevent reads the server's info only, this is not used",
        )
    return {"name": server.text}


@reader("vrpc")
def _vrpc(server: Info, client: Info) -> Mapping[str, Any]:
    """``name[,size]``; the larger size of both ends counts."""
    sizes = [1024]
    for info in (server, client):
        name, comma, size = info.text.partition(",")
        if comma:
            sizes.append(_size(info, len(name) + 1, size.strip(), "size", least=16) or 0)
    return {"name": server.text.partition(",")[0], "size": max(sizes)}


@reader("vmq")
def _vmq(server: Info, _client: Info) -> Mapping[str, Any]:
    """A name and nothing else: how much a queue holds is said by the applications that use it."""
    return {"name": server.text}
