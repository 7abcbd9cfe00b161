"""The syntax tree: what was written, with places, before anything is looked up."""

from __future__ import annotations

from hyplink.idl.findings import Place
from hyplink.idl.records import dataclass, field

__all__ = [
    "Arm",
    "Attribute",
    "Binary",
    "Call",
    "Conditional",
    "Const",
    "Enum",
    "Enumerator",
    "Expr",
    "File",
    "Handle",
    "Import",
    "Index",
    "Interface",
    "Literal",
    "Match",
    "Member",
    "Procedure",
    "Ref",
    "Reserved",
    "Sets",
    "Sizefn",
    "StateVar",
    "Struct",
    "TypeName",
    "Umem",
    "Unary",
]


@dataclass(slots=True, eq=False, repr=False)
class Literal:
    value: int | float
    place: Place


@dataclass(slots=True, eq=False, repr=False)
class Ref:
    """A dotted name in an expression."""

    parts: list[str]
    place: Place


@dataclass(slots=True, eq=False, repr=False)
class Unary:
    op: str
    arg: Expr
    place: Place


@dataclass(slots=True, eq=False, repr=False)
class Binary:
    op: str
    left: Expr
    right: Expr
    place: Place


@dataclass(slots=True, eq=False, repr=False)
class Conditional:
    test: Expr
    then: Expr
    other: Expr
    place: Place


@dataclass(slots=True, eq=False, repr=False)
class Call:
    name: str
    args: list[Expr]
    place: Place


@dataclass(slots=True, eq=False, repr=False)
class Index:
    """``name[i]``: one element of an array, at the running index of a nested one."""

    name: str
    index: Ref
    place: Place


@dataclass(slots=True, eq=False, repr=False)
class Arm:
    """``(patterns) => value``; an empty list of alternatives is ``_``."""

    patterns: list[list[Expr]]
    value: Expr
    place: Place


@dataclass(slots=True, eq=False, repr=False)
class Match:
    values: list[Expr]
    arms: list[Arm]
    place: Place


Expr = Literal | Ref | Unary | Binary | Conditional | Call | Index | Match


@dataclass(slots=True, eq=False, repr=False)
class TypeName:
    parts: list[str]
    place: Place

    @property
    def text(self) -> str:
        return ".".join(self.parts)


@dataclass(slots=True, eq=False, repr=False)
class Attribute:
    """``@name(argument, key: argument)``; arguments stay text."""

    name: str
    args: list[tuple[str, str]]
    place: Place


@dataclass(slots=True, eq=False, repr=False)
class Member:
    """A struct member, a field of a table or a parameter.

    ``dim_kind`` is ``expr``, ``nested`` (``[index < dim][inner]``), ``reply``, ``cap`` (``[cap dim,
    len used]``) or ``until`` (``[until dim step step]``); ``special`` is ``callback``, ``cookie``,
    ``gives`` or ``lends``.
    """

    type: TypeName
    name: str
    place: Place
    direction: str = "in"
    dim: Expr | None = None
    has_dim: bool = False
    low: Expr | None = None
    high: Expr | None = None
    choices: list[Expr] = field(default_factory=list)
    range_place: Place | None = None
    max: Expr | None = None
    max_place: Place | None = None
    attributes: list[Attribute] = field(default_factory=list)
    doc: str = ""
    dim_kind: str = "expr"
    inner: Expr | None = None
    index: str = ""
    used: str = ""
    used_place: Place = (0, 0, 1)
    step: Expr | None = None
    nullable: Place | None = None
    implied: Place | None = None
    special: str = ""
    number: int = 0
    number_place: Place = (0, 0, 1)
    default: Expr | None = None


@dataclass(slots=True, eq=False, repr=False)
class Sets:
    """``sets state.name = value when test``."""

    name: str
    value: Expr
    test: Expr | None
    place: Place


@dataclass(slots=True, eq=False, repr=False)
class StateVar:
    type: TypeName
    name: str
    initial: Expr
    place: Place
    low: Expr | None = None
    high: Expr | None = None
    doc: str = ""


@dataclass(slots=True, eq=False, repr=False)
class Procedure:
    kind: str
    result: TypeName | None
    name: str
    place: Place
    members: list[Member] = field(default_factory=list)
    ordinal: int | None = None
    ordinal_place: Place = (0, 0, 1)
    on_lost: Expr | None = None
    since: str = ""
    since_place: Place = (0, 0, 1)
    attributes: list[Attribute] = field(default_factory=list)
    doc: str = ""
    broken: bool = False
    is_callback: bool = False
    result_nullable: bool = False
    sets: list[Sets] = field(default_factory=list)
    throws: TypeName | None = None
    creates: Place | None = None
    destroys: Ref | None = None
    timeout: int | None = None
    timeout_place: Place = (0, 0, 1)
    max: Expr | None = None
    max_place: Place = (0, 0, 1)


@dataclass(slots=True, eq=False, repr=False)
class Reserved:
    low: int
    high: int
    place: Place


@dataclass(slots=True, eq=False, repr=False)
class Interface:
    name: str
    place: Place
    group: int = 0
    group_place: Place = (0, 0, 1)
    procedures: list[Procedure] = field(default_factory=list)
    reserved: list[Reserved] = field(default_factory=list)
    reserved_callbacks: list[Reserved] = field(default_factory=list)
    callbacks: list[Procedure] = field(default_factory=list)
    state: list[StateVar] = field(default_factory=list)
    attributes: list[Attribute] = field(default_factory=list)
    doc: str = ""


@dataclass(slots=True, eq=False, repr=False)
class Enumerator:
    name: str
    value: Expr
    place: Place
    doc: str = ""


@dataclass(slots=True, eq=False, repr=False)
class Enum:
    name: str
    place: Place
    base: TypeName | None = None
    open: bool = False
    members: list[Enumerator] = field(default_factory=list)
    doc: str = ""
    broken: bool = False


@dataclass(slots=True, eq=False, repr=False)
class Struct:
    """Also a table: its members have numbers."""

    name: str
    place: Place
    members: list[Member] = field(default_factory=list)
    doc: str = ""
    broken: bool = False


@dataclass(slots=True, eq=False, repr=False)
class Handle:
    name: str
    place: Place
    base: TypeName
    parent: TypeName | None = None
    doc: str = ""


@dataclass(slots=True, eq=False, repr=False)
class Umem:
    name: str
    place: Place
    client: str = ""
    server: str = ""
    max: Expr | None = None
    doc: str = ""


@dataclass(slots=True, eq=False, repr=False)
class Sizefn:
    result: TypeName
    name: str
    place: Place
    params: list[tuple[TypeName, str, Place]]
    body: Expr | None = None
    doc: str = ""


@dataclass(slots=True, eq=False, repr=False)
class Const:
    type: TypeName
    name: str
    value: Expr | None
    place: Place
    doc: str = ""


@dataclass(slots=True, eq=False, repr=False)
class Import:
    path: str
    alias: str
    place: Place


@dataclass(slots=True, eq=False, repr=False)
class File:
    """One source file as written."""

    file: str
    module: str = ""
    version: tuple[int, int] = (0, 0)
    imports: list[Import] = field(default_factory=list)
    consts: list[Const] = field(default_factory=list)
    enums: list[Enum] = field(default_factory=list)
    structs: list[Struct] = field(default_factory=list)
    tables: list[Struct] = field(default_factory=list)
    handles: list[Handle] = field(default_factory=list)
    umems: list[Umem] = field(default_factory=list)
    sizefns: list[Sizefn] = field(default_factory=list)
    interfaces: list[Interface] = field(default_factory=list)
    doc: str = ""
