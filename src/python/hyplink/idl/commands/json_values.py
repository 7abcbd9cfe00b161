"""Arguments and answers of generated Python as JSON: enumerators by name, structs and tables as objects.

Bytes are ``{"base64": "…"}``; as an argument text (UTF-8) or a list of numbers will do as well.
"""

from __future__ import annotations

import base64
import enum
import inspect
import re
import types
from typing import Any

__all__ = ["arguments_of", "json_of"]

_LOADED = "hyplink.idl.loaded."
_NAME = re.compile(r"[A-Za-z_][\w.]*")


def json_of(value: Any) -> Any:
    """An answer as what ``json`` takes."""
    if isinstance(value, enum.IntEnum):
        return value.name
    if isinstance(value, memoryview) and value.format not in ("B", "b", "c"):
        return value.tolist()
    if isinstance(value, bytes | bytearray | memoryview):
        return {"base64": base64.b64encode(bytes(value)).decode()}
    if type(value).__module__.startswith(_LOADED) and not isinstance(value, int):
        return {name: json_of(getattr(value, name)) for name in type(value).__slots__}
    if isinstance(value, dict):
        return {str(key): json_of(item) for key, item in value.items()}
    if isinstance(value, str | int | float | None):
        return value
    return [json_of(item) for item in value]


def arguments_of(given: dict[str, Any], method: Any, module: types.ModuleType) -> dict[str, Any]:
    """The values of a JSON object as the arguments of a client's method.

    Raises:
        ValueError: what is wrong with which of them.
    """
    wanted = inspect.signature(method).parameters
    unknown = sorted(set(given) - set(wanted))
    if unknown:
        raise ValueError(f"no parameter {unknown[0]}; there are {', '.join(wanted) or 'none'}")
    found = {}
    for name, value in given.items():
        try:
            found[name] = _value(value, str(wanted[name].annotation), module)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{name}: {error}") from None
    return found


def _value(value: Any, kind: str, module: types.ModuleType) -> Any:
    if value is None:
        return None
    if isinstance(value, list):
        if "Sequence" not in kind:
            return bytes(value)
        inner = kind.partition("[")[2] or kind
        return [_value(item, inner, module) for item in value]
    if isinstance(value, dict) and set(value) == {"base64"}:
        return base64.b64decode(value["base64"], validate=True)
    made = _class(kind, module)
    if isinstance(made, type) and issubclass(made, enum.IntEnum):
        if isinstance(value, str):
            if value not in made.__members__:
                raise ValueError(f"{value!r} is none of {', '.join(made.__members__)}")
            return made[value]
        return value
    if isinstance(made, type) and isinstance(value, dict):
        home = inspect.getmodule(made) or module
        return made(**arguments_of(value, made, home))
    if isinstance(value, dict):
        raise ValueError(f"expected {kind}, found an object")
    if isinstance(value, str) and not re.search(r"\bstr\b", kind):
        return value.encode()
    return value


def _class(kind: str, module: types.ModuleType) -> Any:
    """The class of the interface that an annotation names, if it does."""
    for name in _NAME.findall(kind):
        found: Any = module
        for part in name.split("."):
            found = getattr(found, part, None)
        if isinstance(found, type) and found.__module__.startswith(_LOADED):
            return found
    return None
