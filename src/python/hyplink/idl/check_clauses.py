"""What stands behind a procedure's ordinal, and attributes that speak of the whole procedure."""

from __future__ import annotations

from hyplink.idl import syntax
from hyplink.idl.findings import Place, nearest
from hyplink.idl.model import SCALARS, Procedure, Slot
from hyplink.idl.scope import Scope

__all__ = ["ClauseChecker"]

_ERROR_LOW, _ERROR_HIGH = -(1 << 15), (1 << 15) - 1
_LONGEST_WAIT = 3_600_000_000_000


class ClauseChecker:
    """Fills in the policies of one procedure that is otherwise whole."""

    def __init__(self, scope: Scope, node: syntax.Procedure, names: list[str]) -> None:
        self.scope = scope
        self.model = scope.model
        self.node = node
        self.siblings = names

    def _error(self, place: Place, code: int, message: str, hint: str = "") -> None:
        self.scope.findings.add(self.scope.file, place, code, message, hint=hint)

    def check(self, proc: Procedure, result: Slot | None) -> None:
        proc.on_lost = self.on_lost(result)
        self._throws(proc)
        self._handles(proc)
        self._waiting(proc)
        self._caching(proc)

    def on_lost(self, result: Slot | None) -> int | None:
        node = self.node
        if node.on_lost is None:
            return None
        kind = result.type if result is not None else None
        enum = self.model.enums[kind.name] if kind is not None and kind.kind == "enum" else None
        value = self.scope.exprs().constant(node.on_lost, "the value for a lost peer", enum)
        if result is None or kind is None:
            if node.result is None or node.result.text == "void":
                self._error(node.on_lost.place, 63, f"'{node.name}' has no result to replace")
            return None
        if result.form != "value" or kind.kind not in ("scalar", "enum"):
            if kind.kind != "struct":
                what = "a text" if result.form == "string" else f"a {kind.kind}"
                self._error(node.on_lost.place, 63, f"the result of '{node.name}' is {what}")
            return None
        if value is None:
            return None
        info = SCALARS[enum.base if enum else kind.name]
        members = [m.value for m in enum.members] if enum and not enum.open else None
        if (info.integer and not info.low <= value <= info.high) or (
            members is not None and value not in members
        ):
            self._error(
                node.on_lost.place, 63, f"{value} is no value of '{kind.name.rpartition('.')[2]}'"
            )
        return value

    def _throws(self, proc: Procedure) -> None:
        node = self.node.throws
        if node is None:
            return
        kind = self.scope.type_of(node)
        if kind is None:
            return
        if kind.kind != "enum":
            self._error(node.place, 86, f"'{node.text}' is no enum", "its values are the failures")
            return
        if self.node.kind == "async":
            self._error(
                node.place,
                55,
                f"async '{self.node.name}' throws",
                "nobody waits for an answer; make it sync",
            )
            return
        for member in self.model.enums[kind.name].members:
            if not _ERROR_LOW <= member.value <= _ERROR_HIGH:
                self._error(
                    node.place,
                    86,
                    f"'{member.name}' of '{node.text}' is {member.value}: no 16-bit failure",
                    f"from {_ERROR_LOW} to {_ERROR_HIGH}; 0 is success",
                )
                return
        proc.throws = kind.name

    # -- handles ---------------------------------------------------------------------------------

    def _handles(self, proc: Procedure) -> None:
        node = self.node
        if node.creates is not None:
            self._creates(proc, node.creates)
        if node.destroys is None:
            return
        name = node.destroys.parts[0]
        slot = next((s for s in proc.request.slots if s.name == name), None)
        if slot is None or slot.type.kind != "handle":
            guess = nearest(name, [s.name for s in proc.request.slots if s.type.kind == "handle"])
            self._error(
                node.destroys.place,
                87,
                f"'{name}' is no handle that goes in",
                f"did you mean '{guess}'?" if guess else "'destroys' names an input of handle type",
            )
            return
        proc.destroys = name

    def _creates(self, proc: Procedure, place: Place) -> None:
        fresh = [s for s in proc.reply.slots if s.type.kind == "handle"]
        if len(fresh) != 1 or self.node.is_callback:
            self._error(
                place,
                87,
                f"'{self.node.name}' has {len(fresh)} handles as result or output: one is created"
                if not self.node.is_callback
                else "a callback cannot create handles",
            )
            return
        parent = self.model.handles[fresh[0].type.name].parent
        if parent and not any(s.type.name == parent for s in proc.request.slots):
            self._error(
                place,
                87,
                f"a new '{fresh[0].type.name.rpartition('.')[2]}' belongs to a "
                f"'{parent.rpartition('.')[2]}', and no parameter is one",
            )
            return
        proc.creates = fresh[0].name

    # -- callbacks and answers -------------------------------------------------------------------

    def _waiting(self, proc: Procedure) -> None:
        node = self.node
        attributes = proc.attributes
        version = self.scope.model.version
        if node.since and tuple(map(int, node.since.split("."))) > version:
            self._error(
                node.since_place,
                90,
                f"'{node.name}' is there since {node.since}, but this is version "
                f"{version[0]}.{version[1]}",
                "raise the module's version",
            )
        if node.timeout is not None:
            if not node.is_callback or node.kind != "sync":
                self._error(node.timeout_place, 88, "'timeout' belongs to synchronous callbacks")
            elif not 1 <= node.timeout <= _LONGEST_WAIT:
                self._error(node.timeout_place, 88, "a timeout is 1 ns to an hour")
            else:
                proc.timeout = node.timeout
        drops = [a for a in node.attributes if a.name in ("drop_oldest", "drop_newest")]
        if drops and node.kind == "sync":
            self._error(
                drops[0].place,
                88,
                f"'@{drops[0].name}' belongs to asynchronous callbacks",
                "somebody waits for a synchronous one",
            )
            return
        if "drop_oldest" in attributes and "drop_newest" in attributes:
            self._error(drops[1].place, 61, "'@drop_oldest' and '@drop_newest' exclude each other")
        elif "drop_oldest" in attributes:
            proc.drop = "oldest"
            proc.keep = int(attributes["drop_oldest"].get("") or 0)
        elif "drop_newest" in attributes:
            proc.drop = "newest"
        given = next((p for p in node.members if p.special == "gives"), None)
        if proc.drop and given is not None:
            self._error(
                drops[0].place,
                91,
                f"'{node.name}' gives '{given.name}' away, and may be dropped",
                "without '@drop_…' the server is told that the client is slow",
            )

    def _caching(self, proc: Procedure) -> None:
        found = proc.attributes.get("cacheable")
        if found is None:
            return
        place = next(a.place for a in self.node.attributes if a.name == "cacheable")
        if proc.kind == "async" or proc.creates or proc.destroys or proc.sets:
            self._error(
                place,
                89,
                f"'{proc.name}' cannot be answered from memory",
                "only a synchronous procedure that changes nothing can",
            )
            return
        until = found.get("until", "")
        if until and until not in self.siblings:
            guess = nearest(until, self.siblings)
            self._error(
                place,
                89,
                f"'@cacheable' names no procedure '{until}'",
                f"did you mean '{guess}'?" if guess else "it is one of the same interface",
            )
            return
        proc.cacheable = until or "session"
