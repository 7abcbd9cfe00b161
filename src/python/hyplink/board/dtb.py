"""Compiled device trees, by libfdt: reading them, and writing what a source tree says."""

from __future__ import annotations

from typing import Any

from hyplink.board.findings import Findings, Place
from hyplink.board.tree import NodeLike

__all__ = ["MAGIC", "CompiledTree", "compile_tree"]

MAGIC = b"\xd0\x0d\xfe\xed"
_MAX_DEPTH = 60


class _Property:
    __slots__ = ("name", "value")

    def __init__(self, name: str, value: bytes) -> None:
        self.name = name
        self.value = value


class _Node:
    __slots__ = ("name", "nodes", "parent", "props")

    def __init__(self, name: str, parent: _Node | None) -> None:
        self.name = name
        self.parent = parent
        self.props: dict[str, _Property] = {}
        self.nodes: dict[str, _Node] = {}

    @property
    def path(self) -> str:
        """``/vlm/vms/vm@2``."""
        names: list[str] = []
        node: _Node | None = self
        while node is not None and node.parent is not None:
            names.append(node.name)
            node = node.parent
        return "/" + "/".join(reversed(names))


class CompiledTree:
    """A tree read from a .dtb; a place is the whole file, so messages name the node."""

    def __init__(self, data: bytes, findings: Findings, name: str) -> None:
        self.name = name
        self.findings = findings
        self.root = _Node("/", None)
        self.phandle2node: dict[int, _Node] = {}
        self.complete = self._read(data)

    def _damaged(self, what: str) -> bool:
        self.findings.add("BOARD0004", Place(self.name), f"the compiled tree is damaged: {what}")
        return False

    def _read(self, data: bytes) -> bool:
        import libfdt  # type: ignore[import-untyped,unused-ignore]

        if len(data) < 40:
            return self._damaged(f"{len(data)} bytes are less than a header")
        size = int.from_bytes(data[4:8], "big")
        if size > len(data):
            return self._damaged(f"the header says {size} bytes, there are {len(data)}")
        if libfdt.fdt_check_full(bytearray(data), len(data)) != 0:
            return self._damaged("libfdt finds its structure inconsistent")
        try:
            return self._walk(libfdt, libfdt.FdtRo(data))
        except (libfdt.FdtException, UnicodeDecodeError, ValueError, SystemError):
            return self._damaged("a name is not text, or an offset leads nowhere")

    def _walk(self, libfdt: Any, fdt: Any) -> bool:
        quiet = (libfdt.NOTFOUND,)
        offset, depth = 0, 0
        stack = [self.root]
        self._properties(fdt, 0, self.root, quiet)
        while True:
            offset, depth = fdt.next_node(offset, depth, (libfdt.BADOFFSET, libfdt.NOTFOUND))
            if offset < 0 or depth <= 0:
                return True
            if depth > _MAX_DEPTH:
                return self._damaged(f"nodes are nested more than {_MAX_DEPTH} deep")
            del stack[depth:]
            parent = stack[-1]
            node = _Node(fdt.get_name(offset), parent)
            if node.name in parent.nodes:
                return self._damaged(f"{parent.path} has two nodes {node.name}")
            parent.nodes[node.name] = node
            stack.append(node)
            self._properties(fdt, offset, node, quiet)

    def _properties(self, fdt: Any, offset: int, node: _Node, quiet: tuple[int]) -> None:
        at = fdt.first_property_offset(offset, quiet)
        while at >= 0:
            prop = fdt.get_property_by_offset(at)
            node.props[prop.name] = _Property(prop.name, bytes(prop))
            at = fdt.next_property_offset(at, quiet)
        phandle = node.props.get("phandle")
        if phandle is not None and len(phandle.value) == 4:
            self.phandle2node[int.from_bytes(phandle.value, "big")] = node

    def node_place(self, node: NodeLike) -> Place:
        """The whole file: a .dtb knows no lines."""
        return Place(self.name)

    def written_again(self, node: NodeLike) -> Place | None:
        """Not known any more."""
        return None

    def property_place(self, node: NodeLike, name: str) -> Place:
        """The whole file."""
        return Place(self.name)

    def value_place(self, node: NodeLike, name: str, offset: int, length: int) -> Place:
        """The whole file."""
        return Place(self.name)


def compile_tree(root: NodeLike) -> bytes:
    """The flattened form of a tree, as ``dtc`` would write it."""
    import libfdt

    fdt = libfdt.FdtSw()
    fdt.finish_reservemap()

    def write(node: NodeLike, name: str) -> None:
        fdt.begin_node(name)
        for prop in node.props.values():
            fdt.property(prop.name, bytes(prop.value))
        for child in node.nodes.values():
            write(child, child.name)
        fdt.end_node()

    write(root, "")
    packed = fdt.as_fdt()
    packed.pack()
    return bytes(packed.as_bytearray()[: packed.totalsize()])
