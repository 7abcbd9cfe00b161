"""From vdevs to vlinks: which nodes are ends, which two make a pair, who is the server."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping
from typing import Any

from hyplink.board.findings import Findings, Place, did_you_mean
from hyplink.board.info import Info, read_options
from hyplink.board.model import LinkSpec
from hyplink.board.tree import NodeLike, Tree, cells, strings

__all__ = ["End", "pair_ends", "read_ends"]

#: A class name has 16 bytes in a descriptor, the last one is NUL.
_NAME_MAX = 15
_KNOWN = (
    "compatible",
    "server",
    "client",
    "info",
    "peer-phandle",
    "status",
    "label",
    "phandle",
    "linux,phandle",
    "reg",
)


@dataclasses.dataclass(slots=True, eq=False)
class End:
    """One vdev: an end of a link that may or may not have found its other end."""

    tree: Tree
    node: NodeLike
    vm: int
    name: str = ""
    server: bool = False
    client: bool = False
    info: str = ""
    wants_peer: bool = False
    target: NodeLike | None = None
    peer: End | None = None

    @property
    def where(self) -> str:
        """``VM 3, vogl@fe``."""
        return f"VM {self.vm}, {self.node.name}"

    def place(self, name: str | None = None) -> Place:
        """The place of a property, or of the node."""
        if name is None:
            return self.tree.node_place(self.node)
        return self.tree.property_place(self.node, name)


def read_ends(tree: Tree, vdevs: NodeLike, vm: int, findings: Findings) -> list[End]:
    """The ends that a VM has."""
    ends = []
    for node in vdevs.nodes.values():
        status = strings(node.props["status"].value) if "status" in node.props else None
        if status and status[0] not in ("okay", "ok"):
            continue
        ends.append(_End(tree, node, vm, findings).read())
    return ends


class _End:
    """Reads one vdev; a property of the wrong type is reported and then not there."""

    def __init__(self, tree: Tree, node: NodeLike, vm: int, findings: Findings) -> None:
        self.end = End(tree, node, vm)
        self.findings = findings

    def read(self) -> End:
        end, props = self.end, self.end.node.props
        again = end.tree.written_again(end.node)
        if again is not None:
            self.findings.warn(
                "BOARD0045",
                again,
                f"{end.where} is written twice; this changes the first, it adds no other vdev",
                "give the second another name, such as "
                f"{end.node.name}2, or change the first by its label: &label {{ … }};",
                [(end.place(), "the first one")],
            )
        end.name = self._name()
        end.server = self._flag("server")
        end.client = self._flag("client")
        if end.server and end.client:
            self.findings.add(
                "BOARD0033", end.place("client"), f"{end.where} is server and client at once"
            )
        if "info" in props:
            end.info = "".join(self._strings("info", 'info = "text"') or ())
        if "peer-phandle" in props:
            end.wants_peer = True
            self._peer()
        for name in props:
            if name not in _KNOWN:
                hint = did_you_mean(name, _KNOWN[:5])
                if hint:
                    self.findings.warn(
                        "BOARD0044", end.place(name), f"{end.where}: nobody reads {name}", hint
                    )
        return end

    def _wrong(self, name: str, hint: str) -> None:
        where = self.end.where
        self.findings.add(
            "BOARD0032", self.end.place(name), f"{where}: {name} has the wrong type", hint
        )

    def _strings(self, name: str, form: str) -> list[str] | None:
        found = strings(self.end.node.props[name].value)
        if found is None:
            self._wrong(name, f"it is a text: {form};")
        return found

    def _flag(self, name: str) -> bool:
        prop = self.end.node.props.get(name)
        if prop is not None and prop.value:
            self._wrong(name, f"it has no value: {name};")
        return prop is not None

    def _name(self) -> str:
        if "compatible" not in self.end.node.props:
            return ""
        found = self._strings("compatible", 'compatible = "vogl"')
        name = found[0] if found else ""
        if found is not None and (not name or any(c in name for c in " /\t") or not name.isascii()):
            self.findings.add(
                "BOARD0031", self.end.place("compatible"), f"{name!r} cannot be the name of a class"
            )
        elif len(name) > _NAME_MAX:
            self.findings.add(
                "BOARD0031",
                self.end.tree.value_place(self.end.node, "compatible", 0, len(name)),
                f"the class {name} has {len(name)} characters, there is room for {_NAME_MAX}",
            )
        return name

    def _peer(self) -> None:
        end = self.end
        prop = end.node.props["peer-phandle"]
        numbers = cells(prop.value)
        text = strings(prop.value)
        if text is not None and len(prop.value) != 4:
            name = "label" if text[0].startswith("/") else text[0]
            self._wrong("peer-phandle", f"it is one phandle, in < >: peer-phandle = <&{name}>;")
        elif numbers is None or len(numbers) != 1:
            self._wrong("peer-phandle", "it is one phandle: peer-phandle = <&label>;")
        else:
            end.target = end.tree.phandle2node.get(numbers[0])
            if end.target is None:
                self.findings.add(
                    "BOARD0013",
                    end.place("peer-phandle"),
                    f"{end.where}: no node has the phandle {numbers[0]}",
                    "write the label: peer-phandle = <&label>;",
                )


def pair_ends(ends: list[End], findings: Findings) -> list[LinkSpec]:
    """Make links of ends; what does not fit is reported."""
    by_node = {id(end.node): end for end in ends}
    for end in ends:
        if end.target is None:
            continue
        peer = by_node.get(id(end.target))
        place = end.place("peer-phandle")
        if peer is None:
            findings.add(
                "BOARD0041",
                place,
                f"{end.where}: the peer {end.target.path} is not a vdev in use",
                "a vdev is a node in the vdevs of a VM whose status is okay",
            )
        elif peer is end:
            findings.add("BOARD0042", place, f"{end.where} is its own peer")
        elif peer.peer is not end:
            # If it is, the peer has named this one already: each names the other.
            _join(end, peer, findings)
    return _Pairing(findings).links(ends)


def _join(asking: End, named: End, findings: Findings) -> None:
    if named.peer is None and asking.peer is None:
        asking.peer, named.peer = named, asking
        return
    taken = named if named.peer is not None else asking
    first = taken.peer
    if first is None:
        return
    witness = first if "peer-phandle" in first.node.props else taken
    findings.add(
        "BOARD0040",
        asking.place("peer-phandle"),
        f"{asking.where}: {taken.where} already has a peer, {first.where}",
        "a link has two ends; give each client a server node of its own",
        [(witness.place("peer-phandle"), "the first one")],
    )


class _Pairing:
    def __init__(self, findings: Findings) -> None:
        self.findings = findings
        self.units: Counter[str] = Counter()
        self.done: set[int] = set()
        self.unused: list[End] = []
        self.number = 0

    def links(self, ends: list[End]) -> list[LinkSpec]:
        links: list[LinkSpec] = []
        for end in ends:
            if id(end) in self.done:
                continue
            if end.peer is None:
                self._alone(end)
                continue
            self.done |= {id(end), id(end.peer)}
            links += self._pair(end, end.peer)
        if not self.findings.errors:
            # With errors about, a server is often unused only because of them.
            for end in self.unused:
                self.findings.warn(
                    "BOARD0035",
                    end.place("server"),
                    f"{end.where} is a server that no client names as its peer",
                )
        return links

    def _alone(self, end: End) -> None:
        add = self.findings.add
        if end.wants_peer:
            return  # it is already said why its peer is none
        if end.server and end.client:
            return
        if end.client:
            add(
                "BOARD0034",
                end.place("client"),
                f"{end.where} is a client without a peer",
                "peer-phandle = <&label of the server>;",
            )
        elif end.server:
            self.unused.append(end)
            self._class_of(end, end)
        else:
            add(
                "BOARD0043",
                end.place(),
                f"{end.where} is neither server nor client, and no vdev names it as its peer",
                "give the other end peer-phandle = <&label of this one>;",
            )

    def _pair(self, one: End, two: End) -> list[LinkSpec]:
        if (one.server and one.client) or (two.server and two.client):
            return []
        # The end that was named comes first: by convention it is the server.
        named, naming = (two, one) if one.target is two.node else (one, two)
        if not self._roles_agree(named, naming):
            return []
        name = self._class_of(named, naming)
        if not name:
            return []
        number, self.number = self.number, self.number + 1
        if named.server or naming.server:
            server, client = (named, naming) if named.server else (naming, named)
            return [self._link(name, number, server, client, symmetric=False)]
        return [
            self._link(name, number, named, naming, symmetric=True),
            self._link(name, number, naming, named, symmetric=True),
        ]

    def _roles_agree(self, named: End, naming: End) -> bool:
        for role, code in (("server", "BOARD0036"), ("client", "BOARD0037")):
            if getattr(named, role) and getattr(naming, role):
                self.findings.add(
                    code,
                    naming.place(role),
                    f"{naming.where} and its peer {named.where} are both {role}",
                    "" if role == "client" else "the end with peer-phandle is the client",
                    [(named.place(role), "the other one")],
                )
                return False
        marked = [end for end in (named, naming) if end.server or end.client]
        if len(marked) == 1:
            bare = naming if marked[0] is named else named
            role = "server" if marked[0].server else "client"
            other = "client" if role == "server" else "server"
            self.findings.add(
                "BOARD0038",
                bare.place(),
                f"{bare.where} does not say what it is, its peer {marked[0].where} is a {role}",
                f"add {other}; here, or mark neither for a link in both directions",
                [(marked[0].place(role), f"the {role}")],
            )
            return False
        return True

    def _class_of(self, named: End, naming: End) -> str:
        if named.name and naming.name and named.name != naming.name:
            self.findings.add(
                "BOARD0039",
                naming.place("compatible"),
                f"{naming.where} is a {naming.name}, its peer {named.where} is a {named.name}",
                "both ends of a link have one class; the client may leave compatible out",
                [(named.place("compatible"), "the peer")],
            )
            return ""
        name = named.name or naming.name
        if not name and all("compatible" not in end.node.props for end in (named, naming)):
            self.findings.add(
                "BOARD0030",
                named.place(),
                f"{named.where} has no class",
                'add compatible = "vogl"; or another class',
            )
        return name

    def _info(self, end: End) -> Info:
        def locate(at: int, length: int) -> Place:
            return end.tree.value_place(end.node, "info", at, length)

        return Info(end.info, end.where, locate, self.findings)

    def _link(self, name: str, number: int, server: End, client: End, symmetric: bool) -> LinkSpec:
        unit = self.units[name]
        self.units[name] += 1
        options: Mapping[str, Any] = read_options(name, self._info(server), self._info(client))
        return LinkSpec(
            name,
            number,
            f"{name}{unit}",
            server.vm,
            client.vm,
            server.info,
            client.info,
            symmetric,
            options,
            server.node.path,
            client.node.path,
            server.place(),
            client.place(),
        )
