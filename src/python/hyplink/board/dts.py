"""Device trees in source form: labels, references and places on top of the grammar.

dtlib looks through the whole tree at each reference, which is quadratic; here a map from labels to
nodes is kept. An unknown label gets a stand-in, so that all of them are found in one run.
"""

from __future__ import annotations

import re
from typing import Any

from devicetree import dtlib  # type: ignore[import-untyped,unused-ignore]

from hyplink.board.findings import Findings, Place, did_you_mean, known
from hyplink.board.syntax import GivenUp, SyntaxReader, SyntaxTrouble
from hyplink.board.text import FlatText
from hyplink.board.tree import NodeLike

__all__ = ["SourceTree"]

_STRING = re.compile(r'"((?:[^"\\]|\\.)*)"|[;{}]')
_REFERENCE = (dtlib._MarkerType.PATH, dtlib._MarkerType.PHANDLE)


class SourceTree(SyntaxReader):
    """A tree read from text; errors go to ``findings``; ``complete`` if it can be used."""

    def __init__(self, flat: FlatText, findings: Findings, name: str) -> None:
        super().__init__(flat, findings, name)
        self._labels: dict[str, Any] = {}
        self._extended: dict[int, Any] = {}
        #: Where the stand-ins of unknown nodes hang.
        self._limbo: Any = dtlib.Node("/", None, self)
        self._next_phandle = 1
        self.complete = self._read()

    def _read(self) -> bool:
        try:
            self._parse_dt()
            if self._root is None:
                return False
            self._check_references()
            if self.findings.errors:
                return False
            self._register_phandles()
            self._fixup_props()
            self._check_labels()
            self._remove_unreferenced()
        except GivenUp:
            return False
        except SyntaxTrouble as error:
            self._note(error)
            return False
        except dtlib.DTError as error:
            self.findings.add("BOARD0013", Place(self.filename), str(error))
            return False
        except RecursionError:
            self.findings.add(
                "BOARD0015", self.flat.place(self._tok_i), "expressions are nested too deeply here"
            )
            return False
        return True

    def _remember(self, node: Any, brace: int) -> None:
        super()._remember(node, brace)
        for label in node.labels:
            self._labels[label] = node

    # -- labels and phandles -------------------------------------------------------------------

    def _attached(self, node: Any) -> bool:
        while node.parent is not None:
            if node.parent.nodes.get(node.name) is not node:
                return False
            node = node.parent
        return node is self._root or node is self._limbo

    def _find(self, ref: str) -> Any:
        if ref.startswith("{"):
            try:
                return super()._ref2node(ref)
            except dtlib.DTError:
                return None
        node = self._labels.get(ref)
        if node is not None and self._attached(node):
            return node
        # "label: &other { … };" gives a node a label after it was read.
        for node in self._extended.values():
            if ref in node.labels and self._attached(node):
                self._labels[ref] = node
                return node
        return None

    def _ref2node(self, s: str) -> Any:
        if self._root is None:
            self._root = dtlib.Node("/", None, self)
        node = self._find(s)
        if node is None:
            # Only "&label { … }" and "/delete-node/ &label" ask here while the text is read.
            self._unknown(s, self._tok_i)
            node = dtlib.Node("unknown", self._limbo, self)
            self._limbo.nodes["unknown"] = node
            self._labels.setdefault(s, node)
        self._extended[id(node)] = node
        return node

    def _unknown(self, ref: str, offset: int) -> None:
        place = self.flat.place(offset, len(ref) + 1)
        labels = [label for label, node in self._labels.items() if self._attached(node)]
        if ref.startswith("{"):
            self.findings.add("BOARD0011", place, f"there is no node {ref[1:-1]}")
            return
        was = self._labels.get(ref)
        hint = did_you_mean(ref, labels) if len(labels) < 2000 else ""
        if was is not None:
            hint = f"&{ref} was deleted with /delete-node/"
        self.findings.add(
            "BOARD0011",
            place,
            f"no node has the label {ref}",
            hint or f"labels that exist: {known(sorted(labels), 6)}",
        )

    def _check_references(self) -> None:
        """Find every unknown label at once; dtlib would stop at the first."""
        for node in self.node_iter():
            for prop in node.props.values():
                for _, kind, ref in prop._markers:
                    if kind in _REFERENCE and self._find(ref) is None:
                        if self._errors and re.search(
                            rf"\b{re.escape(ref)}\s*:", self._file_contents
                        ):
                            continue  # its node went with a statement that could not be read
                        start = self._value_at.get(id(prop), 0)
                        at = self._file_contents.find(f"&{ref}", start)
                        self._unknown(ref, at if at >= 0 else start)

    def _check_labels(self) -> None:
        seen: dict[str, Any] = {}
        for node in self.node_iter():
            for label in node.labels:
                first = seen.setdefault(label, node)
                if first is not node:
                    self.findings.add(
                        "BOARD0012",
                        self._label_place(node, label),
                        f"the label {label} is on two nodes",
                        "each label names one node",
                        [(self._label_place(first, label), "the first one")],
                    )

    def _label_place(self, node: Any, label: str) -> Place:
        at = self._name_at.get(id(node))
        if at is None:
            return self.node_place(node)
        found = self._file_contents.rfind(f"{label}:", 0, at)
        return self.flat.place(found, len(label)) if found >= 0 else self.node_place(node)

    def _node_phandle(self, node: Any) -> bytes:
        # As dtlib does, but without counting up from 1 for each node.
        prop = node.props.get("phandle")
        if prop is not None and prop.value != b"\0\0\0\0":
            return bytes(prop.value)
        while self._next_phandle in self.phandle2node:
            self._next_phandle += 1
        if prop is None:
            prop = dtlib.Property(node, "phandle")
            prop._add_marker(dtlib._MarkerType.UINT32)
            node.props["phandle"] = prop
        prop.value = self._next_phandle.to_bytes(4, "big")
        self.phandle2node[self._next_phandle] = node
        return bytes(prop.value)

    # -- places --------------------------------------------------------------------------------

    def node_place(self, node: NodeLike) -> Place:
        """The node's name, where it was first written."""
        at = self._name_at.get(id(node))
        if at is not None:
            return self.flat.place(at, len(node.name))
        bodies = self._body_at.get(id(node))
        return self.flat.place(bodies[0]) if bodies else Place(self.filename)

    def written_again(self, node: NodeLike) -> Place | None:
        """Where the node's name was written a second time, as if it were another node."""
        at = self._again_at.get(id(node))
        return None if at is None else self.flat.place(at, len(node.name))

    def property_place(self, node: NodeLike, name: str) -> Place:
        """The property's name, where its last value was written."""
        prop = node.props.get(name)
        if prop is None:
            return self.node_place(node)
        at = self._value_at.get(id(prop))
        found = (
            self._file_contents.rfind(name, 0, at)
            if at is not None
            else self._empty_property(node, name)
        )
        return self.flat.place(found, len(name)) if found >= 0 else self.node_place(node)

    def _empty_property(self, node: NodeLike, name: str) -> int:
        pattern = re.compile(rf"(?<![\w,.+*#?@-]){re.escape(name)}\s*;")
        for body in reversed(self._body_at.get(id(node), [])):
            found = pattern.search(self._file_contents, body)
            if found:
                return found.start()
        return -1

    def value_place(self, node: NodeLike, name: str, offset: int, length: int) -> Place:
        """Characters of a string property, found again in its pieces."""
        at = self._value_at.get(id(node.props.get(name)))
        if at is not None:
            for piece in _STRING.finditer(self._file_contents, at):
                if piece.group(1) is None:
                    break
                size = len(piece.group(1))
                if offset < size or (offset == size and length <= 1):
                    return self.flat.place(
                        piece.start(1) + offset, max(1, min(length, size - offset))
                    )
                offset -= size
        return self.property_place(node, name)
