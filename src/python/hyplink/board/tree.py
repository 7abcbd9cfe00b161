"""The one shape of a tree that the rest of the board reader works on.

dtlib's nodes already have it; nodes of a compiled tree are made to have it. Where a node or a
property stands is asked of the tree, because most are never asked.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from hyplink.board.findings import Place

__all__ = ["NodeLike", "PropertyLike", "Tree", "cells", "strings", "walk"]


class PropertyLike(Protocol):
    """A property: its name and its bytes, numbers big-endian, strings with their NUL."""

    name: str
    value: bytes


class NodeLike(Protocol):
    """A node with its properties and children."""

    name: str
    parent: Any
    props: Mapping[str, Any]
    nodes: Mapping[str, Any]

    @property
    def path(self) -> str:
        """``/vlm/vms/vm@2``."""


class Tree(Protocol):
    """A tree that knows where its parts were written."""

    @property
    def root(self) -> Any:
        """The root node."""

    @property
    def phandle2node(self) -> Mapping[int, Any]:
        """The nodes that have a phandle."""

    def node_place(self, node: NodeLike) -> Place:
        """The name of the node, or the whole file if that is not known."""

    def written_again(self, node: NodeLike) -> Place | None:
        """Where the node's name was written a second time, as if it were another node."""

    def property_place(self, node: NodeLike, name: str) -> Place:
        """The name of the property."""

    def value_place(self, node: NodeLike, name: str, offset: int, length: int) -> Place:
        """Characters of a string property; pieces of a list count as one string."""


def walk(node: NodeLike) -> Iterator[Any]:
    """The node and everything below, in the order of the text."""
    todo = [node]
    while todo:
        node = todo.pop()
        yield node
        todo.extend(reversed(node.nodes.values()))  # type: ignore[call-overload]


def strings(value: bytes) -> list[str] | None:
    """The strings of a value, or ``None`` if it is not a list of strings."""
    if not value or value[-1] != 0:
        return None
    try:
        parts = value[:-1].decode("utf-8").split("\0")
    except UnicodeDecodeError:
        return None
    if all(part.isprintable() for part in parts):
        return parts
    return None


def cells(value: bytes) -> list[int] | None:
    """The 32-bit numbers of a value, or ``None`` if its length does not fit."""
    if len(value) % 4:
        return None
    return [int.from_bytes(value[i : i + 4], "big") for i in range(0, len(value), 4)]
