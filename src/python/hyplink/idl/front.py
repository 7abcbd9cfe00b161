"""Files to models: reading, imports, one set of findings."""

from __future__ import annotations

import os

from hyplink.idl.checker import check_file
from hyplink.idl.findings import Findings, Place
from hyplink.idl.model import Import, Model
from hyplink.idl.names import stem_of
from hyplink.idl.parser import parse_file
from hyplink.idl.records import dataclass, field

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hyplink.diagnostics import Diagnostic

__all__ = ["Compiled", "compile_file", "compile_text"]


@dataclass(slots=True)
class Compiled:
    """The outcome of a run. ``model`` is meant for use only when ``ok``."""

    model: Model
    findings: Findings
    #: Imported models by module stem, in the order they were needed.
    imported: dict[str, Model] = field(default_factory=dict)
    #: Every file that was read, for depfiles.
    files: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not self.findings

    @property
    def diagnostics(self) -> list[Diagnostic]:
        return self.findings.sorted()

    def require(self) -> Model:
        """The model, or every finding as one ``IdlError``."""
        if self.findings:
            from hyplink.errors import IdlError

            raise IdlError("\n" + self.findings.text(), tuple(self.diagnostics))
        # Only those who generate pay for hashing; a check does not.
        from hyplink.idl.model_json import schema_hash

        for model in [self.model, *self.imported.values()]:
            for interface in model.interfaces:
                interface.hash = schema_hash(model, interface)
        return self.model


def compile_file(path: str | os.PathLike[str]) -> Compiled:
    """Read and check a file. A file that cannot be read is a finding, not an exception."""
    name = os.fspath(path)
    run = _Run()
    text = run.read(name)
    if isinstance(text, str):
        return run.finish(run.unit(name, text))
    run.findings.add(name, (0, 0, 1), 27, f"cannot read the file: {text.strerror or text}")
    return run.finish(Model(stem_of(name), stem_of(name), (0, 0)))


def compile_text(text: str, filename: str = "<text>") -> Compiled:
    """Check a text; imports are looked for next to ``filename`` or in the working directory."""
    run = _Run()
    return run.finish(run.unit(filename, text))


class _Run:
    def __init__(self) -> None:
        self.findings = Findings()
        self.models: dict[str, Model | None] = {}
        self.imported: dict[str, Model] = {}
        self.active: list[str] = []
        self.files: list[str] = []

    def read(self, name: str) -> str | OSError:
        try:
            with open(name, encoding="utf-8", errors="replace") as stream:
                text = stream.read()
        except OSError as error:
            return error
        self.files.append(name)
        return text

    def finish(self, model: Model) -> Compiled:
        return Compiled(model, self.findings, self.imported, self.files)

    def unit(self, name: str, text: str) -> Model:
        self.active.append(os.path.realpath(name))
        tree = parse_file(name, text, self.findings)
        found: dict[str, Model | None] = {}
        entries: list[Import] = []
        for item in tree.imports:
            other = self._import(name, item.path, item.place)
            found[item.alias] = other
            if other is not None:
                entries.append(Import(item.alias, other.module, other.stem, item.path))
        model = check_file(tree, stem_of(name), found, self.findings)
        model.imports = entries
        model.modules[model.module] = model.stem
        for other in found.values():
            model.modules.update(other.modules if other is not None else {})
        self.active.pop()
        return model

    def _import(self, importer: str, path: str, place: Place) -> Model | None:
        # pathlib would be a tenth of a check.
        full = os.path.join(os.path.dirname(importer), path)  # noqa: PTH118, PTH120
        key = os.path.realpath(full)
        if key in self.active:
            self.findings.add(
                importer,
                place,
                28,
                f"'{path}' imports itself, directly or not",
                hint="move what both need into a third file",
            )
            return None
        if key in self.models:
            return self.models[key]
        text = self.read(full)
        if not isinstance(text, str):
            self.findings.add(importer, place, 27, f"cannot read '{path}': {text.strerror or text}")
            self.models[key] = None
            return None
        model = self.unit(full, text)
        self.models[key] = model
        self.imported.setdefault(model.stem, model)
        return model
