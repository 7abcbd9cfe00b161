"""Wayland protocols: requests are procedures, events are callbacks, objects are handles."""

from __future__ import annotations

from pathlib import Path

import pytest

from hyplink.idl.importers import import_file

HERE = Path(__file__).parent


def test_requests_events_and_objects() -> None:
    text = import_file(HERE / "toy.xml").text
    assert "handle ToyBox : u32;" in text
    assert (
        "sync ToyBox order(ToyShop self, ToyBoxColour colour, in string note? max 4K) = 1 creates;"
        in text
    )
    assert "callback async void on_sold_out(ToyShop self, i32 when) = 1;" in text
    assert "async void destroy(ToyBox self) = 1 destroys self;" in text
    assert "in ToyBox other?" in text
    assert "N4BIT = 0x0001;" in text


def test_what_has_no_word_is_a_hook() -> None:
    draft = import_file(HERE / "toy.xml").draft
    assert [(hook.procedure, hook.reason) for hook in draft.hooks] == [
        ("toy_shop.pay", "'card' is a file descriptor"),
        ("toy_shop.anything", "'id' is an object of a type that is known only at run time"),
    ]


def test_the_core_protocol_is_described_whole() -> None:
    installed = Path("/usr/share/wayland/wayland.xml")
    if not installed.exists():
        pytest.skip("the Debian package libwayland-bin is not installed")
    draft = import_file(installed).draft
    assert len(draft.interfaces) >= 22
    assert {hook.reason.split(" is ", 1)[1] for hook in draft.hooks} == {
        "an object of any type",
        "an object of a type that is known only at run time",
        "a file descriptor",
    }
