"""The plain text of HTML."""

from __future__ import annotations

import pytest

from coinwatch.outside.markup import LONGEST_MARKUP, plain_text


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("A <b>currency</b>.", "A currency."),
        ('<a href="https://x"\nclass=y>Bitcoin</a> &amp; more', "Bitcoin & more"),
        ("a<script type=x>alert('<b>')</script >b<STYLE>p{}</style>c<script>d", "abc"),
        ("a<br/>b<p>c</p>d\ne  f", "a\nb\ncd\ne f"),
        ("1 < 2 & 3 > 2", "1 < 2 & 3 > 2"),
        ("a <!-- <b> --> c", "a c"),
        ("x <a<a<a y", "x <a<a<a y"),
        ("&#8217;&eacute;&nosuch;&#x41;&#0;&#xD800;", "\u2019\xe9&nosuch;A\ufffd\ufffd"),
        ("a&#" + "9" * 5_000 + ";b&#x" + "f" * 5_000 + "c", "a\ufffdb\ufffd"),
        ("a\0b", "ab"),
        ("", ""),
    ],
)
def test_markup_becomes_text(markup: str, text: str) -> None:
    assert plain_text(markup) == text
    assert type(plain_text(markup)) is str, "not Markup, which templates would not escape"


def test_long_markup_is_cut() -> None:
    assert plain_text("x" * 50_000) == "x" * LONGEST_MARKUP
