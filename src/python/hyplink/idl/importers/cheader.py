"""A C header to a draft: structs with fixed widths, enums, prototypes.

Widths never come from the compiler that happens to be there: ``OMX_U32`` is an ``unsigned long`` in
its header, so 32 or 64 bits, and 32 on the wire because its name says so. Pointers do not travel:
as struct members they become ``address``, a number that only its owner understands.
"""

from __future__ import annotations

import re

from hyplink.idl.importers.ctext import CFunction, CMember, CRecord, CType, Declarations
from hyplink.idl.importers.draft import Draft, Enum, Hook, Interface, Procedure, Struct

__all__ = ["import_header"]

_BUILTIN = {
    "char": "u8", "signed char": "i8", "unsigned char": "u8", "_Bool": "bool", "bool": "bool",
    "short": "i16", "short int": "i16", "unsigned short": "u16", "unsigned short int": "u16",
    "int": "i32", "signed": "i32", "signed int": "i32", "unsigned": "u32", "unsigned int": "u32",
    "long long": "i64", "long long int": "i64", "signed long long": "i64",
    "unsigned long long": "u64", "unsigned long long int": "u64",
    "float": "f32", "double": "f64", "size_t": "size", "ssize_t": "ssize", "intptr_t": "ssize",
    "uintptr_t": "size", "ptrdiff_t": "ssize",
    # Whatever their compiler thinks, these are numbers of up to 64 bits.
    "long": "i64", "long int": "i64", "signed long": "i64",
    "unsigned long": "u64", "unsigned long int": "u64",
}  # fmt: skip
_SIZE = {"8": 1, "16": 2, "32": 4, "64": 8}
_BY_NAME = re.compile(
    r"(?:^|_)(?:(?P<short>[US])(?P<bits>8|16|32|64)|(?P<std>u?int)(?P<n>8|16|32|64)_t)$"
)


def import_header(found: Declarations, *, module: str, header: str, group: int = 1) -> Draft:
    """Everything that was declared; what has no form in VIDL is listed in ``skipped``."""
    return _Import(found, module, header, group).draft()


def _type_name(name: str) -> str:
    """A type's name begins with a capital."""
    return name[:1].upper() + name[1:]


class _Import:
    def __init__(self, found: Declarations, module: str, header: str, group: int) -> None:
        self.found = found
        self.header = header
        self.group = group
        self.result = Draft(module, (1, 0), f"Imported from {header}.")
        self.structs: dict[str, Struct | None] = {}
        self.sizes: dict[str, tuple[int, int]] = {}
        self.enums: dict[str, str] = {}

    def draft(self) -> Draft:
        for enum in self.found.enums.values():
            self.enum(enum.name)
        for record in list(self.found.records.values()):
            if "@" not in record.name:
                self.struct(record.name)
        used = {m.split()[0] for s in self.structs.values() if s for m in s.members}
        # An unnamed struct inside a union that became a number has nobody who needs it.
        self.result.structs = [
            s for n, s in self.structs.items() if s and ("@" not in n or s.name in used)
        ]
        procedures = [p for p in map(self.function, self.found.functions.values()) if p]
        for ordinal, procedure in enumerate(procedures, start=1):
            procedure.ordinal = ordinal
        if procedures:
            name = self.result.module.rpartition(".")[2]
            attributes = [f'@c(header: "{self.header}")']
            self.result.interfaces.append(Interface(name, self.group, procedures, attributes))
        return self.result

    # --- types ---

    def enum(self, name: str) -> None:
        enum = self.found.enums[name]
        members: dict[int, str] = {}
        for member, value in enum.members:
            members.setdefault(value, member)
        signed = any(v < 0 for v in members)
        self.enums[name] = "i32" if signed else "u32"
        if "@" not in name and members:
            self.result.enums.append(
                Enum(_type_name(name), self.enums[name], [(n, v) for v, n in members.items()])
            )

    def resolve(self, ctype: CType) -> CType:
        """Through typedefs to something with a form of its own."""
        for _ in range(64):
            if (
                ctype.stars
                or ctype.function
                or self.by_name(ctype.name)
                or ctype.name in self.enums
            ):
                break
            if ctype.name in self.found.records or ctype.name not in self.found.typedefs:
                break
            under = self.found.typedefs[ctype.name]
            ctype = CType(under.name, under.stars, ctype.const or under.const,
                          [*ctype.dims, *under.dims], under.function)  # fmt: skip
        return ctype

    @staticmethod
    def by_name(name: str) -> str:
        match = _BY_NAME.search(name)
        if match is None:
            return ""
        if match["short"]:
            return ("u" if match["short"] == "U" else "i") + match["bits"]
        return ("u" if match["std"] == "uint" else "i") + match["n"]

    def value(self, ctype: CType, where: str) -> tuple[str, int, int, list[int]] | None:
        """VIDL type, size, alignment and dimensions; None when there is no such thing."""
        ctype = self.resolve(ctype)
        name, dims = ctype.name, ctype.dims
        if ctype.stars or ctype.function:
            return "address", 8, 8, dims
        scalar = self.by_name(name) or _BUILTIN.get(name, "")
        if scalar:
            digits = re.search(r"\d+", scalar)
            size = _SIZE[digits[0]] if digits else {"bool": 1, "size": 8, "ssize": 8}[scalar]
            return scalar, size, size, dims
        if name in self.enums:
            return (self.enums[name] if "@" in name else _type_name(name)), 4, 4, dims
        if name in self.found.records:
            return self.record(name, where, dims)
        return None

    def record(
        self, name: str, where: str, dims: list[int]
    ) -> tuple[str, int, int, list[int]] | None:
        record = self.found.records[name]
        if record.union:
            return self.union(record, where, dims)
        if not self.struct(name, where):
            return None
        struct = self.structs[name]
        assert struct is not None
        return struct.name, *self.sizes[name], dims

    def union(
        self, record: CRecord, where: str, dims: list[int]
    ) -> tuple[str, int, int, list[int]] | None:
        sizes = []
        for member in record.members:
            made = self.value(member.type, f"{where}_{member.name}")
            if made is None:
                return None
            vidl, size, align, inner = made
            for dim in inner:
                size *= dim
            sizes.append((size, align, vidl, bool(inner), member.type))
        size = max(s for s, *_ in sizes)
        align = max(a for _, a, *_ in sizes)
        size = -(-size // align) * align
        for whole, own, vidl, array, _ in sizes:
            if whole == size and own == align and not array and re.fullmatch(r"[uif]\d+", vidl):
                return vidl, size, align, dims  # one of its faces is a number that holds it all
        words = {1: "u8", 2: "u16", 4: "u32", 8: "u64"}[align]
        return words, align, align, [*dims, size // align]

    def struct(self, name: str, called: str = "") -> bool:
        if name in self.structs:
            return self.structs[name] is not None
        self.structs[name] = None  # a struct that holds itself has no form
        record = self.found.records[name]
        shown = _type_name(called if "@" in name else name)
        if record.union:
            return False
        members, offset, align, doc = [], 0, 1, []
        for member in record.members:
            made = self.value(member.type, f"{shown}_{member.name}")
            if made is None or not member.name:
                self.result.skipped.append(f"struct {shown}: '{member.name}' has no form in VIDL")
                return False
            vidl, size, own, dims = made
            count = 1
            for dim in dims:
                count *= dim
            if count == 0:
                self.result.skipped.append(f"struct {shown}: '{member.name}' has no length")
                return False
            if self.is_union(member.type) and dims:
                doc.append(
                    f"`{member.name}` is a union, its bytes as they lie in memory of these rules."
                )
            members.append(f"{vidl} {member.name}" + (f"[{count}]" if dims else ""))
            offset = -(-offset // own) * own + size * count
            align = max(align, own)
        if not members:
            self.result.skipped.append(f"struct {shown}: empty")
            return False
        self.sizes[name] = (-(-offset // align) * align, align)
        # Inner structs were finished on the way here: this one comes behind them.
        del self.structs[name]
        self.structs[name] = Struct(shown, members, "\n".join(doc))
        return True

    def is_union(self, ctype: CType) -> bool:
        record = self.found.records.get(self.resolve(ctype).name)
        return record is not None and record.union and not self.resolve(ctype).stars

    # --- prototypes ---

    def function(self, function: CFunction) -> Procedure | None:
        why: list[str] = []
        params = [self.param(p, why) for p in function.params]
        result = self.resolve(function.result)
        kind = "void"
        if result.stars or result.name != "void":
            made = self.value(function.result, function.name)
            kind = made[0] if made and not made[3] else "address"
            if kind == "address":
                why.append("returns a pointer")
        outputs = kind != "void" or any(p.startswith(("out ", "inout ")) for p in params)
        hook, clauses = "", []
        if why:
            hook = "custom"
            clauses.append("@custom(client)")
            self.result.hooks.append(Hook(function.name, "; ".join(why)))
        return Procedure(
            function.name, f"{'sync' if outputs else 'async'} {kind}", params, clauses, "", hook
        )

    def param(self, param: CMember, why: list[str]) -> str:
        spelled = param.type.name + " *" * bool(param.type.stars)
        ctype = self.resolve(param.type)
        if ctype.stars == 1 and not ctype.function:
            target = self.value(CType(ctype.name), param.name)
            if target and ctype.const and ctype.name == "char":
                return f"in string {param.name} max 4K"
            if target and target[0] in {s.name for s in self.structs.values() if s}:
                return f"{'in' if ctype.const else 'inout'} {target[0]} {param.name}"
            why.append(
                f"'{param.name}' is a {'const ' * ctype.const}{spelled.replace(' *', '*')} of unknown length"
            )
            return f"address {param.name}"
        made = self.value(ctype, param.name)
        if made is None or made[0] == "address":
            why.append(f"'{param.name}' is a pointer ({spelled.strip()})")
            return f"address {param.name}"
        return f"{made[0]} {param.name}"
