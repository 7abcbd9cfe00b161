"""Stubs at run time, and what the language lets one say."""

from __future__ import annotations

import enum
import pickle
import random
import struct
import sys
import traceback
import types
from pathlib import Path

import pytest
from idl_wirelib import Recorder, Request

from hyplink import idl
from hyplink.errors import BadArgument, CorruptRing, IdlError
from hyplink.idl.check_expr import evaluate
from hyplink.idl.model import Expr
from hyplink.idl.runtime import BadBlock

DATA = Path(__file__).parent / "data"
HEAD = "idl 1; module t.load version 1.0;\n"


def calc() -> types.ModuleType:
    return idl.load(
        text=HEAD + "interface calc group 9 { async note(string text max 64) = 1;"
        " sync u32 add(u32 a, u32 b) = 2; }"
    )


class Loop(Recorder):
    """Client and server in one thread."""

    def __init__(self, dispatch: object, handler: object) -> None:
        super().__init__()
        self._perform = lambda request: dispatch(handler, request)  # type: ignore[operator]

    def begin(self, proc: int, nbytes: int) -> int:
        self.proc, self.out_bytes, self.is_call = proc, 0, False
        return super().begin(proc, nbytes)

    def begin_call(self, proc: int, in_bytes: int, out_bytes: int) -> int:
        at = super().begin(proc, in_bytes)
        self.proc, self.out_bytes, self.is_call = proc, out_bytes, True
        return at

    def run(self) -> int:
        out = self.window[1 << 16 : (1 << 16) + self.out_bytes]
        return self._perform(Request(self.proc, memoryview(self.block), out, self.is_call))

    def post(self) -> None:
        self.run()

    def call(self, *, timeout: float | None = None) -> tuple[int, int, int]:
        return self.run(), 1 << 16, self.out_bytes


def test_a_text_becomes_a_client_and_a_server() -> None:
    module = calc()
    notes: list[str] = []

    class Server(module.Handler):  # type: ignore[name-defined, misc]
        def note(self, text: str) -> None:
            notes.append(text)

        def add(self, a: int, b: int) -> int:
            if a == 0:
                raise BrokenPipeError(32, "gone")
            return a + b

    client = module.Client(Loop(module.dispatch, Server()))
    client.note("hello")
    assert client.add(40, 2) == 42
    assert notes == ["hello"]
    with pytest.raises(BrokenPipeError, match=r"calc\.add: refused by the server \(EPIPE\)"):
        client.add(0, 1)


def test_what_a_handler_raises_besides_os_errors_is_not_hidden() -> None:
    module = calc()

    class Server(module.Handler):  # type: ignore[name-defined, misc]
        def note(self, text: str) -> None:
            raise KeyError(text)

        def add(self, a: int, b: int) -> int:
            return a << b

    client = module.Client(Loop(module.dispatch, Server()))
    with pytest.raises(KeyError):
        client.note("lost")
    with pytest.raises(BadArgument, match="add"):
        client.add(1, 40)


def test_loading_the_same_interface_twice_gives_the_same_module() -> None:
    assert calc() is calc()
    assert idl.load(DATA / "everything.vidl") is idl.load(str(DATA / "everything.vidl"))


def test_values_of_loaded_types_can_be_pickled(everything: types.ModuleType) -> None:
    pair = everything.Pair(1, 2)
    assert pickle.loads(pickle.dumps(pair)) == pair
    assert pickle.loads(pickle.dumps(everything.Level.HIGH)) is everything.Level.HIGH
    bad = BadBlock(1, 7, "x", 4, "y")
    again = pickle.loads(pickle.dumps(bad))
    assert (again.proc, again.rule, again.field, again.offset) == (1, "D7", "x", 4)


def test_a_bad_interface_raises_with_every_finding() -> None:
    text = HEAD + "interface A group 1 { async a(Strng s max 4) = 1; async b(u32 n[m]) = 1; }"
    with pytest.raises(IdlError) as caught:
        idl.load(text=text, filename="wrong.vidl")
    assert [d.code for d in caught.value.diagnostics] == ["VIDL0020", "VIDL0040", "VIDL0022"]
    assert "wrong.vidl:2:31: error[VIDL0020]: unknown type 'Strng'" in str(caught.value)
    assert "did you mean 'string'?" in str(caught.value)


def test_load_takes_a_path_or_a_text() -> None:
    with pytest.raises(TypeError):
        idl.load()
    with pytest.raises(TypeError):
        idl.load("a.vidl", text="idl 1;")


def test_several_interfaces_keep_their_names_apart(everything: types.ModuleType) -> None:
    assert everything.EverythingClient is not everything.SecondClient
    assert not hasattr(everything, "Client")
    assert everything.second_procedures[0x80001].name == "Second.note"
    assert everything.everything_procedures[0x7001A].on_lost == -1


def test_constants_and_enums_have_their_values(everything: types.ModuleType) -> None:
    assert (everything.LIMIT, everything.LOWEST, everything.HALF) == (32, -(1 << 63), 0.5)
    assert everything.FAST is True
    assert issubclass(everything.Level, enum.IntEnum)
    assert everything.Loose.name_ == 1


def test_camel_case_becomes_snake_case(everything: types.ModuleType) -> None:
    assert hasattr(everything.EverythingClient, "get_camel_case")


def test_a_wrong_argument_is_named_before_anything_is_posted(everything: types.ModuleType) -> None:
    seen = Recorder()
    client = everything.EverythingClient(seen)
    with pytest.raises(
        BadArgument, match=r"Everything\.narrow: bad value 0 for 'a', expected 1\.\.3"
    ):
        client.narrow(0, 1, 0)
    with pytest.raises(BadArgument, match=r"Everything\.texts: 'data' has 2 elements, expected 3"):
        client.texts("a", 3, b"12", "")
    assert seen.size == 0
    with pytest.raises(BadArgument, match="keywords"):
        client.keywords(-1, 2, 3, 4, 5, 6, 7, 8)


def test_arrays_of_the_right_type_are_taken_as_they_are(everything: types.ModuleType) -> None:
    import array

    seen, twin = Recorder(), Recorder()
    pairs = [everything.Pair(1, 2)] * 2
    everything.EverythingClient(seen).in_place(2, array.array("f", [1.5, 2.5]), pairs)
    everything.EverythingClient(twin).in_place(2, [1.5, 2.5], pairs)
    assert seen.block == twin.block
    assert struct.pack("<2f", 1.5, 2.5) in seen.block


def test_a_broken_block_is_a_corrupt_ring_with_its_place(everything: types.ModuleType) -> None:
    request = Request(0x7000E, memoryview(bytes(8)), memoryview(b""), False)
    with pytest.raises(CorruptRing) as caught:
        everything.everything_dispatch(None, request)
    error = caught.value
    assert isinstance(error, BadBlock)
    assert (error.errno, error.proc, error.rule, error.field) == (74, 0x7000E, "D2", "in_bytes")


def test_tracebacks_show_generated_lines(everything: types.ModuleType) -> None:
    try:
        everything.EverythingClient(Recorder()).narrow(0, 1, 0)
    except BadArgument:
        assert "raise _rt.bad_argument" in traceback.format_exc()


def test_serve_hands_device_handler_and_dispatch_to_the_transport(
    everything: types.ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = types.ModuleType("hyplink.rpq")
    fake.serve = lambda *args, **more: (*args, more)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "hyplink.rpq", fake)
    more = {"bind": everything.second_bind, "hello": everything.hello()}
    assert everything.second_serve("vogl0", 7) == ("vogl0", 7, everything.second_dispatch, more)


def reference(node: Expr, values: dict[str, int]) -> int:
    if node.op == "int":
        return node.value
    if node.op == "arg":
        return values[node.name]
    if node.op in ("?:", "&&", "||"):
        first = reference(node.args[0], values)
        if node.op == "?:":
            return reference(node.args[1 if first else 2], values)
        if bool(first) == (node.op == "||"):
            return int(bool(first))
    return evaluate(node.op, [reference(a, values) for a in node.args])


def reached(node: Expr, values: dict[str, int]) -> list[Expr]:
    """The operands that are evaluated: intervals of the others speak of other values."""
    if node.op not in ("?:", "&&", "||"):
        return node.args
    first = bool(reference(node.args[0], values))
    if node.op == "?:":
        return [node.args[0], node.args[1 if first else 2]]
    return node.args[:1] if first == (node.op == "||") else node.args


def inside(node: Expr, values: dict[str, int]) -> None:
    value = reference(node, values)
    assert node.low <= value <= node.high, (node.op, value, node.low, node.high)
    for arg in reached(node, values):
        inside(arg, values)


def random_text(rng: random.Random, depth: int) -> str:
    if depth == 0 or rng.random() < 0.2:
        return rng.choice(["a", "b", "c", str(rng.randrange(1, 9))])
    left, right = random_text(rng, depth - 1), random_text(rng, depth - 1)
    op = rng.choice(["+", "-", "*", "/", "%", "==", "<", "&&", "||", "?", "min", "max", "roundup"])
    if op == "?":
        return f"({random_text(rng, depth - 1)} > 2 ? {left} : {right})"
    if op in ("min", "max", "roundup"):
        return f"{op}({left}, {right})"
    return f"({left} {op} {right})"


def test_no_value_of_an_expression_leaves_its_interval() -> None:
    """What the length rules stand on: bounds computed at compile time hold for every input."""
    rng = random.Random(11)
    tried = 0
    for _ in range(400):
        text = random_text(rng, 3)
        source = HEAD + (
            "interface I group 1 { async f(u32 a in 0..9, u32 b in 1..7, i32 c in -4..4, "
            f"bytes d[{text}] max 1M @copy) = 1; }}"
        )
        found = idl.compile_text(source)
        if not found.ok:
            assert {d.code for d in found.diagnostics} <= {"VIDL0043", "VIDL0044", "VIDL0048"}
            continue
        length = found.model.interfaces[0].procedures[0].request.slots[3].length
        assert length is not None
        tried += 1
        for _ in range(20):
            inside(
                length, {"a": rng.randint(0, 9), "b": rng.randint(1, 7), "c": rng.randint(-4, 4)}
            )
    assert tried > 50


def test_every_keyword_may_name_a_parameter_and_a_member() -> None:
    words = (
        "idl module version import as const enum struct interface group reserved async sync in out"
    )
    words += " inout max open on_lost since void string bytes u32 bool true"
    members = "; ".join(f"u32 {w}" for w in words.split())
    params = ", ".join(f"u32 {w}" for w in words.split())
    text = HEAD + f"struct S {{ {members}; }} interface I group 1 {{ async f({params}) = 1; }}"
    module = idl.load(text=text)
    assert len(module.S.__slots__) == len(words.split())
