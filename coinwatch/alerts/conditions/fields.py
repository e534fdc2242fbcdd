"""The fields of conditions: type, bounds and unit, how each is parsed, and how people fill it in.

A struct declares a field as ``percent: Annotated[float, percent()]``. The annotation serves the parser,
the JSON Schema, the dashboard's form and the command line.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from math import nextafter
from typing import Any, get_args

import msgspec

from coinwatch.alerts.field_parsers import (
    MAX_WINDOW_S,
    MIN_WINDOW_S,
    Parse,
    choice_parser,
    count_parser,
    duration_parser,
    number_parser,
    read_exchanges,
    read_job,
    read_price,
)
from coinwatch.intervals import Interval

INTERVALS = {interval.value: interval.value for interval in Interval}
WINDOWS = ("5m", "15m", "1h", "4h", "24h", "7d", "30d")
"""Durations that forms offer for a window."""
MAX_PERCENT = 10_000
DURATION_PATTERN = r"^\s*\d{1,9}\s*(?:[sS]|[sS][eE][cC]|[mM]|[mM][iI][nN]|[hH]|[dD]|[wW])\s*$"


class Kind(StrEnum):
    """How a person fills in a field."""

    PRICE = "price"
    NUMBER = "number"
    COUNT = "count"
    DURATION = "duration"
    CHOICE = "choice"
    EXCHANGES = "exchanges"
    """Two of those that trade the pair."""
    TEXT = "text"
    PARTS = "parts"
    """Other conditions."""


@dataclass(frozen=True)
class Field:
    """A field of a condition or of a rule's terms."""

    label: str
    kind: Kind
    parse: Parse | None = None
    """From JSON; None where the caller parses the field itself."""
    start: Any = None
    """The value a form starts with."""
    choices: Mapping[str, str] = field(default_factory=dict)
    """The values to choose from, with their labels."""
    low: float | None = None
    high: float | None = None
    """Bounds of a form. The parser's can be wider, so that rules stored earlier stay readable."""
    step: float = 1.0
    usual: tuple[str, ...] = ()
    """Durations to offer; any other can be typed."""
    optional: bool = False
    """Whether a form may leave it empty."""
    hint: str | None = None
    schema: Mapping[str, Any] | None = None
    """JSON Schema of its JSON, if that is not of the type in the struct."""
    only_with: Mapping[str, str] = field(default_factory=dict)
    """The field has a meaning only with these values of other fields."""
    name: str = ""
    """In the protocol."""
    attribute: str = ""
    """Of the struct."""
    default: Any = msgspec.NODEFAULT
    """The value if it is left out; NODEFAULT if it is required or computed."""
    is_required: bool = True

    @property
    def fitting(self) -> Any:
        """A value that is valid."""
        if self.start is None:
            return {Kind.PRICE: 1.0, Kind.DURATION: "1h", Kind.EXCHANGES: ["binance", "kraken"]}.get(
                self.kind
            )
        return self.start

    def matters(self, values: Mapping[str, Any]) -> bool:
        """Whether it has a meaning beside these values of the other fields."""
        return all(values.get(name) == value for name, value in self.only_with.items())


def fields_of_struct(struct: type[msgspec.Struct]) -> tuple[Field, ...]:
    """The annotated fields of a struct in the order of the protocol: its own before inherited ones."""
    own = set(struct.__annotations__)
    infos = sorted(msgspec.structs.fields(struct), key=lambda info: info.name not in own)
    return tuple(
        replace(
            meta.extra["field"],
            name=info.encode_name,
            attribute=info.name,
            default=info.default,
            is_required=info.required,
        )
        for info in infos
        for meta in get_args(info.type)[1:]
    )


def price(label: str = "Price", *, start: float | None = None, hint: str | None = None) -> msgspec.Meta:
    """A finite price above 0, in the quote asset."""
    return _meta(Field(label, Kind.PRICE, read_price, start, hint=hint), gt=0)


def percent(label: str = "Percent", *, start: float = 1.0, hint: str | None = None) -> msgspec.Meta:
    """A number of percent above 0, up to 10,000."""
    parse = number_parser(
        "a number of percent above 0, up to 10,000, like 5 or 0.5", above=0, at_most=MAX_PERCENT
    )
    return _meta(Field(label, Kind.NUMBER, parse, start, step=0.1, hint=hint), gt=0, le=MAX_PERCENT)


def times(label: str, *, start: float) -> msgspec.Meta:
    """A multiple above 0."""
    parse = number_parser("a multiple of the usual, above 0, like 3", above=0, at_most=1e6)
    return _meta(Field(label, Kind.NUMBER, parse, start, step=0.5), gt=0, le=1_000_000)


def level(label: str, low: float, high: float, *, start: float, step: float = 1.0) -> msgspec.Meta:
    """A level of an index or score, from ``low`` to ``high``."""
    parse = number_parser("a number from -1 to 100, like 70", above=nextafter(-1, -2), at_most=100)
    field = Field(label, Kind.NUMBER, parse, start, low=low, high=high, step=step)
    return _meta(field, ge=-1, le=100)


def count(label: str, least: int, most: int, *, start: int) -> msgspec.Meta:
    """A whole number within these bounds."""
    return _meta(Field(label, Kind.COUNT, count_parser(least, most), start), ge=least, le=most)


def duration(
    label: str,
    *,
    start: str,
    usual: tuple[str, ...] = WINDOWS,
    least_s: int = MIN_WINDOW_S,
    longest_s: int = MAX_WINDOW_S,
    hint: str | None = None,
) -> msgspec.Meta:
    """A duration, ``"15m"`` or a number of seconds; seconds in the struct."""
    parse = duration_parser(least_s, longest_s)
    seconds = {"type": "integer", "minimum": least_s, "maximum": longest_s}
    schema = {"anyOf": [seconds, {"type": "string", "pattern": DURATION_PATTERN}]}
    field = Field(label, Kind.DURATION, parse, start, usual=usual, hint=hint, schema=schema)
    return _meta(field, ge=least_s, le=longest_s)


def choice(
    values: type[StrEnum],
    label: str,
    labels: Mapping[str, str],
    *,
    start: str,
    hint: str | None = None,
    only_with: Mapping[str, str] | None = None,
) -> msgspec.Meta:
    """A value of an enumeration; ``labels`` name the values for people."""
    parse = choice_parser(values)
    return _meta(
        Field(label, Kind.CHOICE, parse, start, choices=labels, hint=hint, only_with=only_with or {})
    )


def exchanges() -> msgspec.Meta:
    """Two names of exchanges."""
    return _meta(Field("Exchanges", Kind.EXCHANGES, read_exchanges))


def job() -> msgspec.Meta:
    """The name of a Dagster job; any job if it is left out."""
    hint = "The name of a pipeline job, as Dagster shows it. Leave it empty for any job."
    return _meta(Field("Job", Kind.TEXT, read_job, optional=True, hint=hint))


def parts(most: int) -> msgspec.Meta:
    """Up to ``most`` conditions."""
    return _meta(Field("Conditions", Kind.PARTS), min_length=1, max_length=most)


def _meta(field: Field, **bounds: Any) -> msgspec.Meta:
    return msgspec.Meta(extra={"field": field}, **bounds)
