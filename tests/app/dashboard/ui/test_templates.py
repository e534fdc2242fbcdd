"""Templates: values are escaped, line breaks are dropped, undefined names are errors."""

from __future__ import annotations

import re
from datetime import UTC
from pathlib import Path

import pytest
from jinja2 import UndefinedError
from markupsafe import Markup

from app.dashboard.ui.templates import ENVIRONMENT, PAGES, render
from app.dashboard.ui.trend import Trend
from coinwatch.times import DAY_US, MINUTE_US

TEMPLATES = sorted(PAGES.glob("*/templates/*.j2"))


def rendered(source: str, **values: object) -> str:
    return ENVIRONMENT.from_string(source).render(values)


def test_values_are_escaped_and_rendered_parts_are_not() -> None:
    part = render("ui/empty.html.j2", title="<b>", paragraphs=())
    assert "&lt;b&gt;" in part
    assert rendered("{{ text }}{{ part }}", text="<i>", part=part) == f"&lt;i&gt;{part}"


def test_an_undefined_name_is_an_error() -> None:
    with pytest.raises(UndefinedError, match="price"):
        rendered("{{ price }}")


def test_line_breaks_and_the_spaces_around_them_are_dropped() -> None:
    source = '<p>\n  a\n  {% if true\n  %}b{% endif %}\n  {{ " " }}\n  c d</p>\n'
    assert rendered(source) == "<p>ab c d</p>"


def test_an_error_names_the_line_of_the_template() -> None:
    with pytest.raises(ZeroDivisionError) as error:
        rendered("<p>\n  a\n  {{ 1 / 0 }}\n</p>")
    assert error.traceback[-1].lineno == 2  # counted from 0


def test_formats_are_filters() -> None:
    assert rendered("{{ 67123.456 | price }} {{ 0.0123 | percent }}") == "67,123.46 +1.23 %"


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: f"{path.parts[-3]}/{path.name}")
def test_templates_compile_and_mark_nothing_as_safe(path: Path) -> None:
    source = path.read_text()
    assert not re.search(r"\|\s*safe\b|autoescape", source), "values stay escaped"
    ENVIRONMENT.get_template(f"{path.parts[-3]}/{path.name}")


def test_a_table_marks_its_columns_and_escapes_its_cells() -> None:
    source = '{% from "ui/macros.html.j2" import table %}{{ table("Prices", columns, rows) }}'
    columns = [("Exchange", "name", ""), ("Price", "number", "Of its last trade")]
    html = rendered(source, columns=columns, rows=[["<kraken>", Markup("<b>1</b>")]])
    assert '<td class="name">&lt;kraken&gt;</td><td class="number"><b>1</b></td>' in html
    assert '<span class="cw-term" title="Of its last trade">Price</span>' in html


def test_a_table_takes_its_rows_from_a_call_block() -> None:
    source = """
      {% from "ui/macros.html.j2" import table %}
      {% call table("Prices", [("Price", "", "")]) %}<tr><td>1</td></tr>{% endcall %}
    """
    assert "<tbody><tr><td>1</td></tr></tbody>" in rendered(source)


def test_the_time_macro_shows_the_zone_and_utc() -> None:
    source = '{% from "ui/macros.html.j2" import time %}{{ time(0, zone) }}'
    assert (
        rendered(source, zone=UTC) == '<time title="1 Jan 1970, 00:00:00 UTC">1 Jan 1970, 00:00:00 UTC</time>'
    )


def test_a_price_shows_the_way_it_went() -> None:
    source = '{% from "ui/macros.html.j2" import price, change %}{{ price(100.0, trend, moved=true) }}'
    html = rendered(source, trend=Trend.UP)
    assert html == (
        '<div class="cw-price up moved"><b>100.00</b>'
        '<span class="arrow" role="img" aria-label="up since the last change">▲</span></div>'
    )


@pytest.mark.parametrize(
    ("share", "span_us", "html"),
    [
        (None, DAY_US, '<div class="cw-change muted">—</div>'),
        (0.0123, DAY_US, '<div class="cw-change up">▲ +1.23 % <span class="muted">24 h</span></div>'),
        (
            -0.00001,
            60 * MINUTE_US,
            '<div class="cw-change flat">0.00 % <span class="muted">in 1.0 h so far</span></div>',
        ),
    ],
)
def test_a_change_shows_its_span(share: float | None, span_us: int, html: str) -> None:
    source = '{% from "ui/macros.html.j2" import change %}{{ change(share, span_us) }}'
    assert rendered(source, share=share, span_us=span_us) == html
