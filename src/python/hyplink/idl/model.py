"""The checked interface: what the front end hands to every generator.

Plain data, resolved and laid out; no places, no syntax. ``model_json`` turns it into JSON and back
without loss, so a generator may live in another process or language.
"""

from __future__ import annotations

from hyplink.idl.records import dataclass, field

__all__ = [
    "MODEL_VERSION",
    "SCALARS",
    "Block",
    "Constant",
    "Enum",
    "Enumerator",
    "Expr",
    "Function",
    "Handle",
    "Import",
    "Interface",
    "Model",
    "Procedure",
    "Scalar",
    "Sets",
    "Slot",
    "StateVar",
    "Struct",
    "Table",
    "Type",
    "Umem",
]

MODEL_VERSION = 2


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
    # A pointer-sized number of the client, opaque to the server (``const void *`` in C).
    "address": _int(64, "Q", False),
}


@dataclass(slots=True, eq=False)
class Type:
    """What a slot holds.

    ``kind`` is scalar, enum, struct, handle, umem, table, callback or cookie; ``name`` is the
    scalar, ``module.Name``, for a callback ``module.interface.Name``, for a cookie ``cookie``.

    On the wire: handle u32 {slot 20 bits, generation 12 bits}, 0 is null; umem {u32 slot, u32
    generation, u64 offset, u64 length}; callback and cookie u32, the number of the client's
    registration (0: none); a table is always a part.
    """

    kind: str
    name: str
    size: int
    align: int


@dataclass(slots=True, eq=False)
class Expr:
    """A total integer expression; every node carries the interval of its values.

    ``op`` is ``int`` (``value``), ``arg`` (``name``, a parameter, dotted into structs), ``state``
    (``name``, a state variable), ``call`` (``name``, a function ``module.Name``, on ``args``),
    ``match`` or one of ``+ - * / % == != < <= > >= && || ! neg ?: min max roundup``.

    A ``match`` (only as a function's body, or inside one) has ``value`` scrutinees first in
    ``args``, then its arms: ``arm`` nodes with ``patterns`` (one list of values for each scrutinee,
    empty matches anything) and the result as ``args[0]``. No arm matches: the request is refused.

    Only the client can evaluate three more: ``nul`` (elements in front of the first zero),
    ``isnull`` (``name``, a nullable parameter) and ``index`` (``name``, an array parameter: its
    element at the running index of a nested array).
    """

    op: str
    low: int
    high: int
    value: int = 0
    name: str = ""
    args: list[Expr] = field(default_factory=list)
    patterns: list[list[int]] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Slot:
    """A parameter, a result or a struct member, with its place in the fixed part.

    ``form`` is ``value``, ``fixed`` (``count`` elements in the fixed part), ``array`` (a part of
    elements), ``bytes`` or ``string`` (parts), ``nested`` (a part of ``length`` places, each of an
    inner part that follows in order), ``optional`` (a part of exactly one element, or absent) or
    ``table`` (a part of 0 to ``max`` bytes). A part's place holds ``{u32 off, u32 len}``; with
    ``large`` a umem reference follows at once (32 bytes in all), all zero when it is not used.
    An absent part is {0, 0}.

    Where the size comes from (``dim``):

    ``expr``   ``length``, on both sides (D5).
    ``carried`` ``length`` on the client only (it has ``nul`` or an implied name); the carried
               length is the length, at most ``max``.
    ``reply``  (outputs) the server decides, at most ``max``.
    ``cap``    (outputs) the server decides, at most ``length``; ``used`` names the output that says
               how much. For a string ``length`` counts the NUL, ``used`` does not.
    ``until``  (inputs) up to and with the first element equal to ``until``, looked for every
               ``step`` elements; the server checks that the last one is it and no earlier one is.

    A ``bytes`` or ``fixed`` slot with ``text`` is ``char`` in C; nothing else differs, no NUL is
    added. ``char a[nul]`` and ``char a[cap c, len n]`` are ``string``.

    A ``nested`` slot has the inner ``text`` (the inner elements are characters that end with a NUL
    on the wire, behind the carried length, and hold none), ``inner`` (length of an inner part; its
    running index is ``index``), ``inner_dim`` (``expr`` or ``carried``) and ``max`` for all inner
    elements together, ``count`` for the most places.
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
    nullable: bool = False
    dim: str = "expr"
    used: str = ""
    until: int = 0
    step: int = 1
    inner: Expr | None = None
    inner_dim: str = "expr"
    index: str = ""
    text: bool = False
    #: Bytes from which on the part travels as a vUmem buffer; 0 never.
    large: int = 0
    #: umem: ``gives`` or ``lends``.
    transfer: str = ""
    #: The slot is not on the wire: the server rebuilds it from the part of this name.
    implied: str = ""
    #: Callback parameter: the cookie that travels with it, or "".
    cookie: str = ""
    default: int | float | None = None
    #: The C face spells the whole type like this (`@c(type: "GLenum")`), "" as it likes. A procedure's
    #: `@c(type: …)` is its result's.
    c_type: str = ""

    @property
    def is_part(self) -> bool:
        return self.form in ("array", "bytes", "string", "nested", "optional", "table")


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
class Sets:
    """A state variable changes with a procedure: ``when`` (None: always) it becomes ``value``."""

    var: str
    value: Expr
    when: Expr | None = None


@dataclass(slots=True, eq=False)
class Procedure:
    """``kind`` is async or sync; callbacks are in a list of their own with the same kinds.

    ``params`` is the order of the C prototype; a name in it is a slot of ``request``, ``reply`` (or
    both: inout), or ``implied``.
    """

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
    implied: list[Slot] = field(default_factory=list)
    sets: list[Sets] = field(default_factory=list)
    #: ``module.Name`` of the enum whose members other than 0 are this call's failures, or "".
    throws: str = ""
    #: The result (or reply slot) is a new handle; the stub makes it.
    creates: str = ""
    #: The parameter whose handle is gone afterwards.
    destroys: str = ""
    #: Callbacks: what happens when the client is slow: "" (the server is told), "newest", "oldest".
    drop: str = ""
    #: Callbacks: how many may wait beyond the ring with drop "oldest".
    keep: int = 0
    #: Synchronous callbacks: nanoseconds the server waits, 0 the channel's own.
    timeout: int = 0
    #: The client answers from what it knows: "", "session", or the procedure that ends it.
    cacheable: str = ""
    attributes: dict[str, dict[str, str]] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class StateVar:
    """Shadowed for each channel on both sides; ``low`` and ``high`` bound every value it takes."""

    name: str
    type: Type
    initial: int
    low: int
    high: int
    doc: str = ""


@dataclass(slots=True, eq=False)
class Interface:
    """Procedures and callbacks number their ordinals separately."""

    name: str
    group: int
    procedures: list[Procedure]
    reserved: list[tuple[int, int]] = field(default_factory=list)
    reserved_callbacks: list[tuple[int, int]] = field(default_factory=list)
    attributes: dict[str, dict[str, str]] = field(default_factory=dict)
    hash: str = ""
    doc: str = ""
    callbacks: list[Procedure] = field(default_factory=list)
    state: list[StateVar] = field(default_factory=list)


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
class Table:
    """Fields by number, laid out like a struct, but ``size`` ends with the last field.

    So a field that a later version adds never lies in what an earlier one sent. A reader
    ignores a longer tail and takes the ``default`` of fields beyond a shorter one; one that ends in
    front of a field without a default is refused.
    """

    name: str
    module: str
    slots: list[Slot]
    numbers: list[int]
    pads: list[tuple[int, int]]
    size: int
    align: int
    doc: str = ""


@dataclass(slots=True, eq=False)
class Handle:
    """A name the server gives out; ``parent`` is ``module.Name`` or ""."""

    name: str
    module: str
    parent: str = ""
    doc: str = ""


@dataclass(slots=True, eq=False)
class Umem:
    """A kind of vUmem buffer and who may do what with it ("", "read", "write", "read write")."""

    name: str
    module: str
    client: str
    server: str
    max: int
    doc: str = ""


@dataclass(slots=True, eq=False)
class Function:
    """A total function for lengths, computed in signed 64 bits on both sides."""

    name: str
    module: str
    result: Type
    params: list[str]
    types: list[Type]
    body: Expr
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
    """One checked file. Dictionaries go by ``module.Name`` and also hold imported ones in use."""

    module: str
    stem: str
    version: tuple[int, int]
    imports: list[Import] = field(default_factory=list)
    constants: list[Constant] = field(default_factory=list)
    enums: dict[str, Enum] = field(default_factory=dict)
    structs: dict[str, Struct] = field(default_factory=dict)
    interfaces: list[Interface] = field(default_factory=list)
    tables: dict[str, Table] = field(default_factory=dict)
    handles: dict[str, Handle] = field(default_factory=dict)
    umems: dict[str, Umem] = field(default_factory=dict)
    functions: dict[str, Function] = field(default_factory=dict)
    #: Stems of the generated files by module, for every module that a type here may come from.
    modules: dict[str, str] = field(default_factory=dict)
    doc: str = ""

    def own_enums(self) -> list[Enum]:
        return [e for e in self.enums.values() if e.module == self.module]

    def own_structs(self) -> list[Struct]:
        return [s for s in self.structs.values() if s.module == self.module]
