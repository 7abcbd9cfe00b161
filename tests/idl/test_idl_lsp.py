"""The language server: what an editor asks, and what it is told."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hyplink.idl.lsp import Document, Server, serve

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
TEXT = """idl 1;
module t.lsp version 1.0;
import "shapes.vidl" as shp;

/// How fast.
enum Mode : u8 { SLOW = 0; FAST = 1; }
const u32 MOST = 8;

/// Things.
interface thing group 3 {
    /// Draw it.
    async draw(Mode mode, shp.Point at, u32 n in 0..MOST, bytes data[n] max 8) = 1;
}
"""


@pytest.fixture
def path(tmp_path: Path) -> str:
    shapes = (HERE / "data/shapes.vidl").read_text()
    (tmp_path / "shapes.vidl").write_text(shapes)
    return str(tmp_path / "a.vidl")


def place(text: str, word: str, occurrence: int = 0) -> tuple[int, int]:
    """Line and column, from 1, of a word in the text."""
    at = -1
    for _ in range(occurrence + 1):
        at = text.index(word, at + 1)
    return text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at)


def test_hover_says_what_a_name_is(path: str) -> None:
    document = Document(path, TEXT)
    assert "enum Mode : u8 { SLOW = 0; FAST = 1; }" in document.hover(*place(TEXT, "Mode mode"))
    assert "How fast." in document.hover(*place(TEXT, "Mode mode"))
    assert "struct Point { i16 x; i16 y; }" in document.hover(*place(TEXT, "Point"))
    assert "const u32 MOST = 8" in document.hover(*place(TEXT, "MOST,"))
    assert "request at most" in document.hover(*place(TEXT, "draw"))
    assert "u32 n in 0..8" in document.hover(*place(TEXT, "n]"))
    assert "group 3" in document.hover(*place(TEXT, "thing"))
    assert document.hover(*place(TEXT, "async")) == ""
    assert document.hover(99, 1) == ""


def test_definition_leads_to_the_declaration(path: str) -> None:
    document = Document(path, TEXT)
    for word, there in (("Mode mode", "Mode :"), ("MOST,", "MOST ="), ("n]", "n in")):
        spot = document.definition(*place(TEXT, word))
        assert spot is not None
        assert (spot.file, spot.line, spot.column) == (path, *place(TEXT, there))
    spot = document.definition(*place(TEXT, "Point"))
    assert spot is not None
    assert spot.file.endswith("shapes.vidl")
    assert document.definition(1, 1) is None


def test_a_broken_text_still_has_places(path: str) -> None:
    broken = TEXT.replace("u32 n in 0..MOST", "u32 n in 0..MORE")
    document = Document(path, broken)
    assert [d.code for d in document.findings()] == ["VIDL0040"]
    assert document.definition(*place(broken, "Mode mode")) is not None


class Editor:
    """Talks to a server in this process."""

    def __init__(self) -> None:
        self.heard: list[dict[str, Any]] = []
        self.server = Server(self.heard.append)
        self.number = 0

    def tell(self, method: str, **params: Any) -> None:
        self.server.handle({"jsonrpc": "2.0", "method": method, "params": params})

    def ask(self, method: str, **params: Any) -> Any:
        self.number += 1
        message = {"jsonrpc": "2.0", "id": self.number, "method": method, "params": params}
        self.server.handle(message)
        answer = self.heard.pop()
        assert answer["id"] == self.number
        return answer.get("result", answer.get("error"))

    def open(self, uri: str, text: str) -> list[dict[str, Any]]:
        self.tell("textDocument/didOpen", textDocument={"uri": uri, "text": text})
        return list(self.heard.pop()["params"]["diagnostics"])


def test_an_editor_gets_diagnostics_hover_definition_and_layout(path: str) -> None:
    editor, uri = Editor(), f"file://{path}"
    assert editor.ask("initialize")["capabilities"]["hoverProvider"] is True
    (advice,) = editor.open(uri, TEXT.replace("/// Draw it.\n    ", ""))
    assert (advice["severity"], advice["code"]) == (2, "LINT02 missing-doc")
    change = [{"text": TEXT.replace("Mode mode", "Moed mode")}]
    editor.tell("textDocument/didChange", textDocument={"uri": uri}, contentChanges=change)
    (error,) = editor.heard.pop()["params"]["diagnostics"]
    line, column = place(TEXT, "Mode mode")
    assert error["severity"] == 1
    assert error["range"]["start"] == {"line": line - 1, "character": column - 1}
    assert "did you mean 'Mode'" in error["message"]
    editor.open(uri, TEXT)
    where = {"textDocument": {"uri": uri}, "position": {"line": line - 1, "character": column - 1}}
    assert "How fast." in editor.ask("textDocument/hover", **where)["contents"]["value"]
    found = editor.ask("textDocument/definition", **where)
    assert found["uri"] == uri
    assert found["range"]["start"]["line"] == place(TEXT, "Mode :")[0] - 1
    assert editor.ask("textDocument/formatting", textDocument={"uri": uri}) == []
    editor.open(uri, TEXT.replace("MOST = 8", "MOST=8"))
    (edit,) = editor.ask("textDocument/formatting", textDocument={"uri": uri})
    assert edit["newText"] == TEXT
    editor.tell("textDocument/didClose", textDocument={"uri": uri})
    assert editor.heard.pop()["params"]["diagnostics"] == []


def test_what_it_does_not_know_is_refused_and_nothing_ends_it() -> None:
    editor = Editor()
    assert editor.ask("textDocument/rename")["code"] == -32601
    assert editor.ask("textDocument/hover", textDocument={"uri": "file:///no"})["code"] == -32803
    editor.tell("textDocument/didChange")
    editor.tell("$/setTrace")
    assert editor.heard == []
    assert editor.ask("shutdown") is None


def frame(message: dict[str, Any]) -> bytes:
    body = json.dumps(message).encode()
    return b"Content-Length: %d\r\n\r\n" % len(body) + body


def test_frames_in_and_out() -> None:
    source = io.BytesIO(
        frame({"id": 1, "method": "initialize"}) + b"Content-Length: 3\r\n\r\n{x}" + frame({})
    )
    sink = io.BytesIO()
    assert serve(source, sink) == 0
    head, _, body = sink.getvalue().partition(b"\r\n\r\n")
    assert int(head.partition(b":")[2]) == len(body)
    assert json.loads(body)["id"] == 1


def test_the_command_speaks_on_its_standard_streams() -> None:
    env = {**os.environ, "PYTHONPATH": str(ROOT / "src/python")}
    said = frame({"id": 1, "method": "shutdown"}) + frame({"method": "exit"})
    done = subprocess.run(
        [sys.executable, "-m", "hyplink.idl", "lsp"], input=said, capture_output=True, env=env
    )
    assert done.returncode == 0
    assert done.stdout.endswith(b'"result": null}')
