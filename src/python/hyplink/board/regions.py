"""Memory of a board: regions as they are written, and whether they fit together."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import Literal

from hyplink.board.findings import Findings, Place
from hyplink.board.model import InvalidRegion, IoMemory
from hyplink.board.tree import NodeLike, Tree, cells

__all__ = [
    "PAGE",
    "check_invalid",
    "check_io_memory",
    "read_invalid",
    "read_io_memory",
    "read_moved_memory",
]

#: The hypervisor maps and protects memory by pages.
PAGE = 4096
#: Addresses above this do not exist in a 48-bit physical address space.
_TOP = 1 << 48
#: Bits of a stage-2 descriptor: memory type, and whether it is cached.
_TYPE_MASK = 0xF << 2
_CACHED = 0xF << 2


def _cell_count(node: NodeLike | None, name: str, default: int) -> int:
    """``#address-cells`` or ``#size-cells`` for the children of a node; not inherited."""
    prop = node.props.get(name) if node is not None else None
    numbers = cells(prop.value) if prop is not None else None
    return numbers[0] if numbers and len(numbers) == 1 and 1 <= numbers[0] <= 2 else default


def _reg(tree: Tree, node: NodeLike, findings: Findings) -> list[tuple[int, int]] | None:
    """The ``(address, size)`` pairs of ``reg``, checked for alignment and sense."""
    prop = node.props.get("reg")
    address = _cell_count(node.parent, "#address-cells", 2)
    size = _cell_count(node.parent, "#size-cells", 1)
    form = f"reg = <address of {address} cell{'s' * (address > 1)}, size of {size}>"
    if prop is None:
        findings.add("BOARD0060", tree.node_place(node), f"{node.path} has no reg", form)
        return None
    place = tree.property_place(node, "reg")
    numbers = cells(prop.value)
    step = address + size
    if not numbers or len(numbers) % step:
        count = f"{len(numbers)} cells" if numbers is not None else f"{len(prop.value)} bytes"
        findings.add(
            "BOARD0060",
            place,
            f"{node.path}: reg has {count}, not a multiple of {step} cells",
            form,
        )
        return None
    pairs = []
    for at in range(0, len(numbers), step):
        pair = (_join(numbers[at : at + address]), _join(numbers[at + address : at + step]))
        if _sound(*pair, place, node.path, findings):
            pairs.append(pair)
    return pairs


def _join(numbers: Sequence[int]) -> int:
    value = 0
    for number in numbers:
        value = value << 32 | number
    return value


def _sound(base: int, size: int, place: Place, path: str, findings: Findings) -> bool:
    if size == 0 or base + size > _TOP:
        what = "is empty" if size == 0 else "leaves the 48-bit address space"
        findings.add("BOARD0064", place, f"{path}: the region {_span(base, size)} {what}")
        return False
    return _aligned("address", base, place, path, findings) and _aligned(
        "size", size, place, path, findings
    )


def _aligned(what: str, value: int, place: Place, path: str, findings: Findings) -> bool:
    if value % PAGE == 0:
        return True
    findings.add(
        "BOARD0061",
        place,
        f"{path}: the {what} {value:#x} is not a multiple of the page size {PAGE:#x}",
        f"the nearest are {value - value % PAGE:#x} and {value - value % PAGE + PAGE:#x}",
    )
    return False


def _span(base: int, size: int) -> str:
    return f"[{base:#x}, {base + size:#x})"


def read_invalid(tree: Tree, node: NodeLike, findings: Findings) -> list[InvalidRegion]:
    """The regions of an ``invalid-region`` node; without ``reg`` it lists none."""
    if "reg" not in node.props:
        return []
    place = tree.property_place(node, "reg")
    return [InvalidRegion(base, size, place) for base, size in _reg(tree, node, findings) or ()]


def read_io_memory(tree: Tree, node: NodeLike, findings: Findings) -> IoMemory | None:
    """A ``vl,io-memory`` node, or ``None`` if it is wrong."""
    before = len(findings.errors)
    pairs = _reg(tree, node, findings)
    if pairs is not None and len(pairs) > 1:
        findings.add(
            "BOARD0060",
            tree.property_place(node, "reg"),
            f"{node.path} lists {len(pairs)} regions",
            "one node maps one region",
        )
    sharing = _flag(tree, node, "vl,allow-sharing", findings)
    attributes = _attributes(tree, node, findings)
    ipa = _ipa(tree, node, findings)
    if len(findings.errors) > before or not pairs:
        return None
    pa, size = pairs[0]
    if ipa is None:
        ipa = pa
    elif ipa + size > _TOP:
        place = tree.property_place(node, "ipa-base")
        findings.add(
            "BOARD0064", place, f"{node.path}: {_span(ipa, size)} leaves the address space"
        )
        return None
    kind = _kind(attributes)
    return IoMemory(ipa, pa, size, sharing, attributes, kind, node.path, tree.node_place(node))


def read_moved_memory(
    tree: Tree, node: NodeLike, findings: Findings
) -> tuple[str, int, Place] | None:
    """Where a node of ordinary memory gives it another IPA than its PA: (region, IPA, place), or ``None``."""
    ipa = _ipa(tree, node, findings)
    pairs = _reg(tree, node, findings) if ipa is not None else None
    if ipa is None or not pairs or pairs[0][0] == ipa:
        return None
    return _span(*pairs[0]), ipa, tree.property_place(node, "ipa-base")


def _flag(tree: Tree, node: NodeLike, name: str, findings: Findings) -> bool:
    prop = node.props.get(name)
    if prop is not None and prop.value:
        place = tree.property_place(node, name)
        hint = f"it has no value: {name};"
        findings.add("BOARD0032", place, f"{node.path}: {name} has the wrong type", hint)
    return prop is not None


def _attributes(tree: Tree, node: NodeLike, findings: Findings) -> tuple[int, ...]:
    prop = node.props.get("vl,attributes")
    if prop is None:
        return ()
    numbers = cells(prop.value)
    if numbers is None or len(numbers) != 2:
        findings.add(
            "BOARD0032",
            tree.property_place(node, "vl,attributes"),
            f"{node.path}: vl,attributes has the wrong type",
            "vl,attributes = <VDT_S2PTE_UPPER_MEM VDT_S2PTE_LOWER_MEM>;",
        )
        return ()
    return tuple(numbers)


def _kind(attributes: tuple[int, ...]) -> Literal["device", "uncached", "cached"]:
    bits = attributes[1] & _TYPE_MASK if attributes else 0
    if bits == _CACHED:
        return "cached"
    # Device memory has the upper two type bits clear.
    return "uncached" if bits & (0x3 << 4) else "device"


def _ipa(tree: Tree, node: NodeLike, findings: Findings) -> int | None:
    prop = node.props.get("ipa-base")
    if prop is None:
        return None
    place = tree.property_place(node, "ipa-base")
    numbers = cells(prop.value)
    if not numbers or len(numbers) > 2:
        hint = "ipa-base = <0x8 0x00000000>;"
        findings.add("BOARD0032", place, f"{node.path}: ipa-base has the wrong type", hint)
        return None
    value = _join(numbers)
    return value if _aligned("ipa-base", value, place, node.path, findings) else None


def check_invalid(regions: Iterable[InvalidRegion], findings: Findings) -> None:
    """Invalid regions must not overlap."""
    last: InvalidRegion | None = None
    for region in sorted(regions, key=lambda r: (r.base, r.size)):
        if last is not None and region.base < last.base + last.size:
            findings.add(
                "BOARD0062",
                region.place,
                f"the invalid regions {_span(last.base, last.size)} and "
                f"{_span(region.base, region.size)} overlap",
            )
        if last is None or region.base + region.size > last.base + last.size:
            last = region


def check_io_memory(
    vms: Sequence[tuple[int, Sequence[IoMemory]]],
    invalid: Sequence[InvalidRegion],
    findings: Findings,
) -> None:
    """No VM maps two things to one address, and nobody shares without saying so."""
    for number, regions in vms:
        ordered = sorted(regions, key=lambda r: r.ipa)
        for first, second in itertools.pairwise(ordered):
            if second.ipa < first.ipa + first.size:
                findings.add(
                    "BOARD0062",
                    second.place,
                    f"VM {number} maps {_span(first.ipa, first.size)} and "
                    f"{_span(second.ipa, second.size)}, which overlap",
                    notes=[(first.place, "the other one")],
                )
    _check_sharing(vms, findings)
    for number, regions in vms:
        for region in regions:
            ordinary = not any(
                i.base <= region.pa and region.pa + region.size <= i.base + i.size for i in invalid
            )
            if region.sharing and ordinary:
                findings.warn(
                    "BOARD0065",
                    region.place,
                    f"VM {number} shares {_span(region.pa, region.size)}, not invalid memory",
                    "without &invalid_region { reg = …; } a VM may get it as its own memory",
                )


def _check_sharing(vms: Sequence[tuple[int, Sequence[IoMemory]]], findings: Findings) -> None:
    mapped = sorted(
        ((region, number) for number, regions in vms for region in regions),
        key=lambda pair: (pair[0].pa, pair[1]),
    )
    open_ones: list[tuple[IoMemory, int]] = []
    for region, number in mapped:
        open_ones = [(r, n) for r, n in open_ones if r.pa + r.size > region.pa]
        for other, owner in open_ones:
            for mine, vm, theirs, peer in (
                (other, owner, region, number),
                (region, number, other, owner),
            ):
                if not mine.sharing:
                    findings.add(
                        "BOARD0063",
                        mine.place,
                        f"VM {vm} maps {_span(mine.pa, mine.size)}, VM {peer} maps "
                        f"{_span(theirs.pa, theirs.size)}, but this node does not allow sharing",
                        "add vl,allow-sharing; to both nodes",
                        [(theirs.place, f"the mapping of VM {peer}")],
                    )
        open_ones.append((region, number))
