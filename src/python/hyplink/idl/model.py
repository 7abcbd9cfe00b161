"""The checked interface: what the front end hands to every generator.

Plain data, resolved and laid out; no places, no syntax. ``model_json`` turns it into JSON and back
without loss, so a generator may live in another process or language.
"""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = [
    "MODEL_VERSION",
    "SCALARS",
    "Block",
    "Constant",
    "Enum",
    "Enumerator",
    "Expr",
    "Import",
    "Interface",
    "Model",
    "Procedure",
    "Scalar",
    "Slot",
    "Struct",
    "Type",
]

MODEL_VERSION = 1


@dataclass(slots=True, eq=False)
class Scalar:
    """A built-in type: bytes on the wire, ``struct`` letter, C++ spelling, value interval."""

    size: int
    letter: str
    cpp: str
    low: int
    high: int
    integer: bool = True


def _int(bits: int, letter: str, signed: bool) -> Scalar:
    low = -(1 << (bits - 1)) if signed else 0
    high = (1 << (bits - 1)) - 1 if signed else (1 << bits) - 1
    prefix = "" if signed else "u"
    return Scalar(bits // 8, letter, f"std::{prefix}int{bits}_t", low, high)


SCALARS: dict[str, Scalar] = {
    "u8": _int(8, "B", False),
    "u16": _int(16, "H", False),
    "u32": _int(32, "I", False),
    "u64": _int(64, "Q", False),
    "i8": _int(8, "b", True),
    "i16": _int(16, "h", True),
    "i32": _int(32, "i", True),
    "i64": _int(64, "q", True),
    "size": _int(64, "Q", False),
    "ssize": _int(64, "q", True),
    "bool": Scalar(1, "B", "bool", 0, 1),
    "f32": Scalar(4, "f", "float", 0, 0, False),
    "f64": Scalar(8, "d", "double", 0, 0, False),
}


@dataclass(slots=True, eq=False)
class Type:
    """``kind`` is scalar, enum or struct; ``name`` is the scalar or ``module.Name``."""

    kind: str
    name: str
    size: int
    align: int


@dataclass(slots=True, eq=False)
class Expr:
    """A total integer expression; every node carries the interval of its values.

    ``op`` is ``int`` (``value``), ``arg`` (``name``, a parameter, dotted into structs) or one of
    ``+ - * / % == != < <= > >= && || ! neg ?: min max roundup``.
    """

    op: str
    low: int
    high: int
    value: int = 0
    name: str = ""
    args: list[Expr] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Slot:
    """A parameter, a result or a struct member, with its place in the fixed part.

    ``form`` is ``value``, ``fixed`` (``count`` elements in the fixed part), ``array`` (a part of
    elements), ``bytes`` or ``string`` (parts). A part's place holds ``{u32 off, u32 len}``.
    """

    name: str
    form: str
    type: Type
    direction: str = "in"
    offset: int = 0
    count: int = 0
    max: int = 0
    length: Expr | None = None
    low: int | None = None
    high: int | None = None
    choices: list[int] = field(default_factory=list)
    copy: bool = True
    doc: str = ""

    @property
    def is_part(self) -> bool:
        return self.form in ("array", "bytes", "string")


@dataclass(slots=True, eq=False)
class Block:
    """One parameter block: ``fixed`` bytes, then the parts; never more than ``max`` bytes."""

    slots: list[Slot]
    pads: list[tuple[int, int]]
    fixed: int
    max: int

    @property
    def parts(self) -> list[Slot]:
        return [s for s in self.slots if s.is_part]


@dataclass(slots=True, eq=False)
class Procedure:
    name: str
    ordinal: int
    kind: str
    params: list[str]
    request: Block
    reply: Block
    has_result: bool = False
    on_lost: int | None = None
    notify: bool = False
    since: str = ""
    doc: str = ""
    line: int = 0


@dataclass(slots=True, eq=False)
class Interface:
    name: str
    group: int
    procedures: list[Procedure]
    reserved: list[tuple[int, int]] = field(default_factory=list)
    attributes: dict[str, dict[str, str]] = field(default_factory=dict)
    hash: str = ""
    doc: str = ""


@dataclass(slots=True, eq=False)
class Enumerator:
    name: str
    value: int
    doc: str = ""


@dataclass(slots=True, eq=False)
class Enum:
    name: str
    module: str
    base: str
    open: bool
    members: list[Enumerator]
    doc: str = ""


@dataclass(slots=True, eq=False)
class Struct:
    name: str
    module: str
    slots: list[Slot]
    pads: list[tuple[int, int]]
    size: int
    align: int
    doc: str = ""


@dataclass(slots=True, eq=False)
class Constant:
    name: str
    type: str
    value: int | float
    doc: str = ""


@dataclass(slots=True, eq=False)
class Import:
    alias: str
    module: str
    stem: str
    path: str


@dataclass(slots=True, eq=False)
class Model:
    """One checked file. ``enums`` and ``structs`` also hold the imported ones that are used."""

    module: str
    stem: str
    version: tuple[int, int]
    imports: list[Import] = field(default_factory=list)
    constants: list[Constant] = field(default_factory=list)
    enums: dict[str, Enum] = field(default_factory=dict)
    structs: dict[str, Struct] = field(default_factory=dict)
    interfaces: list[Interface] = field(default_factory=list)
    #: Stems of the generated files by module, for every module that a type here may come from.
    modules: dict[str, str] = field(default_factory=dict)
    doc: str = ""

    def own_enums(self) -> list[Enum]:
        return [e for e in self.enums.values() if e.module == self.module]

    def own_structs(self) -> list[Struct]:
        return [s for s in self.structs.values() if s.module == self.module]
