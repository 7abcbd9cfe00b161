"""Expressions, by precedence climbing."""

from __future__ import annotations

from hyplink.idl import syntax
from hyplink.idl.cursor import Cursor, Lost
from hyplink.idl.findings import Place
from hyplink.idl.lexer import Token, int_value

__all__ = ["ExprParser"]

_BINDING = {
    "||": 1,
    "&&": 2,
    "==": 3,
    "!=": 3,
    "<": 4,
    "<=": 4,
    ">": 4,
    ">=": 4,
    "+": 5,
    "-": 5,
    "*": 6,
    "/": 6,
    "%": 6,
}
#: Deeper nesting is refused: neither this parser nor a generated compiler run may overflow.
_DEPTH = 32


class ExprParser(Cursor):
    """Adds ``expression()`` to the cursor."""

    _depth = 0

    def expression(self) -> syntax.Expr:
        self._depth += 1
        try:
            if self._depth > _DEPTH:
                self.error(self.token.place, 19, f"an expression may nest {_DEPTH} deep, not more")
                raise Lost
            test = self._binary(1)
            if not self.accept("?"):
                return test
            then = self.expression()
            self.expect(":", "':' and the other value")
            other = self.expression()
            return syntax.Conditional(test, then, other, _span(test.place, other.place))
        finally:
            self._depth -= 1

    def _binary(self, minimum: int) -> syntax.Expr:
        left = self._unary()
        count = 0
        while True:
            op = self.token.kind
            binding = _BINDING.get(op, 0)
            if binding < minimum:
                return left
            count += 1
            if count > _DEPTH:
                message = f"an expression may chain {_DEPTH} operators, not more"
                self.error(self.token.place, 19, message)
                raise Lost
            self.take()
            right = self._binary(binding + 1)
            left = syntax.Binary(op, left, right, _span(left.place, right.place))

    def _unary(self) -> syntax.Expr:
        token = self.token
        if token.kind in ("-", "!"):
            self.take()
            self._depth += 1
            try:
                if self._depth > _DEPTH:
                    message = f"an expression may nest {_DEPTH} deep, not more"
                    self.error(token.place, 19, message)
                    raise Lost
                arg = self._unary()
            finally:
                self._depth -= 1
            return syntax.Unary(token.kind, arg, _span(token.place, arg.place))
        if token.kind == "(":
            self.take()
            inner = self.expression()
            self.expect_close(")", token)
            return inner
        if token.kind == "int":
            self.take()
            return syntax.Literal(self.int_of(token), token.place)
        if token.kind == "float":
            self.take()
            return syntax.Literal(float(token.text), token.place)
        if token.kind == "name":
            return self._name()
        self.missing("a value")
        raise Lost

    def _name(self) -> syntax.Expr:
        if self.at_word("match") and self._is_match():
            return self._match()
        first = self.take()
        parts = [first.text]
        while self.at(".") and self.peek().kind == "name":
            self.take()
            parts.append(self.take().text)
        place = (first.line, first.column, len(".".join(parts)))
        if self.at("("):
            opened = self.take()
            args: list[syntax.Expr] = []
            while not self.at(")"):
                args.append(self.expression())
                if not self.accept(","):
                    break
            self.expect_close(")", opened)
            return syntax.Call(".".join(parts), args, place)
        if self.at("["):
            opened = self.take()
            index = self.expect_name("the running index")
            self.expect_close("]", opened)
            ref = syntax.Ref([index.text], index.place)
            return syntax.Index(".".join(parts), ref, place)
        return syntax.Ref(parts, place)

    def _is_match(self) -> bool:
        """``match ( … ) {``: a parameter or a function may be called 'match', too."""
        if self.peek().kind != "(":
            return False
        depth = 0
        at = self.index + 1
        while self.tokens[at].kind not in (";", "{", "end"):
            kind = self.tokens[at].kind
            depth += (kind == "(") - (kind == ")")
            at += 1
            if depth == 0:
                return self.tokens[at].kind == "{"
        return False

    def _match(self) -> syntax.Expr:
        first = self.take()
        opened = self.take()
        values = [self.expression()]
        while self.accept(","):
            values.append(self.expression())
        self.expect_close(")", opened)
        opened = self.expect("{")
        arms: list[syntax.Arm] = []
        while not self.at("}"):
            if self.at("end"):
                self.missing("'}' at the end of the match", 11, opened=opened)
                raise Lost
            arms.append(self._arm(len(values)))
            self.expect_end_of("the arm")
        self.take()
        return syntax.Match(values, arms, first.place)

    def _arm(self, count: int) -> syntax.Arm:
        place = self.token.place
        patterns: list[list[syntax.Expr]] = []
        if self.at("("):
            opened = self.take()
            patterns.append(self._pattern())
            while self.accept(","):
                patterns.append(self._pattern())
            self.expect_close(")", opened)
        else:
            patterns.append(self._pattern())
        if not self.accept("=>"):
            self.missing("'=>' and the value", hint=f"write '({', '.join('_' * count)}) => 0;'")
            raise Lost
        return syntax.Arm(patterns, self.expression(), place)

    def _pattern(self) -> list[syntax.Expr]:
        if self.accept_word("_"):
            return []
        found = [self._unary()]
        while self.accept("|"):
            found.append(self._unary())
        return found

    def int_of(self, token: Token) -> int:
        return int_value(token.text)


def _span(first: Place, last: Place) -> Place:
    if first[0] != last[0]:
        return first
    return (first[0], first[1], last[1] + last[2] - first[1])
