"""What a board is once it is read: virtual machines, vlinks and memory regions. Values only."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal

from hyplink.board.findings import Place
from hyplink.diagnostics import Diagnostic

__all__ = ["BoardModel", "InvalidRegion", "IoMemory", "LinkSpec", "VmSpec"]

#: The options of a class without options.
NO_OPTIONS: Mapping[str, Any] = MappingProxyType({})


@dataclasses.dataclass(frozen=True, slots=True)
class InvalidRegion:
    """Physical memory that belongs to no VM: ``base`` and ``size`` in bytes."""

    base: int
    size: int
    place: Place = dataclasses.field(default=Place(""), compare=False, repr=False)


@dataclasses.dataclass(frozen=True, slots=True)
class IoMemory:
    """A piece of physical memory mapped into a VM.

    ``pa`` is the physical address, ``ipa`` where the VM sees it, both and ``size`` in bytes;
    ``attributes`` are the cells of ``vl,attributes`` as written; ``kind`` says what they mean.
    """

    ipa: int
    pa: int
    size: int
    sharing: bool
    attributes: tuple[int, ...]
    kind: Literal["device", "uncached", "cached"]
    path: str
    place: Place = dataclasses.field(default=Place(""), compare=False, repr=False)


@dataclasses.dataclass(frozen=True, slots=True)
class VmSpec:
    """A virtual machine; ``imports`` are the VMs whose granted memory it accepts."""

    id: int
    name: str
    io_memory: tuple[IoMemory, ...] = ()
    imports: tuple[int, ...] = ()
    place: Place = dataclasses.field(default=Place(""), compare=False, repr=False)


@dataclasses.dataclass(frozen=True, slots=True)
class LinkSpec:
    """One vlink: a server end, a client end, a class.

    ``name`` is the class (``"vogl"``), ``link`` the number of the pair on the board, shared by the
    two vlinks of a symmetric pair, and ``label`` the class with a running number (``"vogl0"``).
    ``options`` is what the class reads in its info string.
    """

    name: str
    link: int
    label: str
    server: int
    client: int
    server_info: str
    client_info: str
    symmetric: bool
    options: Mapping[str, Any]
    server_path: str
    client_path: str
    server_place: Place = dataclasses.field(default=Place(""), compare=False, repr=False)
    client_place: Place = dataclasses.field(default=Place(""), compare=False, repr=False)


@dataclasses.dataclass(frozen=True, slots=True)
class BoardModel:
    """What a tree says: ``vms`` by id, ``links`` in the order of the tree, ``invalid_regions`` by address.

    Two boards are equal if they say the same, wherever they were read from.
    """

    vms: tuple[VmSpec, ...]
    links: tuple[LinkSpec, ...]
    invalid_regions: tuple[InvalidRegion, ...] = ()
    name: str = dataclasses.field(default="", compare=False)
    warnings: tuple[Diagnostic, ...] = dataclasses.field(default=(), compare=False, repr=False)

    def vm(self, which: int | str) -> VmSpec:
        """The VM of that id or name.

        Raises:
            KeyError: there is none; the message says which exist.
        """
        for vm in self.vms:
            if which in (vm.id, vm.name):
                return vm
        raise KeyError(f"no VM {which!r} on this board; there are {[vm.id for vm in self.vms]}")

    def link(self, label: str) -> LinkSpec:
        """The link of that label.

        Raises:
            KeyError: there is none; the message says which exist.
        """
        for link in self.links:
            if link.label == label:
                return link
        some = ", ".join(link.label for link in self.links[:12])
        raise KeyError(f"no link {label!r} on this board; there are {some or 'none'}")

    def links_of(self, vm: int) -> tuple[LinkSpec, ...]:
        """The links with an end in a VM."""
        return tuple(link for link in self.links if vm in (link.server, link.client))

    def to_spec(self) -> dict[str, Any]:
        """Plain lists for the hypervisor, in the order of the fields of its descriptors.

        ``vms``: ``[id, name, imports, [[ipa, pa, size, sharing, kind], …]]``; ``links``: ``[class,
        link, label, server, client, server_info, client_info, options]``; ``invalid``:
        ``[base, size]``.
        """
        return {
            "vms": [
                [
                    vm.id,
                    vm.name,
                    list(vm.imports),
                    [[r.ipa, r.pa, r.size, r.sharing, r.kind] for r in vm.io_memory],
                ]
                for vm in self.vms
            ],
            "links": [
                [
                    link.name,
                    link.link,
                    link.label,
                    link.server,
                    link.client,
                    link.server_info,
                    link.client_info,
                    dict(link.options),
                ]
                for link in self.links
            ],
            "invalid": [[region.base, region.size] for region in self.invalid_regions],
        }

    def __repr__(self) -> str:
        ids = ", ".join(str(vm.id) for vm in self.vms)
        return (
            f"<{type(self).__name__} {self.name!r}: VMs {ids or 'none'}; {len(self.links)} links>"
        )
