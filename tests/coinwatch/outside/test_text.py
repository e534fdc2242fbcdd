"""Text of others in messages of ours."""

from __future__ import annotations

from coinwatch.errors import LONGEST_MESSAGE, BadMessage
from coinwatch.outside.text import one_line


def test_control_characters_are_replaced() -> None:
    assert (
        one_line("a\0b\nc\x1b[2Jd\u2028e\ud800f\x85", 100) == "a\ufffdb\ufffdc\ufffd[2Jd\ufffde\ufffdf\ufffd"
    )
    assert one_line("Prix d'é 5 €", 100) == "Prix d'é 5 €"


def test_long_text_is_cut() -> None:
    assert one_line("x" * 50, 10) == "x" * 10
    assert len(str(BadMessage("wire", "x" * 1_000_000))) == LONGEST_MESSAGE
