"""Frames as bytes."""

from __future__ import annotations

import pytest

from simulator.wire import binary_frame, framing, text_frame


@pytest.mark.parametrize(
    ("length", "header"),
    [(125, b"\x7d"), (126, b"\x7e\x00\x7e"), (65_536, b"\x7f" + (65_536).to_bytes(8, "big"))],
)
def test_lengths_have_the_shortest_form(length: int, header: bytes) -> None:
    payload = b"x" * length
    assert text_frame(payload) == b"\x81" + header + payload
    assert binary_frame(payload) == b"\x82" + header + payload


def test_a_binary_venue_sends_json_as_text() -> None:
    mixed, text = framing(binary=True), framing(binary=False)
    assert mixed(b'{"code":0}') == text(b'{"code":0}') == text_frame(b'{"code":0}')
    assert mixed(b"\x1f\x8b") == binary_frame(b"\x1f\x8b")
    assert text(b"\x1f\x8b") == text_frame(b"\x1f\x8b")
