"""The protocol: JSON-RPC in frames, positions that count from 0 and in UTF-16 units."""

from __future__ import annotations

import json
import urllib.parse
from collections.abc import Callable
from typing import Any, BinaryIO

from hyplink.diagnostics import Diagnostic
from hyplink.errors import IdlError
from hyplink.idl.compat.places import Spot
from hyplink.idl.format import format_text
from hyplink.idl.lsp.analysis import Document

__all__ = ["Server", "serve"]

_UNKNOWN_METHOD = -32601
_FAILED = -32803


class Server:
    """Answers messages; ``send`` takes what goes to the editor."""

    def __init__(self, send: Callable[[dict[str, Any]], None]) -> None:
        self._send = send
        self._documents: dict[str, Document] = {}
        self.stopped = False
        self._methods: dict[str, Callable[[dict[str, Any]], Any]] = {
            "initialize": self._initialize,
            "shutdown": lambda _: None,
            "exit": self._exit,
            "textDocument/didOpen": self._open,
            "textDocument/didChange": self._change,
            "textDocument/didClose": self._close,
            "textDocument/hover": self._hover,
            "textDocument/definition": self._definition,
            "textDocument/formatting": self._format,
        }

    def handle(self, message: dict[str, Any]) -> None:
        """One message of the editor."""
        method, number = message.get("method"), message.get("id")
        action = self._methods.get(method) if isinstance(method, str) else None
        if action is None:
            if number is not None and method is not None:
                self._refuse(number, _UNKNOWN_METHOD, f"no method {method}")
            return
        try:
            result = action(message.get("params") or {})
        except (IdlError, KeyError, TypeError, ValueError) as error:
            if number is not None:
                self._refuse(number, _FAILED, f"{method}: {error}")
            return
        if number is not None:
            self._send({"jsonrpc": "2.0", "id": number, "result": result})

    def _refuse(self, number: Any, code: int, text: str) -> None:
        error = {"code": code, "message": text}
        self._send({"jsonrpc": "2.0", "id": number, "error": error})

    def _initialize(self, _: dict[str, Any]) -> dict[str, Any]:
        return {
            "capabilities": {
                "textDocumentSync": 1,  # whole texts
                "hoverProvider": True,
                "definitionProvider": True,
                "documentFormattingProvider": True,
            },
            "serverInfo": {"name": "hyplink idl"},
        }

    def _exit(self, _: dict[str, Any]) -> None:
        self.stopped = True

    def _open(self, params: dict[str, Any]) -> None:
        item = params["textDocument"]
        self._look(item["uri"], item["text"])

    def _change(self, params: dict[str, Any]) -> None:
        self._look(params["textDocument"]["uri"], params["contentChanges"][-1]["text"])

    def _close(self, params: dict[str, Any]) -> None:
        uri = params["textDocument"]["uri"]
        self._documents.pop(uri, None)
        self._publish(uri, [])

    def _look(self, uri: str, text: str) -> None:
        document = Document(_path(uri), text)
        self._documents[uri] = document
        self._publish(uri, [_diagnostic(document, found) for found in document.findings()])

    def _publish(self, uri: str, found: list[dict[str, Any]]) -> None:
        method = "textDocument/publishDiagnostics"
        params = {"uri": uri, "diagnostics": found}
        self._send({"jsonrpc": "2.0", "method": method, "params": params})

    def _at(self, params: dict[str, Any]) -> tuple[Document, int, int]:
        document = self._documents[params["textDocument"]["uri"]]
        line, character = params["position"]["line"], params["position"]["character"]
        text = document.lines[line] if line < len(document.lines) else ""
        column = len(text.encode("utf-16-le")[: 2 * character].decode("utf-16-le", "ignore"))
        return document, line + 1, column + 1

    def _hover(self, params: dict[str, Any]) -> dict[str, Any] | None:
        document, line, column = self._at(params)
        text = document.hover(line, column)
        return {"contents": {"kind": "markdown", "value": text}} if text else None

    def _definition(self, params: dict[str, Any]) -> dict[str, Any] | None:
        document, line, column = self._at(params)
        spot = document.definition(line, column)
        if spot is None:
            return None
        return {"uri": _uri(spot.file), "range": _range(spot, 0)}

    def _format(self, params: dict[str, Any]) -> list[dict[str, Any]]:
        document = self._documents[params["textDocument"]["uri"]]
        text = format_text(document.text, document.path)
        if text == document.text:
            return []
        end = {"line": len(document.lines) + 1, "character": 0}
        return [{"range": {"start": {"line": 0, "character": 0}, "end": end}, "newText": text}]


def _path(uri: str) -> str:
    return urllib.parse.unquote(urllib.parse.urlsplit(uri).path) or uri


def _uri(path: str) -> str:
    return "file://" + urllib.parse.quote(path)


def _range(spot: Spot, length: int) -> dict[str, Any]:
    line, start = max(0, spot.line - 1), max(0, spot.column - 1)
    return {
        "start": {"line": line, "character": start},
        "end": {"line": line, "character": start + length},
    }


def _diagnostic(document: Document, found: Diagnostic) -> dict[str, Any]:
    spot = Spot(found.file, found.line, found.column)
    if 1 <= found.line <= len(document.lines):
        before = document.lines[found.line - 1][: found.column - 1]
        spot = spot._replace(column=len(before.encode("utf-16-le")) // 2 + 1)
    text = found.message + (f"\nhint: {found.hint}" if found.hint else "")
    return {
        "range": _range(spot, found.length),
        "severity": 1 if found.severity == "error" else 2,
        "code": found.code,
        "source": "hyplink",
        "message": text,
    }


def serve(source: BinaryIO, sink: BinaryIO) -> int:
    """Read frames until the editor says so, or hangs up."""

    def send(message: dict[str, Any]) -> None:
        body = json.dumps(message, ensure_ascii=False).encode()
        sink.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
        sink.flush()

    server = Server(send)
    while not server.stopped:
        length = 0
        while (line := source.readline()).strip():
            name, _, value = line.partition(b":")
            if name.strip().lower() == b"content-length":
                length = int(value)
        if not line:
            return 0
        try:
            message = json.loads(source.read(length))
        except ValueError:
            continue
        if isinstance(message, dict):
            server.handle(message)
    return 0
