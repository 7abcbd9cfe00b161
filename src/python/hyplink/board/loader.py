"""``load``: from a text, a file or a compiled tree to a board, with every error of the run."""

from __future__ import annotations

import contextlib
import gc
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from hyplink.board.board import Board
from hyplink.board.findings import Findings, Place, did_you_mean
from hyplink.board.links import End, pair_ends, read_ends
from hyplink.board.model import InvalidRegion, LinkSpec, VmSpec
from hyplink.board.regions import check_invalid, check_io_memory, read_invalid
from hyplink.board.tree import Tree
from hyplink.board.vms import (
    VmNode,
    check_granting,
    find_invalid,
    find_vms,
    no_such_vm,
    read_vplatform,
    want_exporters,
)

__all__ = ["BUILTIN", "Source", "builtin", "check", "load", "to_dtb"]

Source = str | bytes | os.PathLike[str]

#: The boards that ship with the package.
BUILTIN = ("earlydata", "vbpipe", "vogl")

_MAGIC = b"\xd0\x0d\xfe\xed"
_HEADER = re.compile(r"/dts-v1/\s*;")
_SKELETON = Path(__file__).parent / "skeleton"


def load(
    source: Source,
    include: Sequence[str | os.PathLike[str]] = (),
    vplatform: Mapping[int, Source] | None = None,
) -> Board:
    """Read a board.

    Args:
        source: A path, the name of a board that ships with the package, the text of a device tree,
            or the bytes of a compiled one. A text without ``/dts-v1/`` is a fragment: it is put on
            the package's skeleton, with the labels ``vm2_vdevs``, ``invalid_region`` and so on.
        include: Directories for ``#include``, as with ``-I``.
        vplatform: The platform tree of a VM, by VM id: a path or a text, whole or a fragment.

    Raises:
        BoardError: something is wrong; ``diagnostics`` has every finding with its place.

    >>> load("vogl").links[0].label
    'vogl0'
    """
    board, findings, name = _load(source, include, vplatform)
    findings.raise_errors(name)
    assert board is not None
    return board


def check(
    source: Source,
    include: Sequence[str | os.PathLike[str]] = (),
    vplatform: Mapping[int, Source] | None = None,
) -> tuple[Board | None, Findings]:
    """Like ``load``, but hands out the findings instead of raising them."""
    board, findings, _ = _load(source, include, vplatform)
    return (None if findings.errors else board), findings


def builtin(name: str) -> Board:
    """A board that ships with the package: ``"vogl"``, ``"vbpipe"`` or ``"earlydata"``.

    Raises:
        KeyError: there is no such board; the message lists those that exist.
    """
    if name not in BUILTIN:
        raise KeyError(f"no board {name!r} in the package; there are {', '.join(BUILTIN)}")
    return load(_SKELETON / f"{name}.dts")


def to_dtb(source: Source, include: Sequence[str | os.PathLike[str]] = ()) -> bytes:
    """The compiled form of a board's tree; loading it gives an equal board.

    Raises:
        BoardError: the tree cannot be read. Whether it makes sense as a board is not looked at.
    """
    from hyplink.board.dtb import compile_tree

    findings = Findings()
    text = _Text(source, "<board>", findings)
    tree = _tree(text, [os.fspath(p) for p in include], findings, "skeleton")
    findings.raise_errors(text.name)
    assert tree is not None
    return compile_tree(tree.root)


def _load(
    source: Source,
    include: Sequence[str | os.PathLike[str]],
    vplatform: Mapping[int, Source] | None,
) -> tuple[Board | None, Findings, str]:
    findings = Findings()
    directories = [os.fspath(path) for path in include]
    text = _Text(source, "<board>", findings)
    with _collector_paused():
        board = _read(text, directories, vplatform, findings)
    return board, findings, text.name


@contextlib.contextmanager
def _collector_paused() -> Iterator[None]:
    """No garbage collection: a growing tree has no garbage, and scanning it again is not linear."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def _read(
    text: _Text,
    directories: list[str],
    vplatform: Mapping[int, Source] | None,
    findings: Findings,
) -> Board | None:
    tree = _tree(text, directories, findings, "skeleton")
    platforms: dict[int, tuple[str, Tree | None]] = {}
    for number, part in (vplatform or {}).items():
        other = _Text(part, f"<vplatform {number}>", findings)
        platforms[number] = (other.name, _tree(other, directories, findings, "platform"))
    return None if tree is None else _board(tree, platforms, findings, text.name)


class _Text:
    """What ``source`` means: a name for messages, a path if there is one, and the content."""

    def __init__(self, source: Source, name: str, findings: Findings) -> None:
        self.name = name
        self.path: Path | None = None
        self.data: bytes | None = None
        self.findings = findings
        if isinstance(source, bytes):
            self.data = source
        elif isinstance(source, str) and (not source.strip() or re.search(r"[\n{;]", source)):
            self.data = source.encode("utf-8", "surrogatepass")
        else:
            self._read(source)

    def _read(self, source: str | os.PathLike[str]) -> None:
        self.name = os.fspath(source)
        path = Path(source)
        if isinstance(source, str) and source in BUILTIN and not path.exists():
            path = _SKELETON / f"{source}.dts"
        try:
            self.data = path.read_bytes()
            self.path = path
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            hint = did_you_mean(path.name, [*BUILTIN, *_siblings(path)])
            hint = hint or f"boards of the package: {', '.join(BUILTIN)}"
            self.findings.add("BOARD0001", Place(self.name), f"cannot be read: {reason}", hint)

    def decode(self) -> str | None:
        """The text of a source tree, or ``None`` after saying why it is none."""
        data = self.data or b""
        if not data.strip():
            self.findings.add(
                "BOARD0002", Place(self.name), "the file is empty", "try hyplink board show vogl"
            )
            return None
        try:
            text = data.decode("utf-8-sig").replace("\r\n", "\n")
        except UnicodeDecodeError as error:
            what = f"byte {error.start} ({data[error.start]:#04x}) is not UTF-8"
            return self._no_tree(what)
        bad = re.search(r"[^\t\n\f\v\r\x20-\x7e\x85\xa0-\U0010ffff]", text)
        return self._no_tree(f"it has the character {bad.group()!r}") if bad else text

    def _no_tree(self, what: str) -> str | None:
        self.findings.add(
            "BOARD0003",
            Place(self.name),
            f"this is not a device tree: {what}",
            "a board is a .dts text or a .dtb made from one",
        )
        return None


def _siblings(path: Path) -> list[str]:
    try:
        return [entry.name for entry in path.parent.iterdir()][:200]
    except OSError:
        return []


def _tree(text: _Text, include: list[str], findings: Findings, base: str) -> Tree | None:
    if text.data is None:
        return None
    if text.data.startswith(_MAGIC):
        from hyplink.board.dtb import CompiledTree

        compiled = CompiledTree(text.data, findings, text.name)
        return compiled if compiled.complete else None
    content = text.decode()
    return None if content is None else _source_tree(text, content, include, findings, base)


def _source_tree(
    text: _Text, content: str, include: list[str], findings: Findings, base: str
) -> Tree | None:
    # Both libraries are loaded only when a tree in source form is read.
    from hyplink.board.dts import SourceTree
    from hyplink.board.preprocess import preprocess
    from hyplink.board.text import FlatText, SourceFile

    before = len(findings.errors)
    flat = preprocess(text.name, content, findings, include, text.path)
    if any(finding.code == "BOARD0008" for finding in findings.errors):
        return None
    if not flat.text.strip():
        if len(findings.errors) == before:
            what = "nothing is left without comments and directives"
            findings.add("BOARD0002", Place(text.name), what)
        return None
    if not _HEADER.search(flat.text):
        whole = FlatText()
        if base == "skeleton":
            path = _SKELETON / "hyplink" / "skeleton.dtsi"
            whole = preprocess(
                "<package>/hyplink/skeleton.dtsi", path.read_text("utf-8"), findings, (), path
            )
            whole.extend(flat)
        else:
            # A platform fragment may be a tree without its first line, or nodes without a tree.
            bare = re.match(r"\s*[/&]", flat.text) is None
            glue = "/dts-v1/; / { };" if not bare else "/dts-v1/; / {"
            file = SourceFile(text.name, content)
            whole.add(glue + " ", file, 0, linear=False)
            whole.extend(flat)
            whole.add(" };" if bare else " ", file, len(content), linear=False)
        flat = whole
    tree = SourceTree(flat, findings, text.name)
    return tree if tree.complete and len(findings.errors) == before else None


def _board(
    tree: Tree, platforms: Mapping[int, tuple[str, Tree | None]], findings: Findings, name: str
) -> Board:
    vms = find_vms(tree, findings)
    if not vms and not findings.errors:
        findings.add(
            "BOARD0022",
            Place(name),
            "there is no VM in this tree",
            'a VM is a node with compatible = "vl,vm"; see #include <hyplink/skeleton.dtsi>',
        )
    for number, (source, platform) in platforms.items():
        vm = vms.get(number)
        if vm is None:
            no_such_vm(number, vms, Place(source), findings)
        elif platform is not None:
            vm.wanted = True
            read_vplatform(platform, platform.root, vm, findings)
    want_exporters(vms, findings)
    check_granting(vms, findings)
    links = _links(vms, findings)
    invalid: list[InvalidRegion] = []
    for node in find_invalid(tree):
        invalid += read_invalid(tree, node, findings)
    check_invalid(invalid, findings)
    used = [vms[number] for number in sorted(vms) if vms[number].wanted]
    check_io_memory([(vm.id, vm.io_memory) for vm in used], invalid, findings)
    return Board(
        tuple(_spec(vm) for vm in used),
        tuple(links),
        tuple(sorted(invalid, key=lambda region: region.base)),
        name,
        tuple(findings.warnings),
    )


def _links(vms: Mapping[int, VmNode], findings: Findings) -> list[LinkSpec]:
    ends: list[End] = []
    for vm in vms.values():
        if vm.vdevs is not None:
            ends += read_ends(vm.tree, vm.vdevs, vm.id, findings)
    return pair_ends(ends, findings)


def _spec(vm: VmNode) -> VmSpec:
    return VmSpec(vm.id, vm.name, tuple(vm.io_memory), tuple(sorted(vm.imports)), vm.place)
