"""Recursive descent over one file. Always returns a tree; what is wrong goes to the findings."""

from __future__ import annotations

from collections.abc import Callable

from hyplink.idl import syntax
from hyplink.idl.cursor import Lost
from hyplink.idl.findings import Findings, nearest
from hyplink.idl.lexer import Token
from hyplink.idl.parse_members import MemberParser

__all__ = ["parse_file"]

_LATER = frozenset(["union"])
_DECLARATIONS = (
    "const",
    "enum",
    "struct",
    "table",
    "handle",
    "umem",
    "sizefn",
    "interface",
    "import",
)
_RIGHTS = ("read", "write")


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
        lead = self.token.doc  # a comment may stand in front of the attributes
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
            doc = lead or token.doc
            if token.text == "const":
                tree.consts.append(self._const(doc))
                return
            if token.text == "enum":
                self._enum(tree.enums, doc)
                return
            if token.text == "struct":
                self._struct(tree.structs, doc)
                return
            if token.text == "table":
                self._struct(tree.tables, doc, is_table=True)
                return
            if token.text == "handle":
                tree.handles.append(self._handle(doc))
                return
            if token.text == "umem":
                tree.umems.append(self._umem(doc))
                return
            if token.text == "sizefn":
                self._sizefn(tree.sizefns, doc)
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
            f"expected a declaration (const, enum, struct, interface, …), found {found}",
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

    def _struct(self, out: list[syntax.Struct], doc: str, *, is_table: bool = False) -> None:
        word = self.take().text
        name = self.expect_name(f"the {word}'s name")
        struct = syntax.Struct(name.text, name.place, doc=doc, broken=True)
        out.append(struct)

        def one() -> None:
            number = self._field_number() if is_table else None
            member = self.member(is_parameter=False)
            struct.members.append(member)
            if number is not None:
                member.number, member.number_place = self.int_of(number), number.place
                member.doc = member.doc or number.doc
                if self.accept("="):
                    member.default = self.expression()
                    self._constraints(member)
            self.expect_end_of("the field" if is_table else "the member")

        struct.broken = self._body(word, one)

    def _field_number(self) -> Token:
        if not self.at("int"):
            self.missing("the field's number", hint="for example '1: u32 width;'")
            raise Lost
        number = self.take()
        self.expect(":")
        return number

    def _handle(self, doc: str) -> syntax.Handle:
        self.take()
        name = self.expect_name("the handle's name")
        if not self.accept(":"):
            self.missing("':' and the type that travels", hint="write ': u32'")
            raise Lost
        base = self.type_name("'u32'")
        handle = syntax.Handle(name.text, name.place, base, doc=doc)
        if self.accept_word("parent"):
            handle.parent = self.type_name("the handle it belongs to")
        self.expect_end_of("the handle")
        return handle

    def _umem(self, doc: str) -> syntax.Umem:
        self.take()
        name = self.expect_name("the buffer's name")
        umem = syntax.Umem(name.text, name.place, doc=doc)
        while not self.accept(";"):
            if self.at_word("client") or self.at_word("server"):
                side = self.take().text
                setattr(umem, side, self._rights())
            elif self.accept_word("max"):
                umem.max = self.expression()
            else:
                self.missing("'client(…)', 'server(…)', 'max' or ';'")
                raise Lost
        return umem

    def _rights(self) -> str:
        opened = self.expect("(")
        found: set[str] = set()
        while not self.at(")"):
            token = self.token
            if token.text not in _RIGHTS:
                self.missing("'read' or 'write'")
                raise Lost
            found.add(self.take().text)
            self.accept(",")
        self.expect_close(")", opened)
        return " ".join(sorted(found))

    def _sizefn(self, out: list[syntax.Sizefn], doc: str) -> None:
        self.take()
        kind = self.type_name("the result type")
        name = self.expect_name("the function's name")
        function = syntax.Sizefn(kind, name.text, name.place, [], doc=doc)
        out.append(function)
        opened = self.expect("(")
        while not self.at(")"):
            of = self.type_name("a parameter's type")
            item = self.expect_name("a parameter's name")
            function.params.append((of, item.text, item.place))
            if not self.accept(","):
                break
        self.expect_close(")", opened)
        if not self.accept("="):
            self.missing("'=' and the function's value")
            raise Lost
        body = self.expression()
        self.expect_end_of("the function")
        function.body = body

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
        if self.at_word("reserved") and self.peek().kind in ("int", "name"):
            self._reserved(interface)
            return
        if self.at_word("state") and self.peek().kind == "{":
            self.take()
            self._body("state", lambda: self.state(interface))
            return
        self.procedure(interface)

    def _reserved(self, interface: syntax.Interface) -> None:
        self.take()
        into = interface.reserved
        if not self.at("int"):
            self.expect_word("callback")
            into = interface.reserved_callbacks
        while True:
            low = self.expect("int", "an ordinal")
            high = self.expect("int", "the last ordinal") if self.accept("..") else low
            into.append(syntax.Reserved(self.int_of(low), self.int_of(high), low.place))
            if not self.accept(","):
                break
        self.expect_end_of("the reserved ordinals")
