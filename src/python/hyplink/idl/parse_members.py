"""Procedures, parameters, struct members and attributes."""

from __future__ import annotations

from hyplink.idl import syntax
from hyplink.idl.cursor import Lost
from hyplink.idl.findings import nearest
from hyplink.idl.parse_expr import ExprParser

__all__ = ["MemberParser"]


class MemberParser(ExprParser):
    """Everything between the braces of a struct or an interface."""

    def procedure(self, out: list[syntax.Procedure]) -> None:
        """One procedure; it is appended even when broken, so that its name and ordinal count."""
        attributes = self.attributes()
        token = self.token
        if token.text not in ("async", "sync") or token.kind != "name":
            self._no_call_kind()
        doc = token.doc
        self.take()
        result = None
        if not (self.at("name") and self.peek().kind == "("):
            result = self.type_name("a result type or the procedure's name")
        name = self.expect_name("the procedure's name")
        proc = syntax.Procedure(token.text, result, name.text, name.place, doc=doc, broken=True)
        proc.attributes = attributes
        out.append(proc)
        self._parameters(proc)
        if not self.accept("="):
            self.missing("'=' and the procedure's ordinal", hint="for example '= 1;'")
            raise Lost
        number = self.expect("int", "the procedure's ordinal")
        proc.ordinal = self.int_of(number)
        proc.ordinal_place = number.place
        self._clauses(proc)
        proc.broken = False

    def _no_call_kind(self) -> None:
        token = self.token
        if token.kind == "name" and token.text in ("callback", "state"):
            self.error(token.place, 17, f"'{token.text}' is not in version 1 of the language")
            raise Lost
        guess = nearest(token.text, ("async", "sync", "reserved")) if token.text else ""
        found = f"'{token.text}'" if token.text else "the end of the file"
        self.error(
            token.place,
            18,
            f"expected 'async', 'sync' or 'reserved', found {found}",
            f"did you mean '{guess}'?"
            if guess
            else "every procedure says whether its caller waits",
        )
        raise Lost

    def _parameters(self, proc: syntax.Procedure) -> None:
        opened = self.expect("(")
        if self.accept(")"):
            return
        while True:
            proc.members.append(self.member(is_parameter=True))
            if self.accept(","):
                continue
            if self.accept(")"):
                return
            self.missing("',' or ')'", 11, opened=opened)
            raise Lost

    def _clauses(self, proc: syntax.Procedure) -> None:
        while not self.accept(";"):
            if self.at("@"):
                proc.attributes += self.attributes()
            elif self.accept_word("on_lost"):
                proc.on_lost = self.expression()
            elif self.at_word("since") and self.peek().kind == "float":
                self.take()
                proc.since = self.take().text
            else:
                hint = ""
                before = self.tokens[self.index - 1]
                if self.at("name") and before.line == self.token.line:
                    guess = nearest(self.token.text, ("on_lost", "since"))
                    hint = f"did you mean '{guess}'?" if guess else ""
                self.missing("';'", hint=hint)
                if before.line != self.token.line and not self.at("end"):
                    return
                raise Lost

    def type_name(self, what: str) -> syntax.TypeName:
        first = self.expect_name(what)
        parts = [first.text]
        while self.at(".") and self.peek().kind == "name":
            self.take()
            parts.append(self.take().text)
        length = len(".".join(parts))
        return syntax.TypeName(parts, (first.line, first.column, length))

    def member(self, *, is_parameter: bool) -> syntax.Member:
        doc = self.token.doc
        direction = "in"
        # Keywords are contextual: 'in' is a direction only when a type and a name follow.
        typed = self.peek().kind == "name" and self.peek(2).kind in ("name", ".")
        if is_parameter and typed and self.token.text in ("in", "out", "inout"):
            direction = self.take().text
        kind = self.type_name("a parameter's type" if is_parameter else "a member's type")
        if not self.at("name"):
            self.missing(f"a name for this {'parameter' if is_parameter else 'member'}")
            raise Lost
        name = self.take()
        member = syntax.Member(kind, name.text, name.place, direction, doc=doc)
        if self.at("["):
            opened = self.take()
            member.has_dim = True
            if self.at("]"):
                self.missing("a length", hint="lengths are expressions over other parameters")
                raise Lost
            member.dim = self.expression()
            self.expect_close("]", opened)
        self._constraints(member)
        return member

    def _constraints(self, member: syntax.Member) -> None:
        while True:
            token = self.token
            if self.at("@"):
                member.attributes += self.attributes()
            elif self.accept_word("max"):
                member.max = self.expression()
                member.max_place = token.place
            elif self.accept_word("in"):
                member.range_place = token.place
                self._range(member)
            else:
                return

    def _range(self, member: syntax.Member) -> None:
        if self.at("{"):
            opened = self.take()
            while True:
                member.choices.append(self.expression())
                if not self.accept(","):
                    break
            self.expect_close("}", opened)
            return
        member.low = self.expression()
        self.expect("..", "'..' and the upper bound")
        member.high = self.expression()

    def attributes(self) -> list[syntax.Attribute]:
        found: list[syntax.Attribute] = []
        while self.at("@"):
            self.take()
            name = self.expect_name("an attribute's name")
            item = syntax.Attribute(name.text, [], name.place)
            if self.at("("):
                opened = self.take()
                while not self.at(")"):
                    key = ""
                    if self.at("name") and self.peek().kind == ":":
                        key = self.take().text
                        self.take()
                    if self.token.kind not in ("name", "int", "text"):
                        self.missing("a value")
                        raise Lost
                    item.args.append((key, self.take().text))
                    if not self.accept(","):
                        break
                self.expect_close(")", opened)
            found.append(item)
        return found
