"""The VMs of a tree, the memory they see and the memory they import."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from hyplink.board.findings import Findings, Place
from hyplink.board.model import IoMemory
from hyplink.board.regions import read_io_memory, read_moved_memory
from hyplink.board.tree import NodeLike, Tree, cells, strings, walk

__all__ = [
    "MAX_ID",
    "VmNode",
    "check_granting",
    "find_invalid",
    "find_vms",
    "no_such_vm",
    "read_vplatform",
    "want_exporters",
]

#: A set of VMs is a 32-bit word, and 0 is the hypervisor itself.
MAX_ID = 31


@dataclasses.dataclass(slots=True, eq=False)
class VmNode:
    """A VM while the board is read."""

    id: int
    name: str
    tree: Tree
    node: NodeLike
    wanted: bool
    vdevs: NodeLike | None = None
    io_memory: list[IoMemory] = dataclasses.field(default_factory=list)
    imports: dict[int, Place] = dataclasses.field(default_factory=dict)
    moved: list[tuple[str, int, Place]] = dataclasses.field(default_factory=list)
    """Its ordinary memory that is not where it is in the machine: region, IPA, place."""

    @property
    def place(self) -> Place:
        """The place of its node."""
        return self.tree.node_place(self.node)


def is_compatible(node: NodeLike, name: str) -> bool:
    """Whether ``compatible`` of a node lists a name."""
    prop = node.props.get("compatible")
    return prop is not None and name in (strings(prop.value) or ())


def read_id(tree: Tree, node: NodeLike, findings: Findings, what: str) -> int | None:
    """The ``vl,vm-id`` of a node, reported if it is missing or cannot be."""
    prop = node.props.get("vl,vm-id")
    if prop is None:
        findings.add(
            "BOARD0070",
            tree.node_place(node),
            f"{what} {node.path} has no vl,vm-id",
            "vl,vm-id = <3>;",
        )
        return None
    numbers = cells(prop.value)
    place = tree.property_place(node, "vl,vm-id")
    if numbers is None or len(numbers) != 1:
        findings.add(
            "BOARD0032", place, f"{node.path}: vl,vm-id has the wrong type", "vl,vm-id = <3>;"
        )
        return None
    if not 1 <= numbers[0] <= MAX_ID:
        findings.add(
            "BOARD0020",
            place,
            f"{node.path}: {numbers[0]} is not a VM id, they go from 1 to {MAX_ID}",
        )
        return None
    return numbers[0]


def find_vms(tree: Tree, findings: Findings) -> dict[int, VmNode]:
    """The VMs of a board tree, by id."""
    vms: dict[int, VmNode] = {}
    todo = [tree.root]
    while todo:
        node = todo.pop()
        if not is_compatible(node, "vl,vm"):
            # A VM has no VMs inside, and 20,000 vdevs need not be looked at.
            todo.extend(reversed(node.nodes.values()))
            continue
        number = read_id(tree, node, findings, "the VM")
        if number is None:
            continue
        vm = _vm(tree, node, number, findings)
        first = vms.setdefault(number, vm)
        if first is not vm:
            findings.add(
                "BOARD0021",
                tree.property_place(node, "vl,vm-id"),
                f"{node.path}: there is a VM {number} already",
                notes=[(first.tree.property_place(first.node, "vl,vm-id"), first.node.path)],
            )
        vplatform = node.nodes.get("vplatform")
        if vplatform is not None and read_vplatform(tree, vplatform, vm, findings):
            vm.wanted = True
    return vms


def _vm(tree: Tree, node: NodeLike, number: int, findings: Findings) -> VmNode:
    label = node.props.get("label")
    names = strings(label.value) if label is not None else None
    if label is not None and (not names or len(names) != 1 or not names[0]):
        findings.add(
            "BOARD0032",
            tree.property_place(node, "label"),
            f"{node.path}: label has the wrong type",
            'it is one text: label = "cluster";',
        )
    vdevs = node.nodes.get("vdevs")
    status = node.props.get("status")
    wanted = (
        "vl,on-demand" not in node.props
        or (vdevs is not None and bool(vdevs.nodes))
        or (status is not None and strings(status.value) in (["okay"], ["ok"]))
    )
    return VmNode(number, names[0] if names else f"vm{number}", tree, node, wanted, vdevs)


def read_vplatform(tree: Tree, top: NodeLike, vm: VmNode, findings: Findings) -> bool:
    """Read what a platform tree gives to a VM; true if it gives anything."""
    found = False
    for node in walk(top):
        if is_compatible(node, "vl,io-memory"):
            found = True
            region = read_io_memory(tree, node, findings)
            if region is not None:
                vm.io_memory.append(region)
        elif is_compatible(node, "vl,vm-memory"):
            found = True
            _read_import(tree, node, vm, findings)
        elif _is_memory(node) and (moved := read_moved_memory(tree, node, findings)) is not None:
            vm.moved.append(moved)
    return found


def _is_memory(node: NodeLike) -> bool:
    """Ordinary memory of a VM."""
    kind = node.props.get("device_type")
    return kind is not None and strings(kind.value) == ["memory"]


def _read_import(tree: Tree, node: NodeLike, vm: VmNode, findings: Findings) -> None:
    exporter = read_id(tree, node, findings, "the import")
    if exporter is None:
        return
    place = tree.property_place(node, "vl,vm-id")
    if exporter == vm.id:
        findings.add(
            "BOARD0071",
            place,
            f"VM {vm.id} cannot import its own memory",
            "vl,vm-id is the VM that exports",
        )
    elif exporter in vm.imports:
        findings.add(
            "BOARD0072",
            place,
            f"VM {vm.id} already imports from VM {exporter}",
            notes=[(vm.imports[exporter], "the first one")],
        )
    else:
        vm.imports[exporter] = place


def want_exporters(vms: dict[int, VmNode], findings: Findings) -> None:
    """A VM that others import from is on the board, or the import is wrong."""
    for vm in list(vms.values()):
        for exporter, place in vm.imports.items():
            if exporter in vms:
                vms[exporter].wanted = True
            else:
                no_such_vm(exporter, vms, place, findings)


def check_granting(vms: dict[int, VmNode], findings: Findings) -> None:
    """Granted pages have one address for both VMs and the machine: IPA = PA, where memory is granted."""
    for vm in vms.values():
        for exporter, imported in vm.imports.items():
            for end in (vm, vms.get(exporter)):
                for region, ipa, place in end.moved if end is not None else ():
                    findings.add(
                        "BOARD0073",
                        place,
                        f"VM {end.id} has its memory {region} at IPA {ipa:#x}, "  # type: ignore[union-attr]
                        "and page granting needs IPA = PA",
                        "leave ipa-base out, or the vl,vm-memory nodes between these VMs",
                        notes=[(imported, f"VM {vm.id} imports memory of VM {exporter}")],
                    )


def no_such_vm(number: int, vms: Iterable[int], place: Place, findings: Findings) -> None:
    """Report a VM that is not on the board."""
    exist = ", ".join(str(i) for i in sorted(vms)) or "none"
    findings.add("BOARD0022", place, f"there is no VM {number}; VMs of this board: {exist}")


def find_invalid(tree: Tree) -> list[NodeLike]:
    """The nodes that list invalid memory; only the part of the tree about memory is searched."""
    found: list[NodeLike] = []
    todo = [tree.root]
    while todo:
        node = todo.pop()
        if node.name == "invalid-region":
            found.append(node)
        elif not is_compatible(node, "vl,vm"):
            todo.extend(reversed(node.nodes.values()))
    return found
