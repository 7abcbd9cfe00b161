"""``hyplink idl lock`` and ``breaking``: what a change means, and to whom."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hyplink.idl.cli import main
from hyplink.idl.compat import Change, Class, compare, lock_text, read_contract, read_lock

HERE = Path(__file__).parent

BASE = """idl 1;
module t.base version 1.4;
const u32 MOST = 8;
enum Mode : u32 { OFF = 0; ON = 1; }
enum Open : u32 open { ONE = 1; }
enum Asked : u8 { A = 1; B = 2; }
struct Pair { u32 left in 0..9; u32 right; }
interface thing group 3 {
    async set(Asked a, u32 n in 0..16, bytes data[n] max 64, u32 pick in {1, 2, 4}) = 1;
    sync Mode get(Pair pair, out u32 level in 0..9, out string name max 16) = 2;
    sync u32 two(Open o) = 4 on_lost 0;
    callback async told(u32 n) = 1;
    reserved 3, 8..9;
    reserved callback 2, 5..6;
}
"""

WIRE, SOURCE, NOTE = Class.WIRE, Class.SOURCE, Class.NOTE

# (what is replaced, by what, the rule that must speak, its class)
CHANGES = [
    ("MOST = 8", "MOST = 9", "const-value", SOURCE),
    ("const u32 MOST = 8;", "", "removed", SOURCE),
    ("struct Pair", "const u32 MORE = 1; struct Pair", "added", NOTE),
    ("ON = 1;", "ON = 2;", "enumerator-value", WIRE),
    ("ON = 1;", "RUNNING = 1;", "renamed", SOURCE),
    ("ON = 1;", "ON = 1; HALF = 2;", "added", WIRE),
    ("B = 2;", "B = 2; C = 3;", "added", NOTE),
    ("A = 1; ", "", "removed", WIRE),
    ("ONE = 1;", "ONE = 1; TWO = 2;", "added", NOTE),
    ("u32 open { ONE", "u32 { ONE", "enum-closed", WIRE),
    ("Mode : u32 {", "Mode : u32 open {", "enum-opened", WIRE),
    ("Asked : u8 {", "Asked : u8 open {", "enum-opened", NOTE),
    ("Asked : u8", "Asked : u16", "enum-base", WIRE),
    ("u32 right; }", "u32 right; u32 more; }", "added", WIRE),
    ("u32 right; }", "i32 right; }", "slot-type", WIRE),
    ("u32 right; }", "u32 wrong; }", "renamed", SOURCE),
    ("u32 left in 0..9; u32 right;", "u32 right; u32 left in 0..9;", "order", WIRE),
    ("left in 0..9", "left in 0..8", "range-narrowed", WIRE),
    ("left in 0..9", "left in 0..10", "range-widened", NOTE),
    ("level in 0..9", "level in 0..10", "range-widened", WIRE),
    ("level in 0..9", "level in 1..9", "range-narrowed", WIRE),
    ("{1, 2, 4}", "{1, 2}", "range-narrowed", WIRE),
    ("{1, 2, 4}", "0..4", "range-widened", NOTE),
    ("max 64", "max 32", "max-narrowed", WIRE),
    ("max 64", "max 128", "max-widened", NOTE),
    ("name max 16", "name max 32", "max-widened", WIRE),
    ("data[n]", "data[n * 2]", "slot-dim", WIRE),
    ("u32 n in 0..16, bytes data[n]", "u32 m in 0..16, bytes data[m]", "renamed", SOURCE),
    ("out string name max 16", "out u32 size", "slot-type", WIRE),
    ("u32 pick in {1, 2, 4}) = 1", "u32 pick in {1, 2, 4}, u32 more) = 1", "added", WIRE),
    (", out string name max 16", "", "removed", WIRE),
    ("    sync u32 two(Open o) = 4 on_lost 0;\n", "", "removed", WIRE),
    ("two(Open o) = 4", "two(Open o) = 5", "ordinal", WIRE),
    ("u32 two(Open", "u32 deux(Open", "renamed", SOURCE),
    ("on_lost 0", "on_lost 1", "procedure-on-lost", NOTE),
    ("reserved 3,", "sync void more() = 6; reserved 3,", "added", NOTE),
    ("reserved 3, 8..9", "reserved 8..9", "reserved", WIRE),
    ("reserved 3, 8..9", "async late() = 9; reserved 3, 8", "reserved", WIRE),
    ("reserved callback 2,", "callback async more() = 9; reserved callback 2,", "added", NOTE),
    ("reserved callback 2,", "callback async more() = 3; reserved callback 2,", "added", NOTE),
    ("reserved callback 2, 5..6;", "reserved callback 5..6;", "reserved", WIRE),
    ("reserved callback 2,", "callback async late() = 2; reserved callback", "reserved", WIRE),
    ("    callback async told(u32 n) = 1;\n", "", "removed", WIRE),
    ("    async set", "    sync void set", "procedure-call", WIRE),
    ("interface thing group 3", "interface thing group 4", "group", WIRE),
    ("interface thing group", "interface other group", "renamed", SOURCE),
    ("module t.base", "module t.other", "module-name", SOURCE),
    ("version 1.4", "version 1.3", "version", WIRE),
]


def contract(folder: Path, name: str, text: str):
    path = folder / name
    path.write_text(text)
    found, compiled = read_contract(path)
    assert found is not None, compiled and compiled.findings.text()
    return found


def changes(folder: Path, old: str, new: str) -> list[Change]:
    return compare(contract(folder, "old.vidl", old), contract(folder, "new.vidl", new))


@pytest.mark.parametrize(("text", "other", "rule", "kind"), CHANGES, ids=lambda v: str(v)[:24])
def test_a_change_is_classified(
    tmp_path: Path, text: str, other: str, rule: str, kind: Class
) -> None:
    new = BASE.replace(text, other).replace("version 1.4", "version 1.5")
    if rule == "version":
        new = BASE.replace(text, other)
    assert new != BASE
    found = changes(tmp_path, BASE, new)
    assert (rule, kind) in {(c.rule, c.kind) for c in found}
    if kind is not WIRE:
        assert not [c for c in found if c.kind is WIRE]


def test_nothing_changed_is_nothing_said(tmp_path: Path) -> None:
    assert changes(tmp_path, BASE, BASE) == []
    relaid = BASE.replace("    ", "  ").replace("interface", "/// Docs.\ninterface")
    assert changes(tmp_path, BASE, relaid) == []


def test_the_same_minor_version_needs_the_same_hash(tmp_path: Path) -> None:
    new = BASE.replace("reserved 3,", "sync void more() = 6; reserved 3,")
    assert "version" in {c.rule for c in changes(tmp_path, BASE, new) if c.kind is WIRE}


def test_a_new_major_version_cannot_be_misread(tmp_path: Path) -> None:
    new = BASE.replace("version 1.4", "version 2.0").replace("max 64", "max 32")
    assert {c.kind for c in changes(tmp_path, BASE, new)} == {SOURCE}


def test_changes_stand_at_their_places_in_both_files(tmp_path: Path) -> None:
    new = "\n" + BASE.replace("left in 0..9", "left in 1..9").replace("1.4", "1.5")
    (change,) = (c for c in changes(tmp_path, BASE, new) if c.kind is WIRE)
    assert str(change.old) == f"{tmp_path}/old.vidl:7:19"
    assert str(change.new) == f"{tmp_path}/new.vidl:8:19"


@pytest.mark.parametrize("path", sorted((HERE / "data").glob("*.vidl")), ids=lambda p: p.name)
def test_a_lock_holds_all_that_is_compared(path: Path) -> None:
    found, _ = read_contract(path)
    assert found is not None
    text = lock_text(found)
    again = read_lock(text)
    assert compare(again, found) == []
    assert lock_text(again) == text


def test_a_procedure_hash_covers_its_types(tmp_path: Path) -> None:
    def hashes(text: str) -> dict[str, str]:
        entry = contract(tmp_path, "a.vidl", text)
        procs = [p for i in entry.of("interface") for p in i.of("procedure")]
        return {p.name: p.text("hash") for p in procs}

    before, after = hashes(BASE), hashes(BASE.replace("left in 0..9", "left in 0..8"))
    assert before["get"] != after["get"]
    assert before["set"] == after["set"]


@pytest.mark.parametrize("text", ["", "x\ny\nz\n", "#\nvidl-lock 1\nmodule a\n const x y=\n"])
def test_what_is_no_lock_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="lock"):
        read_lock(text)


def test_lock_then_breaking_against_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "a.vidl"
    file.write_text(BASE)
    assert main(["lock", "--check", str(file)]) == 1
    assert main(["lock", str(file)]) == 0
    assert main(["lock", "--check", str(file)]) == 0
    assert main(["breaking", str(file)]) == 0
    capsys.readouterr()
    file.write_text(BASE.replace("two(Open o) = 4", "two(Open o) = 5").replace("1.4", "1.5"))
    assert main(["breaking", str(file)]) == 1
    text = capsys.readouterr().out
    assert "wire[ordinal] procedure thing.two: ordinal was 4 and is 5" in text
    assert f"old: {file}.lock:" in text
    assert f"new: {file}:11:14" in text
    assert main(["lock", str(file)]) == 1
    assert main(["breaking", str(file)]) == 1
    assert main(["lock", "--accept", str(file)]) == 0
    assert main(["breaking", str(file)]) == 0


def test_strictness_is_the_users(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old, new = tmp_path / "old.vidl", tmp_path / "new.vidl"
    old.write_text(BASE)
    new.write_text(BASE.replace("u32 two(", "u32 deux(").replace("1.4", "1.5"))
    assert main(["breaking", str(old), str(new)]) == 0
    assert main(["breaking", "--strict", "source", str(old), str(new)]) == 1
    capsys.readouterr()
    assert main(["breaking", "--json", str(old), str(new)]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["ok"] is True
    assert data["changes"][0]["class"] == "source"
    assert data["changes"][0]["old"]["line"] == 11


def test_files_with_mistakes_answer_1(tmp_path: Path) -> None:
    bad = tmp_path / "bad.vidl"
    bad.write_text("idl 1; module t.bad version 1.0; const u32 A = B;")
    assert main(["lock", str(bad)]) == 1
    assert main(["breaking", str(bad), str(bad)]) == 1
    assert main(["breaking", str(tmp_path / "none.vidl")]) == 1
