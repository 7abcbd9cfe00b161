"""The model as JSON and back. The version number changes when a reader would misunderstand."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import types
import typing
from typing import Any

from hyplink.idl import model as _model
from hyplink.idl.model import MODEL_VERSION, Interface, Model

__all__ = ["from_json", "schema_hash", "to_json"]

#: What a peer need not agree on.
_LOCAL = frozenset(
    [
        "attributes",
        "cacheable",
        "c_type",
        "copy",
        "doc",
        "drop",
        "hash",
        "keep",
        "line",
        "notify",
        "on_lost",
        "since",
        "timeout",
    ]
)
#: In expressions: the intervals are derived.
_COMPUTED = frozenset(["low", "high"])


def to_json(model: Model) -> str:
    """Canonical text: same model, same bytes."""
    data = {"vidl_model": MODEL_VERSION, **dataclasses.asdict(model)}
    return json.dumps(data, indent=1, sort_keys=True) + "\n"


def from_json(text: str) -> Model:
    """The model that ``to_json`` wrote.

    Raises:
        ValueError: the text has another model version.
    """
    data = json.loads(text)
    version = data.pop("vidl_model", None)
    if version != MODEL_VERSION:
        raise ValueError(f"model version {version} is not {MODEL_VERSION}")
    result = _build(Model, data)
    assert isinstance(result, Model)
    return result


def _build(kind: Any, data: Any) -> Any:
    origin = typing.get_origin(kind)
    args = typing.get_args(kind)
    if origin is types.UnionType:
        if data is None:
            return None
        wanted = [a for a in args if a is not type(None)]
        return _build(wanted[0], data) if len(wanted) == 1 else data
    if origin is list:
        return [_build(args[0], item) for item in data]
    if origin is tuple:
        return tuple(data)
    if origin is dict:
        return {key: _build(args[1], value) for key, value in data.items()}
    if dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind, vars(_model))
        values = {name: _build(hints[name], value) for name, value in data.items()}
        return typing.cast(Any, kind)(**values)
    return data


def _agreed(value: Any) -> Any:
    """Without what a peer need not agree on; lists and dictionaries otherwise as they are."""
    if isinstance(value, dict):
        local = _LOCAL if "op" not in value else _COMPUTED
        return {k: _agreed(v) for k, v in value.items() if k not in local}
    if isinstance(value, list | tuple):
        return [_agreed(v) for v in value]
    return value


def schema_hash(model: Model, interface: Interface) -> str:
    """64 bits over everything that a peer must agree on: no comments, no policies of one side."""
    mine = dataclasses.asdict(interface)
    if not interface.reserved_callbacks:
        del mine["reserved_callbacks"]  # an older compiler did not know them: the same hash
    data: dict[str, Any] = {"interface": mine}
    for kind in ("enums", "structs", "tables", "handles", "umems", "functions"):
        found = getattr(model, kind)
        data[kind] = {k: dataclasses.asdict(v) for k, v in found.items()}
    text = json.dumps(_agreed(data), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
