"""What there is to say about one text; lines and columns count from 1, as in findings."""

from __future__ import annotations

import re
from pathlib import Path

from hyplink.diagnostics import Diagnostic
from hyplink.idl.compat.places import Spot, spots_of
from hyplink.idl.expr_text import body_text, function_text
from hyplink.idl.front import Compiled, compile_text
from hyplink.idl.lint import lint_compiled
from hyplink.idl.markdown.signature import signature, slot_text
from hyplink.idl.model import Model

__all__ = ["Document"]

_NAME = re.compile(r"[A-Za-z_][A-Za-z_0-9]*(?:\.[A-Za-z_][A-Za-z_0-9]*)*")


class Document:
    """A text as an editor has it; files that it imports are read from disk."""

    def __init__(self, path: str, text: str) -> None:
        self.path = path
        self.text = text
        self.lines = text.splitlines()
        self.compiled: Compiled = compile_text(text, path)
        self.spots = spots_of(path, text)[1]

    def findings(self) -> list[Diagnostic]:
        """Mistakes of this file; when there are none, advice."""
        if not self.compiled.ok:
            return [d for d in self.compiled.diagnostics if d.file == self.path]
        return lint_compiled(self.compiled, self.path, self.text)

    def word_at(self, line: int, column: int) -> str:
        """The name at a place, up to and with the part the place is in."""
        if not 1 <= line <= len(self.lines):
            return ""
        for match in _NAME.finditer(self.lines[line - 1]):
            if match.start() < column <= match.end() + 1:
                end = self.lines[line - 1].find(".", column - 1)
                stop = end if match.start() <= end < match.end() else match.end()
                return self.lines[line - 1][match.start() : stop]
        return ""

    def definition(self, line: int, column: int) -> Spot | None:
        """Where the name at a place is declared."""
        word = self.word_at(line, column)
        if not word:
            return None
        for path in self._candidates(word, line):
            if path in self.spots:
                return self.spots[path]
        alias, _, rest = word.partition(".")
        for item in self.compiled.model.imports:
            if item.alias == alias:
                file = str(Path(self.path).parent / item.path)
                try:
                    text = Path(file).read_text(encoding="utf-8", errors="replace")
                except OSError:
                    return None
                return spots_of(file, text)[1].get(rest, Spot(file, 1, 1))
        return None

    def _candidates(self, word: str, line: int) -> list[str]:
        """Names it may mean, the innermost first: a parameter, a thing of the interface, a type."""
        inside = [
            path for path, spot in self.spots.items() if path.count(".") < 2 and spot.line <= line
        ]
        inside.sort(key=lambda path: -self.spots[path].line)
        last = word.removeprefix("state.")
        found = [f"{path}.{last}" for path in inside[:2]]
        if inside:
            found.append(f"{inside[0].partition('.')[0]}.{last}")
        return [*found, word]

    def hover(self, line: int, column: int) -> str:
        """Markdown about the name at a place, or ""."""
        word = self.word_at(line, column)
        if not word:
            return ""
        spot = self.definition(line, column)
        for model, name in self._models(word):
            text = _about(model, name)
            if text:
                return text
        if spot is not None:
            for path, at in self.spots.items():
                if at == spot:
                    return _about(self.compiled.model, path)
        return ""

    def _models(self, word: str) -> list[tuple[Model, str]]:
        model = self.compiled.model
        alias, _, rest = word.partition(".")
        stems = {item.alias: item.stem for item in model.imports}
        other = self.compiled.imported.get(stems.get(alias, ""))
        return [(other, rest)] if other is not None else [(model, word)]


def _about(model: Model, name: str) -> str:
    full = f"{model.module}.{name}"
    if function := model.functions.get(full):
        return _text(f"{function_text(function)} = {body_text(function.body)}", function.doc)
    if enum := model.enums.get(full):
        members = " ".join(f"{m.name} = {m.value};" for m in enum.members)
        head = f"enum {name} : {enum.base}{' open' if enum.open else ''}"
        return _text(f"{head} {{ {members} }}", enum.doc)
    for kind, items in (("struct", model.structs), ("table", model.tables)):
        if (item := items.get(full)) is not None:
            members = " ".join(f"{slot_text(model, slot)};" for slot in item.slots)
            more = f"{item.size} bytes, aligned to {item.align}"
            return _text(f"{kind} {name} {{ {members} }}", item.doc, more)
    for kind, others in (("handle", model.handles), ("umem", model.umems)):
        if (thing := others.get(full)) is not None:
            return _text(f"{kind} {name}", thing.doc)
    for constant in model.constants:
        if constant.name == name:
            return _text(f"const {constant.type} {name} = {constant.value}", constant.doc)
    return _about_member(model, name)


def _about_member(model: Model, name: str) -> str:
    parts = name.split(".")
    for interface in model.interfaces:
        if parts[0] != interface.name:
            continue
        if len(parts) == 1:
            return _text(f"interface {name} group {interface.group}", interface.doc)
        for var in interface.state:
            if var.name == parts[1]:
                return _text(f"state {var.type.name} {var.name} = {var.initial}", var.doc)
        for procs in (interface.procedures, interface.callbacks):
            for proc in procs:
                if proc.name != parts[1]:
                    continue
                if len(parts) == 2:
                    more = f"request at most {proc.request.max:,} bytes"
                    if proc.kind == "sync":
                        more += f", answer {proc.reply.max:,}"
                    text = signature(model, proc, callback=procs is interface.callbacks)
                    return _text(text, proc.doc, more)
                for slot in (*proc.request.slots, *proc.reply.slots, *proc.implied):
                    if slot.name == parts[2]:
                        return _text(slot_text(model, slot), slot.doc)
    return ""


def _text(code: str, doc: str, more: str = "") -> str:
    parts = [f"```vidl\n{code}\n```", doc, more]
    return "\n\n".join(part for part in parts if part)
