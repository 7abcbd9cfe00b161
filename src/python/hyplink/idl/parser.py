"""Recursive descent over one file. Always returns a tree; what is wrong goes to the findings."""

from __future__ import annotations

from collections.abc import Callable

from hyplink.idl import syntax
from hyplink.idl.cursor import Lost
from hyplink.idl.findings import Findings, nearest
from hyplink.idl.parse_members import MemberParser

__all__ = ["parse_file"]

_LATER = frozenset(["sizefn", "handle", "table", "umem", "union"])
_DECLARATIONS = ("const", "enum", "struct", "interface", "import")


def parse_file(file: str, text: str, findings: Findings) -> syntax.File:
    """Parse ``text``; ``file`` is the name used in findings."""
    findings.sources.setdefault(file, text)
    return _Parser(file, text, findings).parse()


class _Parser(MemberParser):
    """Declarations of the file level and of interfaces."""

    def parse(self) -> syntax.File:
        tree = syntax.File(self.file)
        self._header(tree)
        while not self.at("end"):
            before = self.index
            try:
                self._declaration(tree)
            except Lost:
                self.skip()
                if self.index == before:
                    self.take()
                    self.skip()
                if self.at("}"):
                    self.take()
                    self.accept(";")
        return tree

    def _header(self, tree: syntax.File) -> None:
        tree.doc = self.token.doc
        try:
            if not self.at_word("idl"):
                self.error(
                    self.token.place,
                    12,
                    "expected 'idl 1;' at the top of the file",
                    "the first statement names the version of the language",
                )
            else:
                self.take()
                version = self.expect("int", "the language version")
                if version.text != "1":
                    self.error(
                        version.place,
                        13,
                        f"language version {version.text} is not known",
                        "this compiler reads 'idl 1;'",
                    )
                self.expect_end_of("the 'idl' statement")
        except Lost:
            self.skip()
        tree.doc = tree.doc or self.token.doc
        try:
            if not self.at_word("module"):
                self.error(self.token.place, 14, "expected 'module NAME version MAJOR.MINOR;'")
                return
            self.take()
            parts = [self.expect_name("the module's name").text]
            while self.accept("."):
                parts.append(self.expect_name("a name").text)
            tree.module = ".".join(parts)
            self.expect_word("version")
            version = self.expect("float", "a version such as 1.0")
            major, minor = version.text.split(".")
            tree.version = (int(major), int(float(minor)))
            self.expect_end_of("the module statement")
        except Lost:
            self.skip()

    def _declaration(self, tree: syntax.File) -> None:
        attributes = self.attributes()
        token = self.token
        if attributes and not self.at_word("interface"):
            first = attributes[0]
            self.error(
                first.place,
                62,
                f"'@{first.name}' cannot stand here",
                "attributes belong to interfaces, procedures and parameters",
            )
        if token.kind == "name" and self.peek().kind in ("name", "text"):
            doc = token.doc
            if token.text == "const":
                tree.consts.append(self._const(doc))
                return
            if token.text == "enum":
                self._enum(tree.enums, doc)
                return
            if token.text == "struct":
                self._struct(tree.structs, doc)
                return
            if token.text == "interface":
                self._interface(tree.interfaces, attributes, doc)
                return
            if token.text == "import":
                tree.imports.append(self._import())
                return
            if token.text in _LATER:
                self.error(token.place, 17, f"'{token.text}' is not in version 1 of the language")
                raise Lost
            if token.text in ("async", "sync", "callback"):
                self.error(
                    token.place,
                    16,
                    f"expected '{token.text}' inside an interface",
                    "write 'interface Name group N { … }' around the procedures",
                )
                raise Lost
        guess = nearest(token.text, _DECLARATIONS) if token.kind == "name" else ""
        found = f"'{token.text}'" if token.text else "the end of the file"
        self.error(
            token.place,
            15,
            f"expected a declaration (const, enum, struct or interface), found {found}",
            f"did you mean '{guess}'?" if guess else "",
        )
        if token.kind == "}":
            self.take()
            return
        raise Lost

    def _import(self) -> syntax.Import:
        self.take()
        path = self.expect("text", "the file's name in quotes")
        self.expect_word("as")
        alias = self.expect_name("a short name for the import")
        self.expect_end_of("the import")
        return syntax.Import(path.text[1:-1], alias.text, path.place)

    def _const(self, doc: str) -> syntax.Const:
        self.take()
        kind = self.type_name("the constant's type")
        name = self.expect_name("the constant's name")
        self.expect("=")
        value = self.expression()
        self.expect_end_of("the constant")
        return syntax.Const(kind, name.text, value, name.place, doc)

    def _body(self, what: str, one: Callable[[], None]) -> bool:
        """``{ … }`` with recovery inside; True when something in it was wrong."""
        opened = self.expect("{")
        broken = False
        while not self.at("}"):
            if self.at("end"):
                self.missing(f"'}}' at the end of the {what}", 11, opened=opened)
                return True
            before = self.index
            try:
                one()
            except Lost:
                broken = True
                self.skip()
                if self.index == before and not self.at("}"):
                    self.take()
        self.take()
        self.accept(";")
        return broken

    def _enum(self, out: list[syntax.Enum], doc: str) -> None:
        self.take()
        name = self.expect_name("the enum's name")
        enum = syntax.Enum(name.text, name.place, doc=doc, broken=True)
        out.append(enum)
        if not self.accept(":"):
            self.missing("':' and a base type", hint="for example ': u32'")
            raise Lost
        enum.base = self.type_name("a base type")
        enum.open = self.accept_word("open")

        def one() -> None:
            item = self.expect_name("an enumerator")
            self.expect("=")
            value = self.expression()
            enum.members.append(syntax.Enumerator(item.text, value, item.place, item.doc))
            self.expect_end_of("the enumerator")

        enum.broken = self._body("enum", one)

    def _struct(self, out: list[syntax.Struct], doc: str) -> None:
        self.take()
        name = self.expect_name("the struct's name")
        struct = syntax.Struct(name.text, name.place, doc=doc, broken=True)
        out.append(struct)

        def one() -> None:
            struct.members.append(self.member(is_parameter=False))
            self.expect_end_of("the member")

        struct.broken = self._body("struct", one)

    def _interface(
        self, out: list[syntax.Interface], attributes: list[syntax.Attribute], doc: str
    ) -> None:
        self.take()
        name = self.expect_name("the interface's name")
        interface = syntax.Interface(name.text, name.place, attributes=attributes, doc=doc)
        out.append(interface)
        self.expect_word("group")
        group = self.expect("int", "a group number")
        interface.group = self.int_of(group)
        interface.group_place = group.place
        self._body("interface", lambda: self._interface_member(interface))

    def _interface_member(self, interface: syntax.Interface) -> None:
        if self.at_word("reserved") and self.peek().kind == "int":
            self._reserved(interface)
            return
        self.procedure(interface.procedures)

    def _reserved(self, interface: syntax.Interface) -> None:
        self.take()
        while True:
            low = self.expect("int", "an ordinal")
            high = self.expect("int", "the last ordinal") if self.accept("..") else low
            item = syntax.Reserved(self.int_of(low), self.int_of(high), low.place)
            interface.reserved.append(item)
            if not self.accept(","):
                break
        self.expect_end_of("the reserved ordinals")
