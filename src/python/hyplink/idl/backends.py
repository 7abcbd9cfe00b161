"""From a model to files, for every language there is."""

from __future__ import annotations

from collections.abc import Callable

from hyplink.idl.model import Model

__all__ = ["LANGUAGES", "generate"]


def _cpp(model: Model) -> dict[str, str]:
    from hyplink.idl import cpp

    return cpp.generate(model)


def _mock(model: Model) -> dict[str, str]:
    from hyplink.idl.cpp import mock

    return mock.generate(model)


def _fuzz(model: Model) -> dict[str, str]:
    from hyplink.idl.cpp import fuzz

    return fuzz.generate(model)


def _c(model: Model) -> dict[str, str]:
    from hyplink.idl import c

    return c.generate(model)


def _python(model: Model) -> dict[str, str]:
    from hyplink.idl import python

    return python.generate(model)


def _stub(model: Model) -> dict[str, str]:
    from hyplink.idl import python

    return python.generate_stub(model)


def _json(model: Model) -> dict[str, str]:
    from hyplink.idl.model_json import to_json

    return {f"{model.stem}.json": to_json(model)}


def _markdown(model: Model) -> dict[str, str]:
    from hyplink.idl import markdown

    return markdown.generate(model)


#: Language to generator; a generator sees the model and nothing else.
LANGUAGES: dict[str, Callable[[Model], dict[str, str]]] = {
    "c": _c,
    "cpp": _cpp,
    "mock": _mock,
    "fuzz": _fuzz,
    "py": _python,
    "pyi": _stub,
    "json": _json,
    "md": _markdown,
}


def generate(model: Model, language: str) -> dict[str, str]:
    """File name to text. Equal models give equal bytes.

    Raises:
        ValueError: there is no such language.
    """
    if language not in LANGUAGES:
        raise ValueError(f"no generator for {language!r}; there are {', '.join(LANGUAGES)}")
    return LANGUAGES[language](model)
