"""What the tests of pages share."""

from __future__ import annotations

from collections.abc import Callable

from streamlit.testing.v1 import AppTest
from streamlit.testing.v1.element_tree import Button

from coinwatch.times import MINUTE_US, SECOND_US
from coinwatch.windows import Window
from tests.app.dashboard.stock import Stock

OpenPage = Callable[..., AppTest]
NOWHERE = "postgresql://unknown@127.0.0.1:1/nothing"


def words(page: AppTest) -> str:
    """All HTML of the page. Fails when the page shows an error of its own."""
    assert not page.exception, page.exception
    html = "\n".join(str(element.body) for element in page.html)
    assert "could not be drawn" not in html, html
    return html


def button(page: AppTest, label: str) -> Button:
    """The first with this label."""
    return next(button for button in page.button if button.label == label)


def lately(stock: Stock) -> Window:
    """The last minutes up to this second."""
    second_us = stock.now_us // SECOND_US * SECOND_US
    return Window(second_us - 5 * MINUTE_US, second_us + SECOND_US)
