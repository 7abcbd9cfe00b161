"""The whole language: what every construct means in the model."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from hyplink.idl.front import compile_file, compile_text
from hyplink.idl.layout import part_bytes, scratch_bytes
from hyplink.idl.model import Interface, Model, Procedure, Slot
from hyplink.idl.model_json import from_json, to_json
from hyplink.idl.support import FEATURES, Unsupported, features, require

DATA = Path(__file__).parent / "data"
HEAD = "idl 1;\nmodule t.good version 1.0;\n"
GOOD = ["camera", "everything", "glslice", "pixels", "shapes", "whole"]


def model_of(name: str) -> Model:
    return compile_file(DATA / f"{name}.vidl").require()


@pytest.fixture(scope="module")
def whole() -> Interface:
    return model_of("whole").interfaces[0]


def proc_of(interface: Interface, name: str) -> Procedure:
    return next(p for p in [*interface.procedures, *interface.callbacks] if p.name == name)


def slot_of(proc: Procedure, name: str) -> Slot:
    every = [*proc.request.slots, *proc.reply.slots, *proc.implied]
    return next(s for s in every if s.name == name)


def one(text: str) -> Interface:
    """The interface of a text that is fine."""
    found = compile_text(HEAD + text)
    assert found.ok, found.findings.text()
    return found.require().interfaces[0]


def codes(text: str) -> list[str]:
    return [d.code for d in compile_text(HEAD + text).diagnostics]


# -- all of it -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", GOOD)
def test_a_good_text_has_no_findings(name: str) -> None:
    found = compile_file(DATA / f"{name}.vidl")
    assert found.ok, found.findings.text()


def test_one_text_uses_every_feature_that_a_generator_may_lack() -> None:
    assert {name for name, _ in features(model_of("whole"))} == FEATURES


@pytest.mark.parametrize("name", GOOD)
def test_a_model_survives_json(name: str) -> None:
    model = model_of(name)
    assert to_json(from_json(to_json(model))) == to_json(model)
    assert dataclasses.asdict(from_json(to_json(model))) == dataclasses.asdict(model)


def test_a_generator_that_lacks_something_says_what_and_where() -> None:
    with pytest.raises(Unsupported, match=r"(?s)nested: Whole\.sources, 'text' \(line \d+\)"):
        require(model_of("whole"), "some", {"nested"})
    require(model_of("everything"), "some", FEATURES)


# -- lengths -------------------------------------------------------------------------------------


def test_a_function_is_proven_at_its_call_with_the_ranges_of_the_call() -> None:
    read = proc_of(model_of("glslice").interfaces[0], "glReadPixels")
    length = slot_of(read, "pixels").length
    assert length is not None
    assert length.low == 0
    assert 16384 * 16384 * 4 <= length.high < 16384 * 16384 * 4 + (1 << 20)


def test_a_length_without_maximum_says_how_much_it_can_be() -> None:
    text = "interface A group 1 { sync a(u32 w in 0..16384, u32 h in 0..16384, out u32 x[w * h]) = 1; }"
    found = compile_text(HEAD + text).diagnostics
    assert [d.code for d in found] == ["VIDL0050"]
    assert "1 GiB" in found[0].message


def test_small_ranges_are_a_maximum_of_their_own() -> None:
    proc = one("interface A group 1 { async a(u32 n in 0..9, u32 x[n * 2]) = 1; }").procedures[0]
    assert slot_of(proc, "x").max == 18


def test_a_test_narrows_what_stands_behind_it() -> None:
    text = (
        "interface A group 1 { async a(u32 n in 0..9, bytes x[n == 0 ? 0 : 100 / n] max 100) = 1; }"
    )
    length = slot_of(one(text).procedures[0], "x").length
    assert length is not None
    assert (length.low, length.high) == (0, 100)
    assert codes(text.replace("n == 0", "n == 1")) == ["VIDL0043"]
    guarded = text.replace("n == 0 ? 0 : 100 / n", "n != 0 && 100 / n > 20 ? 1 : 0")
    assert codes(guarded) == []


def test_problems_inside_a_function_are_told_at_the_call() -> None:
    text = "sizefn u32 f(u32 a, u32 b) = a / b;\nsizefn u32 g(u32 a) = f(8, a);\n"
    text += "interface A group 1 { async a(u32 n, bytes x[g(n)] max 8) = 1; }"
    found = compile_text(HEAD + text).diagnostics
    assert [(d.code, d.line) for d in found] == [("VIDL0043", 5)]
    assert "in 'f', 'b'" in found[0].message


def test_a_match_takes_its_values_from_the_arms_that_can_be_reached() -> None:
    text = "sizefn u32 f(u32 a) = match (a) { (0) => 100; (1 | 2) => a * 4; _ => 7; };\n"
    text += "interface A group 1 { async a(u32 n in 1..2, bytes x[f(n)]) = 1; }"
    length = slot_of(one(text).procedures[0], "x").length
    assert length is not None
    assert (length.low, length.high) == (4, 8)
    assert codes(text.replace("_ => 7; ", "").replace("1..2", "5..6")) == ["VIDL0048"]


def test_functions_that_call_each_other_too_often_are_refused_and_not_computed() -> None:
    text = "sizefn u32 f0(u32 a) = a;\n"
    for level in range(1, 30):
        text += f"sizefn u32 f{level}(u32 a) = f{level - 1}(a) + f{level - 1}(a + {1 << level});\n"
    text += "interface A group 1 { async a(u32 n in 0..1, bytes x[f29(n)] max 8) = 1; }"
    assert codes(text) == ["VIDL0019"]


def test_what_only_the_sender_knows_is_carried(whole: Interface) -> None:
    assert slot_of(proc_of(whole, "words"), "values").dim == "carried"
    text = slot_of(proc_of(whole, "sources"), "text")
    assert (text.form, text.dim, text.inner_dim, text.text) == ("nested", "expr", "carried", True)
    lens = slot_of(proc_of(whole, "sources"), "lens")
    assert (lens.implied, lens.nullable) == ("text", True)
    assert "lens" in proc_of(whole, "sources").params
    label = proc_of(whole, "label")
    assert [s.name for s in label.request.slots] == ["text"]
    assert label.params == ["length", "text"]


# -- state ---------------------------------------------------------------------------------------


def test_state_has_the_values_it_is_ever_set_to() -> None:
    state = {v.name: v for v in model_of("glslice").interfaces[0].state}
    assert (state["unpack"].low, state["unpack"].high, state["unpack"].initial) == (1, 8, 4)


def test_state_that_counts_without_a_range_has_the_range_of_its_type() -> None:
    text = "interface A group 1 { state { u8 n = 0; } async a() = 1 sets state.n = state.n + 1; }"
    assert codes(text) == ["VIDL0079"]
    fine = text.replace("state.n + 1", "(state.n + 1) % 200")
    assert [(v.low, v.high) for v in one(fine).state] == [(0, 199)]


def test_an_assignment_is_looked_at_where_its_test_holds() -> None:
    text = "interface A group 1 { state { u8 n = 1 in 1..8; } "
    text += "async a(u32 x in 0..8) = 1 sets state.n = x when x > 0; }"
    assert one(text).procedures[0].sets[0].value.low == 1


# -- forms ---------------------------------------------------------------------------------------


def test_what_may_be_absent_is_a_part_unless_it_has_a_null_of_its_own(whole: Interface) -> None:
    maybe = proc_of(whole, "maybe")
    forms = {s.name: (s.form, s.nullable) for s in maybe.request.slots if s.name != "n"}
    assert forms == {
        "name": ("string", True),
        "at": ("optional", True),
        "number": ("optional", True),
        "mode": ("optional", True),
        "list": ("array", True),
        "four": ("array", True),
        "device": ("value", True),
    }
    partly = proc_of(whole, "partly")
    assert [(s.form, s.nullable) for s in partly.reply.slots] == [
        ("value", True),
        ("fixed", True),
        ("value", False),
    ]


def test_inout_is_in_both_blocks_and_once_in_the_prototype(whole: Interface) -> None:
    swap = proc_of(whole, "swap")
    names = ["point", "n", "data"]
    assert swap.params == names
    assert [(s.name, s.direction) for s in swap.request.slots] == [(n, "in") for n in names]
    assert [(s.name, s.direction) for s in swap.reply.slots] == [(n, "out") for n in names]


def test_characters_are_strings_where_the_length_is_found_or_answered(whole: Interface) -> None:
    assert slot_of(proc_of(whole, "words"), "name").form == "string"
    assert slot_of(proc_of(whole, "list"), "name").form == "string"
    fixed = slot_of(proc_of(whole, "fixed"), "tag")
    assert (fixed.form, fixed.count, fixed.text) == ("fixed", 4, True)


def test_answers_say_who_decides_their_size(whole: Interface) -> None:
    fetch = proc_of(whole, "fetch")
    values = slot_of(fetch, "values")
    assert (values.dim, values.used, values.max) == ("cap", "used", 64)
    assert slot_of(proc_of(whole, "list"), "points").dim == "reply"
    choose = slot_of(proc_of(whole, "choose"), "list")
    assert (choose.dim, choose.until, choose.step) == ("until", 0x3038, 2)


def test_policies_reach_the_model(whole: Interface) -> None:
    assert proc_of(whole, "version").cacheable == "session"
    assert proc_of(whole, "extension").cacheable == "set_align"
    assert proc_of(whole, "open").throws == "test.whole.Status"
    assert proc_of(whole, "open").creates == "result"
    assert proc_of(whole, "start").creates == "queue"
    assert proc_of(whole, "stop").destroys == "queue"
    assert (proc_of(whole, "progress").drop, proc_of(whole, "progress").keep) == ("oldest", 16)
    assert proc_of(whole, "log").drop == "newest"
    assert (proc_of(whole, "ask").timeout, proc_of(whole, "ask").on_lost) == (20_000_000, 0)
    assert slot_of(proc_of(whole, "run"), "proc").cookie == "user"
    assert slot_of(proc_of(whole, "raw"), "pointer").c_type == "const void *"
    assert slot_of(proc_of(whole, "extension"), "result").c_type == "const unsigned char *"
    assert proc_of(whole, "raw").attributes["custom"] == {"": "client"}
    assert slot_of(proc_of(whole, "bulk"), "data").large == 64 << 10


# -- layout --------------------------------------------------------------------------------------


def test_places_of_parts_that_may_travel_as_buffers_have_room_for_the_reference(
    whole: Interface,
) -> None:
    bulk = proc_of(whole, "bulk").request
    assert (bulk.slots[1].offset, bulk.fixed) == (8, 40)


def test_a_table_ends_with_its_last_field_and_its_part_may_be_longer() -> None:
    model = model_of("camera")
    info = model.tables["test.camera.FrameInfo"]
    assert (info.size, info.numbers) == (20, [1, 2, 3, 4])
    frame = proc_of(model.interfaces[0], "on_frame")
    assert slot_of(frame, "info").max == 1048
    config = model.tables["test.camera.StreamConfig"]
    assert [s.default for s in config.slots] == [None, None, 30, 4]


def test_a_nested_part_has_room_for_places_texts_and_their_ends(whole: Interface) -> None:
    text = slot_of(proc_of(whole, "sources"), "text")
    assert part_bytes(text) >= 16 * 8 + 4096 + 16
    assert scratch_bytes(proc_of(whole, "sources").request) >= part_bytes(text)


# -- contextual keywords -------------------------------------------------------------------------

# fmt: off
WORDS = [
    "in", "out", "inout", "len", "cap", "reply", "until", "step", "max", "nul", "null",
    "handle", "table", "umem", "state", "sizefn", "match", "callback", "cookie", "gives",
    "lends", "implied", "parent", "open", "sync", "async", "enum", "struct", "interface",
    "group", "import", "as", "const", "module", "version", "idl", "sets", "when", "throws",
    "creates", "destroys", "since", "timeout", "on_lost", "reserved", "client", "server",
    "read", "write", "copy", "large", "now", "user", "address", "size",
]
# fmt: on


@pytest.mark.parametrize("word", WORDS)
def test_a_keyword_is_a_name_where_a_name_is_expected(word: str) -> None:
    text = f"""struct S {{ u32 {word}; }}
        table T {{ 1: u32 {word} = 1; }}
        sizefn u32 f(u32 {word}) = {word} + 1;
        interface A group 1 {{
            state {{ u32 {word} = 1 in 0..9; }}
            async a(u32 {word}) = 1;
            async b(in u32 {word} in 0..9, bytes data[{word}] max 9) = 2 sets state.{word} = {word};
            sync c(out u32 {word}) = 3;
            async d(S {word}, bytes data[{word}.{word} > 4 ? 1 : 2] max 9) = 4;
            async e(bytes {word}[3], string s? max 4) = 5;
            async {word}(u32 x in 0..4, bytes data[f(x) + state.{word}] max 99) = 6;
            callback async on_{word}(u32 {word}) = 1;
        }}"""
    found = compile_text(HEAD + text)
    assert found.ok, found.findings.text()


def test_a_misspelt_enumerator_is_guessed_from_its_enum() -> None:
    text = "enum Kind : u8 { SHORT = 1; LONG = 2; }\n"
    text += "sizefn u32 f(Kind k) = match (k) { (SHROT) => 1; _ => k == LNOG ? 2 : 3; };\n"
    text += "table T { 1: Kind kind = SHOTR; }\n"
    found = compile_text(HEAD + text).diagnostics
    assert [(d.code, d.hint) for d in found] == [
        ("VIDL0040", "did you mean 'SHORT'?"),
        ("VIDL0040", "did you mean 'LONG'?"),
        ("VIDL0040", "did you mean 'SHORT'?"),
    ]


def test_comments_of_fields_handles_functions_and_state_reach_the_model() -> None:
    text = """/// One.
        table T {
            /// Two.
            1: u32 a;
        }
        /// Three.
        handle H : u32;
        /// Four.
        sizefn u32 f(u32 a) = a;
        interface A group 1 {
            state {
                /// Five.
                u32 s = 1;
            }
            /// Six.
            callback async c() = 1;
        }"""
    found = compile_text(HEAD + text).require()
    table = found.tables["t.good.T"]
    interface = found.interfaces[0]
    docs = [table.doc, table.slots[0].doc, found.handles["t.good.H"].doc]
    docs += [found.functions["t.good.f"].doc, interface.state[0].doc, interface.callbacks[0].doc]
    assert docs == ["One.", "Two.", "Three.", "Four.", "Five.", "Six."]
