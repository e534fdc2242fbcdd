"""HTML from Jinja2 templates: every value is escaped, and each widget is one template.

A template lies beside its page and is named after page and widget: ``overview/cards.html.j2`` is the file
``app/dashboard/overview/templates/cards.html.j2``. Templates that pages share are ``ui/*.html.j2``; their
macros (pills, times, prices, facts, tables, notes) are in ``ui/macros.html.j2``. A page builds plain values
and calls::

    html.wrap(render("overview/cards.html.j2", view=view, now_us=now_us, zone=zone))

Rules for templates:

- Values are escaped. ``render`` returns ``Markup``, which is HTML already, so a rendered part can be a value
  of another template. No module calls ``html.escape``; ``Markup(...)`` is only for HTML written in this
  project, and ``|safe`` is refused by a test.
- An undefined name is an error. Optional values are passed as None or an empty text.
- A line break is not part of the page, nor are the spaces around it, so a template can be indented freely.
  Where inline text needs a space at a line break, write ``{{ " " }}``.
- The functions of ``coinwatch.formats`` that take one value are filters (``{{ card.price | price }}``), and
  so are ``us`` (an aware datetime as microseconds) and Jinja's ``urlencode``; ``age``, ``local``,
  ``of_change``, ``UNKNOWN`` and ``DAY_US`` are globals.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from jinja2 import Environment, FunctionLoader, StrictUndefined
from jinja2.ext import Extension
from markupsafe import Markup

from app.dashboard.ui.trend import of_change
from coinwatch import formats
from coinwatch.times import DAY_US, from_datetime

PAGES = Path(__file__).parents[1]

_FORMATS: tuple[Callable[..., str], ...] = (
    formats.price,
    formats.price_like,
    formats.compact,
    formats.size,
    formats.percent,
    formats.basis_points,
    formats.share,
    formats.signed,
    formats.integer,
    formats.duration,
    formats.clock,
    formats.moment,
    formats.names,
)


class _JoinLines(Extension):
    """Drops line breaks and the spaces around them; the lines of error messages stay right."""

    _BREAK = re.compile(r"(\{%.*?%\}|\{\{.*?\}\}|\{#.*?#\})|[ \t]*\n[ \t]*", re.DOTALL)

    def preprocess(self, source: str, name: str | None, filename: str | None = None) -> str:
        return self._BREAK.sub(lambda match: match[1] or "{#\n#}", source)


def _load(name: str) -> tuple[str, str, Callable[[], bool]] | None:
    page, _, file = name.partition("/")
    path = PAGES / page / "templates" / file
    if not path.is_file():
        return None
    return path.read_text(encoding="utf-8"), str(path), lambda: True


def _environment() -> Environment:
    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        loader=FunctionLoader(_load),
        extensions=[_JoinLines],
        auto_reload=False,
        cache_size=-1,
    )
    environment.filters |= {function.__name__: function for function in _FORMATS}
    environment.filters["us"] = from_datetime
    environment.globals |= {
        "age": formats.age,
        "local": formats.local,
        "of_change": of_change,
        "UNKNOWN": formats.UNKNOWN,
        "DAY_US": DAY_US,
    }
    return environment


ENVIRONMENT = _environment()
"""Compiles each template once a process."""


def render(name: str, **values: object) -> Markup:
    """The HTML of the template ``name`` with ``values``.

    Raises:
        jinja2.TemplateNotFound: there is no such template.
        jinja2.UndefinedError: the template uses a name that is not among ``values``.
    """
    return Markup(ENVIRONMENT.get_template(name).render(values))  # noqa: S704 -- the template escaped its values


def macro(name: str, *values: object) -> Markup:
    """The HTML of a macro of ``ui/macros.html.j2``, where a template of its own would hold nothing else."""
    shared = ENVIRONMENT.get_template("ui/macros.html.j2").module
    html: Markup = getattr(shared, name)(*values)
    return html
