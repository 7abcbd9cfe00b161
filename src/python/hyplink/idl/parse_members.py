"""Procedures, parameters, struct members and attributes."""

from __future__ import annotations

from hyplink.idl import syntax
from hyplink.idl.cursor import Lost
from hyplink.idl.findings import nearest
from hyplink.idl.lexer import nanoseconds
from hyplink.idl.parse_expr import ExprParser

__all__ = ["MemberParser"]

_DIRECTIONS = ("in", "out", "inout")
_CLAUSES = ("on_lost", "since", "sets", "throws", "creates", "destroys", "timeout", "max")


class MemberParser(ExprParser):
    """Everything between the braces of a struct or an interface."""

    def procedure(self, interface: syntax.Interface) -> None:
        """One procedure; it is appended even when broken, so that its name and ordinal count."""
        lead = self.token.doc
        attributes = self.attributes()
        doc = lead or self.token.doc
        is_callback = self.at_word("callback") and self.peek().kind == "name"
        if is_callback:
            self.take()
        token = self.token
        if token.text not in ("async", "sync") or token.kind != "name":
            self._no_call_kind()
        self.take()
        result = None
        nullable = False
        if not (self.at("name") and self.peek().kind == "("):
            result = self.type_name("a result type or the procedure's name")
            nullable = self.accept("?")
        name = self.expect_name("the procedure's name")
        proc = syntax.Procedure(token.text, result, name.text, name.place, doc=doc, broken=True)
        proc.attributes = attributes
        proc.is_callback = is_callback
        proc.result_nullable = nullable
        (interface.callbacks if is_callback else interface.procedures).append(proc)
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
        guess = (
            nearest(token.text, ("async", "sync", "reserved", "callback", "state"))
            if token.text
            else ""
        )
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
                break
            self.missing("',' or ')'", 11, opened=opened)
            raise Lost
        if any(m.name == "reply" for m in proc.members):
            for member in proc.members:
                if member.dim_kind == "reply":
                    member.dim_kind = "expr"

    def _clauses(self, proc: syntax.Procedure) -> None:
        while not self.accept(";"):
            if self.at("@"):
                proc.attributes += self.attributes()
            elif not self._clause(proc):
                hint = ""
                before = self.tokens[self.index - 1]
                if self.at("name") and before.line == self.token.line:
                    guess = nearest(self.token.text, _CLAUSES)
                    hint = f"did you mean '{guess}'?" if guess else ""
                self.missing("';'", hint=hint)
                if before.line != self.token.line and not self.at("end"):
                    return
                raise Lost

    def _clause(self, proc: syntax.Procedure) -> bool:
        word = self.token
        if word.kind != "name" or word.text not in _CLAUSES:
            return False
        if word.text == "since" and self.peek().kind != "float":
            return False
        self.take()
        if word.text == "on_lost":
            proc.on_lost = self.expression()
        elif word.text == "since":
            proc.since_place = self.token.place
            proc.since = self.take().text
        elif word.text == "sets":
            self._sets(proc)
        elif word.text == "throws":
            proc.throws = self.type_name("the enum of the failures")
        elif word.text == "creates":
            proc.creates = word.place
        elif word.text == "destroys":
            name = self.expect_name("the parameter with the handle")
            proc.destroys = syntax.Ref([name.text], name.place)
        elif word.text == "timeout":
            time = self.expect("time", "a time such as 20ms")
            proc.timeout = nanoseconds(time.text)
            proc.timeout_place = word.place
        else:
            proc.max = self.expression()
            proc.max_place = word.place
        return True

    def _sets(self, proc: syntax.Procedure) -> None:
        while True:
            first = self.expect_word("state")
            self.expect(".")
            name = self.expect_name("a state variable")
            self.expect("=")
            value = self.expression()
            test = self.expression() if self.accept_word("when") else None
            length = len(name.text) + name.column - first.column
            place = (first.line, first.column, length)
            proc.sets.append(syntax.Sets(name.text, value, test, place))
            if not self.accept(","):
                return

    def state(self, interface: syntax.Interface) -> None:
        """One variable of ``state { … }``."""
        doc = self.token.doc
        kind = self.type_name("the variable's type")
        name = self.expect_name("the variable's name")
        if not self.accept("="):
            self.missing("'=' and the value at the beginning")
            raise Lost
        var = syntax.StateVar(kind, name.text, self.expression(), name.place, doc=doc)
        interface.state.append(var)
        if self.accept_word("in"):
            var.low, var.high = self._bounds()
        self.expect_end_of("the state variable")

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
        special = ""
        if is_parameter:
            # Keywords are contextual: 'in' is a direction only when a type and a name follow.
            if self.token.text in _DIRECTIONS and self._is_typed():
                direction = self.take().text
            if self.token.text in ("gives", "lends", "callback") and self._is_typed():
                special = self.take().text
            elif self.at_word("cookie") and self.peek().kind == "name" and not self._is_typed():
                special = "cookie"
        kind = self.type_name("a parameter's type" if is_parameter else "a member's type")
        if not self.at("name"):
            self.missing(f"a name for this {'parameter' if is_parameter else 'member'}")
            raise Lost
        name = self.expect_name("a name")
        member = syntax.Member(kind, name.text, name.place, direction, doc=doc, special=special)
        if self.at("["):
            self._dimension(member)
        self._constraints(member)
        return member

    def _is_typed(self) -> bool:
        """Whether a type and a name follow, so that the present word is a keyword."""
        return self.peek().kind == "name" and self.peek(2).kind in ("name", ".")

    def _dimension(self, member: syntax.Member) -> None:
        opened = self.take()
        member.has_dim = True
        if self.at("]"):
            self.missing("a length", hint="lengths are expressions over other parameters")
            raise Lost
        after = self.peek().kind
        if self.at_word("reply") and after == "]":
            word = self.take()
            member.dim_kind = "reply"
            member.dim = syntax.Ref(["reply"], word.place)
        elif self.at_word("cap") and after in ("name", "int"):
            self._capacity(member)
        elif self.at_word("until") and after in ("name", "int", "-"):
            self.take()
            member.dim_kind = "until"
            member.dim = self.expression()
            if self.accept_word("step"):
                member.step = self.expression()
        else:
            member.dim = self.expression()
        self.expect_close("]", opened)
        if self.at("["):
            self._inner(member)

    def _capacity(self, member: syntax.Member) -> None:
        self.take()
        member.dim_kind = "cap"
        member.dim = self.expression()
        self.expect(",", "',' and 'len' with the output that says how much was used")
        self.expect_word("len")
        used = self.expect_name("an output")
        member.used, member.used_place = used.text, used.place

    def _inner(self, member: syntax.Member) -> None:
        opened = self.take()
        outer = member.dim
        if (
            isinstance(outer, syntax.Binary)
            and outer.op == "<"
            and isinstance(outer.left, syntax.Ref)
            and len(outer.left.parts) == 1
        ):
            member.dim_kind = "nested"
            member.index = outer.left.parts[0]
            member.dim = outer.right
        else:
            self.error(
                member.place,
                69,
                f"'{member.name}' is an array of arrays without a running index",
                f"write '{member.name}[i < n][…]'",
            )
            member.has_dim = False
            member.dim = None
        member.inner = self.expression()
        self.expect_close("]", opened)

    def _constraints(self, member: syntax.Member) -> None:
        while True:
            token = self.token
            if self.at("@"):
                member.attributes += self.attributes()
            elif self.accept("?"):
                member.nullable = token.place
            elif self.accept_word("implied"):
                member.implied = token.place
            elif self.accept_word("max"):
                member.max = self.expression()
                member.max_place = token.place
            elif self.accept_word("in"):
                self._range(member)
                member.range_place = token.place
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
        member.low, member.high = self._bounds()

    def _bounds(self) -> tuple[syntax.Expr, syntax.Expr]:
        low = self.expression()
        self.expect("..", "'..' and the upper bound")
        return low, self.expression()

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
