"""Expressions and slots of the model as a person would write them."""

from __future__ import annotations

from hyplink.idl.model import Expr, Function, Slot

__all__ = ["body_text", "dim_text", "expr_text", "function_text", "size_text"]

_RANK = {
    "||": 2,
    "&&": 3,
    **dict.fromkeys(["==", "!="], 4),
    **dict.fromkeys(["<", "<=", ">", ">="], 5),
    **dict.fromkeys(["+", "-"], 6),
    **dict.fromkeys(["*", "/", "%"], 7),
}


def expr_text(expr: Expr, rank: int = 0) -> str:
    """The expression; ``rank`` is how tightly what stands around it binds."""
    op, args = expr.op, expr.args
    if op == "int":
        return str(expr.value)
    if op == "arg":
        return expr.name
    if op == "state":
        return f"state.{expr.name}"
    if op in ("nul", "isnull", "index"):
        return {"nul": "nul", "isnull": f"{expr.name} == null", "index": f"{expr.name}[]"}[op]
    if op in ("call", "min", "max", "roundup"):
        name = expr.name.rsplit(".", 1)[-1] if op == "call" else op
        return f"{name}({', '.join(expr_text(a) for a in args)})"
    if op in ("!", "neg"):
        return ("!" if op == "!" else "-") + expr_text(args[0], 9)
    if op == "match":
        return body_text(expr)
    if op == "?:":
        test, then, other = args
        text = f"{expr_text(test, 2)} ? {expr_text(then, 1)} : {expr_text(other, 1)}"
        return f"({text})" if rank > 1 else text
    mine = _RANK.get(op, 0)
    text = f"{expr_text(args[0], mine)} {op} {expr_text(args[1], mine + 1)}"
    return f"({text})" if rank > mine else text


def body_text(expr: Expr) -> str:
    """A function's body on one line, patterns as the values they stand for."""
    if expr.op != "match":
        return expr_text(expr)
    values = ", ".join(expr_text(a) for a in expr.args[: expr.value])
    arms = []
    for arm in expr.args[expr.value :]:
        patterns = [" | ".join(map(str, p)) if p else "_" for p in arm.patterns]
        arms.append(f"({', '.join(patterns)}) => {expr_text(arm.args[0])};")
    return f"match ({values}) {{ {' '.join(arms)} }}"


def dim_text(slot: Slot) -> str:
    """What stands in the brackets behind a slot's name, brackets included."""
    if slot.form == "fixed":
        return f"[{slot.count}]"
    length = expr_text(slot.length) if slot.length is not None else ""
    if slot.form == "nested":
        inner = expr_text(slot.inner) if slot.inner is not None else "nul"
        return f"[{slot.index or 'i'} < {length}][{inner}]"
    if slot.dim == "reply":
        return "[reply]"
    if slot.dim == "cap":
        return f"[cap {length}, len {slot.used}]" if slot.used else f"[cap {length}]"
    if slot.dim == "until":
        return f"[until {slot.until}" + (f" step {slot.step}]" if slot.step > 1 else "]")
    return f"[{length}]" if length else ""


def size_text(count: int) -> str:
    """A number of bytes the way interfaces write it."""
    for letter, unit in (("G", 1 << 30), ("M", 1 << 20), ("K", 1 << 10)):
        if count >= unit and count % unit == 0:
            return f"{count // unit}{letter}"
    return str(count)


def function_text(function: Function) -> str:
    """The head of a ``sizefn``."""
    pairs = zip(function.types, function.params, strict=True)
    params = ", ".join(f"{t.name.rsplit('.', 1)[-1]} {name}" for t, name in pairs)
    name = function.name.rsplit(".", 1)[-1]
    return f"sizefn {function.result.name} {name}({params})"
