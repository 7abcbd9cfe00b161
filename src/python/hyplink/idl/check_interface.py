"""Interfaces and procedures: ordinals, parameters, blocks."""

from __future__ import annotations

import copy

from hyplink.idl import syntax
from hyplink.idl.check_arguments import Arguments
from hyplink.idl.check_attributes import check_attributes
from hyplink.idl.check_clauses import ClauseChecker
from hyplink.idl.check_dims import CHAR, mentions, results
from hyplink.idl.check_slots import SlotChecker
from hyplink.idl.check_state import check_sets, check_state
from hyplink.idl.findings import Place, nearest
from hyplink.idl.layout import lay_block
from hyplink.idl.lexer import int_value
from hyplink.idl.model import SCALARS, Block, Interface, Procedure, Slot, StateVar
from hyplink.idl.names import python_name, snake
from hyplink.idl.scope import Scope

__all__ = ["InterfaceChecker"]

_LARGEST_BLOCK = (1 << 32) - 8
_LARGEST_TEXT = 64 << 20


class InterfaceChecker:
    """Checks one interface after another in the scope of their file."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.findings = scope.findings
        self.file = scope.file
        self.state: dict[str, StateVar | None] = {}
        self.callbacks: dict[str, str] = {}
        self.siblings: list[str] = []

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
        result.reserved = self._reserved(node.reserved)
        result.reserved_callbacks = self._reserved(node.reserved_callbacks)
        self.state = check_state(node, self.scope)
        result.state = [v for v in self.state.values() if v is not None]
        self.siblings = [p.name for p in node.procedures]
        prefix = f"{self.scope.model.module}.{node.name}"
        self.callbacks = {p.name: f"{prefix}.{p.name}" for p in node.callbacks}
        names: dict[str, syntax.Procedure] = {}
        for procs, out in (
            (node.procedures, result.procedures),
            (node.callbacks, result.callbacks),
        ):
            ordinals: dict[int, syntax.Procedure] = {}
            for proc in procs:
                self._name(proc, names)
                self._ordinal(node, proc, ordinals)
                found = self._procedure(proc)
                if found is not None:
                    out.append(found)
        return result

    def _reserved(self, items: list[syntax.Reserved]) -> list[tuple[int, int]]:
        for item in items:
            for number in {item.low, item.high}:
                if not 1 <= number <= 0xFFFF:
                    self._error(item.place, 24, f"ordinal {number} is not in 1..65535")
            if item.low > item.high:
                message = f"the range {item.low}..{item.high} is empty"
                self._error(item.place, 54, message, "the lower ordinal comes first")
        return [(item.low, item.high) for item in items]

    def _name(self, proc: syntax.Procedure, names: dict[str, syntax.Procedure]) -> None:
        first = names.get(python_name(proc.name))
        if first is None:
            names[python_name(proc.name)] = proc
        elif first.name == proc.name:
            self.scope.twice(proc.name, proc.place, first.place)
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
        for item in node.reserved_callbacks if proc.is_callback else node.reserved:
            if item.low <= number <= item.high:
                self._error(
                    proc.ordinal_place,
                    23,
                    f"ordinal {number} is reserved",
                    note=(item.place, "reserved here"),
                )

    def _procedure(self, node: syntax.Procedure) -> Procedure | None:
        where = "callback" if node.is_callback else "procedure"
        attributes = check_attributes(self.file, where, node.attributes, self.findings)
        if "copy" in attributes and "zero_copy" in attributes:
            self._error(node.place, 61, "'@copy' and '@zero_copy' exclude each other")
        slots = self._slots(node, attributes)
        result = self._result(node, attributes)
        implied = frozenset(m.name for m in node.members if m.implied is not None)
        if slots is None:
            check_sets(node, self.scope, self.state, implied)
            ClauseChecker(self.scope, node, self.siblings).on_lost(result)
            return None
        outputs = [result] if result is not None else []
        inputs: list[Slot] = []
        hidden: list[Slot] = []
        for member, slot in slots:
            if member.implied is not None:
                hidden.append(slot)
                continue
            if member.direction != "out":
                inputs.append(slot)
            if member.direction != "in":
                outputs.append(copy.copy(slot) if member.direction == "inout" else slot)
                outputs[-1].direction = "out"
                if member.direction == "inout":
                    slot.direction = "in"
        cookies = [s.name for s in inputs if s.type.kind == "cookie"]
        for slot in inputs:
            if slot.type.kind == "callback" and len(cookies) == 1:
                slot.cookie = cookies[0]
        proc = Procedure(
            node.name,
            node.ordinal or 0,
            node.kind,
            [slot.name for _, slot in slots],
            lay_block(inputs),
            lay_block(outputs),
            result is not None,
            None,
            "notify" in attributes,
            node.since,
            node.doc,
            node.place[0],
            implied=hidden,
            attributes=attributes,
        )
        for block in (proc.request, proc.reply):
            self._size(node, block)
        self._implied(node, slots)
        self._used(node, outputs)
        proc.sets = check_sets(node, self.scope, self.state, implied)
        ClauseChecker(self.scope, node, self.siblings).check(proc, result)
        return proc

    def _slots(
        self, node: syntax.Procedure, attributes: dict[str, dict[str, str]]
    ) -> list[tuple[syntax.Member, Slot]] | None:
        """Every parameter with its slot; None when there is a wrong one."""
        default = True if "copy" in attributes else False if "zero_copy" in attributes else None
        implied = frozenset(m.name for m in node.members if m.implied is not None)
        exprs = self.scope.exprs(Arguments(node, self.scope, self.state))
        large = attributes.get("large", {}).get("", "")
        checker = SlotChecker(
            self.scope, exprs, default, implied, self.callbacks, int_value(large) if large else 0
        )
        slots: list[tuple[syntax.Member, Slot]] = []
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
            said = check_attributes(self.file, "parameter", member.attributes, self.findings)
            name = python_name(member.name)
            if name in seen:
                self.scope.twice(member.name, member.place, seen[name])
                continue
            seen[name] = member.place
            slot = checker.parameter(member)
            if slot is None:
                whole = False
            else:
                slot.c_type = said.get("c", {}).get("type", "")
                slots.append((member, slot))
                whole = self._suits(node, member, slot, implied) and whole
            if member.direction != "in" and node.kind == "async":
                self._error(
                    member.place,
                    55,
                    f"async '{node.name}' has the output '{member.name}'",
                    "nobody waits for an answer; make it sync",
                )
        if large and whole and not any(slot.large for _, slot in slots):
            place = next(a.place for a in node.attributes if a.name == "large")
            self._error(
                place,
                62,
                f"'@large' says nothing about '{node.name}'",
                "it belongs to input arrays of plain numbers that can be larger",
            )
        return slots if whole else None

    def _suits(
        self, node: syntax.Procedure, member: syntax.Member, slot: Slot, implied: frozenset[str]
    ) -> bool:
        """What a slot may be depends on who sends it and whether it travels."""
        if node.is_callback and slot.type.kind == "callback":
            self._error(member.place, 65, "a callback cannot take a callback")
            return False
        if member.direction == "inout" and (
            slot.form not in ("value", "fixed", "array", "bytes", "string") or slot.dim != "expr"
        ):
            self._error(
                member.place,
                65,
                f"'{member.name}' cannot be 'inout'",
                "declare one 'in' and one 'out' parameter",
            )
            return False
        outer = slot.length if slot.dim != "carried" else None
        name = mentions(outer, implied, "arg")
        if name and member.implied is None:
            self._error(
                member.place, 77, f"'{name}' is implied: both sides must know the length here"
            )
            return False
        if member.implied is not None and (
            member.direction != "in" or slot.form not in ("value", "array", "optional", "bytes")
        ):
            self._error(
                member.implied, 77, f"'{member.name}' cannot be implied", "numbers and arrays can"
            )
            return False
        return True

    def _implied(self, node: syntax.Procedure, slots: list[tuple[syntax.Member, Slot]]) -> None:
        """Find the part that an implied parameter is rebuilt from."""
        for member, slot in slots:
            if member.implied is None:
                continue
            sized: list[str] = []
            name = {slot.name}
            for other, part in slots:
                if other.implied is not None:
                    continue
                if any(mentions(e, name, "arg", "index") for e in (part.length, part.inner)):
                    sized.append(part.name)
                for length, op in ((part.length, "arg"), (part.inner, "index")):
                    if length is not None and any(
                        e.op == op and e.name == slot.name for e in results(length)
                    ):
                        slot.implied = slot.implied or part.name
            if len(sized) > 1:
                self._error(
                    member.implied,
                    77,
                    f"'{member.name}' is implied and sizes both '{sized[0]}' and '{sized[1]}'",
                    "they could differ: without 'implied' both are checked",
                )
                continue
            if not slot.implied:
                self._error(
                    member.implied,
                    77,
                    f"nothing says what '{member.name}' is: it is implied",
                    "a length must be it, as in 'bytes data[n]' or 'char s[i < n][lens[i]]'",
                )

    def _used(self, node: syntax.Procedure, outputs: list[Slot]) -> None:
        """``len n``: n is an output that counts."""
        by_name = {s.name: s for s in outputs}
        for member in node.members:
            if member.dim_kind != "cap":
                continue
            slot = by_name.get(member.used)
            good = (
                slot is not None
                and slot.form == "value"
                and slot.type.kind == "scalar"
                and SCALARS[slot.type.name].integer
                and SCALARS[slot.type.name].size >= 2
                and slot.type.name != "address"
            )
            if not good:
                guess = nearest(
                    member.used, [n for n in by_name if n not in (member.name, member.used)]
                )
                self._error(
                    member.used_place,
                    78,
                    f"'{member.used}' is no integer output of '{node.name}'",
                    f"did you mean '{guess}'?" if guess else "declare 'out u32 …' for it",
                )

    def _size(self, node: syntax.Procedure, block: Block) -> None:
        if block.max > _LARGEST_BLOCK or block.fixed > 1 << 16:
            self._error(
                node.place,
                58,
                f"a block of '{node.name}' can have {block.max} bytes",
                "at most 4 GiB, and at most 64 KiB of it in the fixed part",
            )

    def _result(self, node: syntax.Procedure, attributes: dict[str, dict[str, str]]) -> Slot | None:
        text = node.result.text if node.result is not None else "void"
        if node.max is not None and text != "string":
            self._error(node.max_place, 51, f"'max' says nothing about '{node.name}'")
        if node.result_nullable and text != "string":
            assert node.result is not None
            self._error(node.result.place, 67, f"the result '{text}' cannot be null", "text can")
        if node.result is None or text == "void":
            return None
        if node.kind == "async":
            self._error(
                node.result.place,
                55,
                f"async '{node.name}' has a result",
                "nobody waits for an answer; make it sync",
            )
            return None
        spelling = attributes.get("c", {}).get("type", "")
        if text == "string":
            return self._text(node, spelling)
        kind = None if text in ("bytes", "char") else self.scope.type_of(node.result)
        if text in ("bytes", "char") or (kind is not None and kind.kind in ("table", "umem")):
            self._error(
                node.result.place,
                67,
                f"'{text}' cannot be a result",
                "declare an 'out' parameter with 'max'" if text in ("bytes", "char") else "",
            )
            return None
        if kind is None:
            return None
        return Slot("result", "value", kind, "out", c_type=spelling)

    def _text(self, node: syntax.Procedure, spelling: str) -> Slot | None:
        if node.max is None:
            self._error(
                node.place,
                50,
                f"the result of '{node.name}' varies in size and has no 'max'",
                "write 'max 4K' behind the ordinal",
            )
            return None
        most = self.scope.exprs().constant(node.max, "the maximum")
        if most is None:
            return None
        if not 1 <= most <= _LARGEST_TEXT:
            self._error(node.max.place, 52, f"a maximum of {most} is not usable", "1 to 64M")
            return None
        return Slot(
            "result",
            "string",
            CHAR,
            "out",
            max=most,
            nullable=node.result_nullable,
            c_type=spelling,
        )
