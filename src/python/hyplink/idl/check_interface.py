"""Interfaces and procedures: ordinals, parameters, blocks."""

from __future__ import annotations

from hyplink.idl import syntax
from hyplink.idl.check_attributes import check_attributes
from hyplink.idl.check_expr import ExprChecker, Known
from hyplink.idl.check_slots import SlotChecker
from hyplink.idl.findings import Findings, Place
from hyplink.idl.layout import lay_block
from hyplink.idl.model import SCALARS, Block, Interface, Model, Procedure, Slot
from hyplink.idl.names import python_name, snake
from hyplink.idl.scope import Scope

__all__ = ["InterfaceChecker"]

_LARGEST_BLOCK = (1 << 32) - 8


class InterfaceChecker:
    """Checks one interface after another in the scope of their file."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.findings = scope.findings
        self.file = scope.file

    def _error(
        self,
        place: Place,
        code: int,
        message: str,
        hint: str = "",
        note: tuple[Place, str] | None = None,
    ) -> None:
        self.findings.add(self.file, place, code, message, hint=hint, note=note)

    def check(self, node: syntax.Interface, groups: dict[int, syntax.Interface]) -> Interface:
        """The checked interface; ``groups`` collects the group numbers of the file."""
        if node.group_place[0] and not 1 <= node.group <= 0xFFFF:
            self._error(node.group_place, 26, f"group {node.group} is not in 1..65535")
        elif node.group in groups:
            other = groups[node.group]
            self._error(
                node.group_place,
                25,
                f"group {node.group} is taken by interface '{other.name}'",
                note=(other.group_place, "the first one is here"),
            )
        elif node.group_place[0]:
            groups[node.group] = node
        attributes = check_attributes(self.file, "interface", node.attributes, self.findings)
        result = Interface(node.name, node.group, [], attributes=attributes, doc=node.doc)
        result.reserved = [(r.low, r.high) for r in node.reserved]
        ordinals: dict[int, syntax.Procedure] = {}
        names: dict[str, syntax.Procedure] = {}
        for proc in node.procedures:
            self._name(proc, names)
            self._ordinal(node, proc, ordinals)
            found = self._procedure(proc)
            if found is not None:
                result.procedures.append(found)
        return result

    def _name(self, proc: syntax.Procedure, names: dict[str, syntax.Procedure]) -> None:
        first = names.get(python_name(proc.name))
        if first is None:
            names[python_name(proc.name)] = proc
        elif first.name == proc.name:
            self._error(
                proc.place,
                21,
                f"'{proc.name}' is declared twice",
                note=(first.place, "the first one is here"),
            )
        else:
            self._error(
                proc.place,
                39,
                f"'{proc.name}' and '{first.name}' are both '{snake(proc.name)}' in Python",
                note=(first.place, "the first one is here"),
            )

    def _ordinal(
        self,
        node: syntax.Interface,
        proc: syntax.Procedure,
        ordinals: dict[int, syntax.Procedure],
    ) -> None:
        number = proc.ordinal
        if number is None:
            return
        if not 1 <= number <= 0xFFFF:
            self._error(proc.ordinal_place, 24, f"ordinal {number} is not in 1..65535")
            return
        first = ordinals.get(number)
        if first is not None:
            self._error(
                proc.ordinal_place,
                22,
                f"ordinal {number} is taken by '{first.name}'",
                note=(first.ordinal_place, "the first one is here"),
            )
            return
        ordinals[number] = proc
        for item in node.reserved:
            if item.low <= number <= item.high:
                self._error(
                    proc.ordinal_place,
                    23,
                    f"ordinal {number} is reserved",
                    note=(item.place, "reserved here"),
                )

    def _procedure(self, node: syntax.Procedure) -> Procedure | None:
        attributes = check_attributes(self.file, "procedure", node.attributes, self.findings)
        if "copy" in attributes and "zero_copy" in attributes:
            self._error(node.place, 61, "'@copy' and '@zero_copy' exclude each other")
        default = True if "copy" in attributes else False if "zero_copy" in attributes else None
        lookup = _Arguments(node, self.scope)
        exprs = ExprChecker(self.file, self.findings, lookup.find, lookup.names)
        checker = SlotChecker(self.scope, exprs, default)
        slots: list[Slot] = []
        whole = not node.broken
        seen: dict[str, Place] = {}
        if node.result is not None and any(
            m.direction == "out" and m.name == "result" for m in node.members
        ):
            self._error(
                node.place,
                39,
                "an output named 'result' meets the result itself",
                "choose another name for the parameter",
            )
        for member in node.members:
            check_attributes(self.file, "parameter", member.attributes, self.findings)
            name = python_name(member.name)
            if name in seen:
                self._error(
                    member.place,
                    21,
                    f"'{member.name}' is declared twice",
                    note=(seen[name], "the first one is here"),
                )
                continue
            seen[name] = member.place
            slot = checker.parameter(member)
            if slot is None:
                whole = False
            else:
                slots.append(slot)
            if member.direction == "out" and node.kind == "async":
                self._error(
                    member.place,
                    55,
                    f"async '{node.name}' has the output '{member.name}'",
                    "nobody waits for an answer; make it sync",
                )
        result = self._result(node)
        on_lost = self._on_lost(node, result)
        if not whole:
            return None
        outputs = [s for s in slots if s.direction == "out"]
        if result is not None:
            outputs.insert(0, result)
        request = lay_block([s for s in slots if s.direction == "in"])
        reply = lay_block(outputs)
        for block in (request, reply):
            self._size(node, block)
        return Procedure(
            node.name,
            node.ordinal or 0,
            node.kind,
            [s.name for s in slots],
            request,
            reply,
            result is not None,
            on_lost,
            "notify" in attributes,
            node.since,
            node.doc,
            node.place[0],
        )

    def _size(self, node: syntax.Procedure, block: Block) -> None:
        if block.max > _LARGEST_BLOCK or block.fixed > 1 << 16:
            self._error(
                node.place,
                58,
                f"a block of '{node.name}' can have {block.max} bytes",
                "at most 4 GiB, and at most 64 KiB of it in the fixed part",
            )

    def _result(self, node: syntax.Procedure) -> Slot | None:
        if node.result is None or node.result.text == "void":
            return None
        if node.kind == "async":
            self._error(
                node.result.place,
                55,
                f"async '{node.name}' has a result",
                "nobody waits for an answer; make it sync",
            )
            return None
        if node.result.text in ("string", "bytes"):
            self._error(
                node.result.place,
                67,
                f"'{node.result.text}' cannot be a result",
                "declare an 'out' parameter with 'max'",
            )
            return None
        kind = self.scope.type_of(node.result)
        return None if kind is None else Slot("result", "value", kind, "out")

    def _on_lost(self, node: syntax.Procedure, result: Slot | None) -> int | None:
        if node.on_lost is None:
            return None
        exprs = ExprChecker(
            self.file, self.findings, self.scope.constant, self.scope.constant_names
        )
        value = exprs.constant(node.on_lost, "the value for a lost peer")
        if result is None:
            if node.result is None or node.result.text == "void":
                self._error(node.on_lost.place, 63, f"'{node.name}' has no result to replace")
            return None
        if result.type.kind == "struct" or value is None:
            return None
        model = self.scope.model
        enum = model.enums[result.type.name] if result.type.kind == "enum" else None
        info = SCALARS[enum.base if enum else result.type.name]
        members = [m.value for m in enum.members] if enum and not enum.open else None
        if (info.integer and not info.low <= value <= info.high) or (
            members is not None and value not in members
        ):
            self._error(
                node.on_lost.place,
                63,
                f"{value} is no value of '{result.type.name.rpartition('.')[2]}'",
            )
        return value


class _Arguments:
    """What the expressions of one procedure may name: input parameters, then constants."""

    def __init__(self, node: syntax.Procedure, scope: Scope) -> None:
        self._scope = scope
        self._members = {m.name: m for m in node.members}
        self._model: Model = scope.model

    def names(self) -> list[str]:
        inputs = [m.name for m in self._members.values() if m.direction == "in"]
        return inputs + self._scope.constant_names()

    def find(self, parts: list[str]) -> Known | None:
        member = self._members.get(parts[0])
        if member is None:
            return self._scope.constant(parts)
        if member.direction != "in":
            why = f"'{member.name}' is an output; a length depends on inputs only"
            return Known(problem=49, why=why)
        if member.has_dim or member.type.text in ("string", "bytes"):
            return Known(problem=41, why=f"'{member.name}' is not an integer")
        kind = self._scope.type_of(member.type)
        if kind is None:
            return Known(problem=-1)
        low, high = self._bounds(member)
        for field in parts[1:]:
            struct = self._model.structs.get(kind.name) if kind.kind == "struct" else None
            slot = next((s for s in struct.slots if s.name == field), None) if struct else None
            if slot is None:
                return None
            if slot.form != "value":
                return Known(problem=41, why=f"'{field}' is not an integer")
            kind, low, high = slot.type, slot.low, slot.high
        if kind.kind == "struct" or (kind.kind == "scalar" and not SCALARS[kind.name].integer):
            return Known(problem=41, why=f"'{'.'.join(parts)}' is not an integer")
        if kind.kind == "enum":
            enum = self._model.enums[kind.name]
            values = [m.value for m in enum.members]
            info = SCALARS[enum.base]
            if enum.open or not values:
                return Known(info.low, info.high)
            return Known(min(values), max(values))
        info = SCALARS[kind.name]
        return Known(info.low if low is None else low, info.high if high is None else high)

    def _bounds(self, member: syntax.Member) -> tuple[int | None, int | None]:
        """The declared range, quietly: its own findings come with the parameter itself."""
        exprs = ExprChecker(self._scope.file, Findings(), self._scope.constant, list)
        nodes = member.choices or [n for n in (member.low, member.high) if n is not None]
        values = [exprs.constant(n, "") for n in nodes]
        known = [v for v in values if v is not None]
        if not known or len(known) != len(values):
            return None, None
        return min(known), max(known)
