"""What the length rules stand on: intervals hold through functions, matches, tests and state."""

from __future__ import annotations

import random

from hyplink.idl.bounds import evaluate
from hyplink.idl.front import compile_text
from hyplink.idl.model import Expr, Model

HEAD = "idl 1;\nmodule t.good version 1.0;\n"


class NoArm(Exception):
    """A match misses: the request is refused."""


def value_of(model: Model, node: Expr, names: dict[str, int]) -> int:
    """The value, straight from the definition of the language."""
    if node.op == "int":
        return node.value
    if node.op in ("arg", "state"):
        return names[node.name]
    if node.op in ("?:", "&&", "||"):
        first = value_of(model, node.args[0], names)
        if node.op == "?:":
            return value_of(model, node.args[1 if first else 2], names)
        if bool(first) == (node.op == "||"):
            return int(bool(first))
    if node.op == "match":
        values = [value_of(model, a, names) for a in node.args[: node.value]]
        for arm in node.args[node.value :]:
            if all(not p or v in p for p, v in zip(arm.patterns, values, strict=True)):
                return value_of(model, arm.args[0], names)
        raise NoArm
    args = [value_of(model, a, names) for a in node.args]
    if node.op == "call":
        function = model.functions[node.name]
        return value_of(model, function.body, dict(zip(function.params, args, strict=True)))
    return evaluate(node.op, args)


def random_text(rng: random.Random, depth: int, names: list[str], calls: list[str]) -> str:
    def deeper() -> str:
        return random_text(rng, depth - 1, names, calls)

    if depth == 0 or rng.random() < 0.15:
        return rng.choice([*names, str(rng.randrange(9))])
    op = rng.choice(["+", "-", "*", "/", "%", "min", "max", "roundup", "?", "?", "call", "call"])
    if op == "call" and calls:
        return f"{rng.choice(calls)}({deeper()}, {deeper()})"
    if op in ("min", "max", "roundup"):
        return f"{op}({deeper()}, {deeper()})"
    if op in ("?", "call"):
        test = rng.choice(["==", "!=", "<", "<=", ">", ">="])
        question = f"{rng.choice(names)} {test} {rng.choice([*names, str(rng.randrange(9))])}"
        if rng.random() < 0.4:
            other = f"{rng.choice(names)} > {rng.randrange(4)}"
            question = f"{question} {rng.choice(['&&', '||'])} !({other})"
        return f"({question} ? {deeper()} : {deeper()})"
    return f"({deeper()} {op} {deeper()})"


def random_function(rng: random.Random, name: str, calls: list[str]) -> str:
    body = random_text(rng, 3, ["x", "y"], calls)
    if rng.random() < 0.4:
        arms = "".join(
            f"({rng.choice(['_', '0', '1 | 2', '5'])}, {rng.choice(['_', '0 | 3', '7'])}) => "
            f"{random_text(rng, 2, ['x', 'y'], calls)};"
            for _ in range(3)
        )
        body = f"match (x, y) {{ {arms} (_, _) => {body}; }}"
    return f"sizefn i64 {name}(i64 x, i64 y) = {body};\n"


def test_no_length_leaves_its_interval_through_functions_and_matches() -> None:
    rng = random.Random(5)
    accepted = evaluated = 0
    for _ in range(500):
        text = random_function(rng, "f", []) + random_function(rng, "g", ["f"])
        length = random_text(rng, 3, ["a", "b", "state.s"], ["f", "g"])
        text += "interface A group 1 { state { i32 s = 3 in -2..6; }\n"
        text += f"async p(u32 a in 0..9, i32 b in -4..7, bytes data[{length}] max 1G @copy) = 1; }}"
        found = compile_text(HEAD + text)
        if not found.ok:
            continue
        accepted += 1
        node = found.model.interfaces[0].procedures[0].request.slots[2].length
        if node is None:
            continue
        for _ in range(20):
            names = {"a": rng.randint(0, 9), "b": rng.randint(-4, 7), "s": rng.randint(-2, 6)}
            try:
                value = value_of(found.model, node, names)
            except NoArm:
                continue
            assert node.low <= value <= node.high, (text, names, value, node.low, node.high)
            evaluated += 1
    assert accepted > 50
    assert evaluated > 500


def test_state_stays_in_its_interval_whatever_is_called() -> None:
    rng = random.Random(9)
    accepted = 0
    for _ in range(300):
        names = ["a", "state.s", "state.t"]
        text = "interface A group 1 { state { i64 s = 2; i64 t = 5; }\n"
        for ordinal in (1, 2, 3):
            test = f"{rng.choice(names)} {rng.choice(['<', '>', '=='])} {rng.randrange(9)}"
            text += f"async p{ordinal}(u32 a in 0..9) = {ordinal} sets "
            text += f"state.{rng.choice('st')} = {random_text(rng, 2, names, [])} when {test};\n"
        found = compile_text(HEAD + text + "}")
        if not found.ok:
            continue
        accepted += 1
        interface = found.model.interfaces[0]
        now = {v.name: v.initial for v in interface.state}
        for _ in range(60):
            proc = rng.choice(interface.procedures)
            known = {**now, "a": rng.randint(0, 9)}
            for item in proc.sets:
                if item.when is None or value_of(found.model, item.when, known):
                    now[item.var] = value_of(found.model, item.value, known)
            for var in interface.state:
                assert var.low <= now[var.name] <= var.high, (text, now, var)
    assert accepted > 30
