"""Reads the replies of the alert endpoint. Pure: no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

import msgspec

from coinwatch.alerts import Condition, Terms
from coinwatch.alerts.condition_parser import read_condition, read_terms
from coinwatch.alerts.field_parsers import InvalidField
from coinwatch.errors import BadMessage
from coinwatch.times import from_datetime


class WatchedRule(msgspec.Struct, frozen=True, kw_only=True):
    """A rule as the endpoint stores it."""

    rule_id: int
    symbol: str
    exchange: str | None
    """None: the pair on any exchange."""
    condition: Condition
    terms: Terms
    note: str | None
    created_us: int
    fired_us: int | None
    """The last time; None: not yet."""
    snoozed_until_us: int | None
    paused: bool
    """Whether it was paused for firing too often. ``resume`` ends that."""


class WouldFire(msgspec.Struct, frozen=True):
    """When a watch would have fired."""

    ts_us: int
    exchange: str | None
    price: float | None
    message: str
    value: float | None = None


class PreviewSpan(msgspec.Struct, frozen=True):
    """A span of time and what a preview read of it."""

    since_us: int
    until_us: int
    by: Literal["trades", "candles", "nothing"]
    """``candles`` stood in for trades; ``nothing``: nothing is stored, and it may have fired there."""


class Previewed(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a backtest."""

    symbol: str
    exchange: str | None
    since_us: int
    until_us: int
    trades: int
    """How many were examined."""
    coverage: list[PreviewSpan]
    """What each span from ``since_us`` to ``until_us`` stands on, in order."""
    complete: bool
    """Whether no span is ``nothing``."""
    paused: bool
    """Whether it would have been paused for firing too often."""
    count: int
    """How often it would have fired."""
    fired: list[WouldFire]
    """The first of these, the first time first."""


def read_rule(fields: Mapping[str, Any]) -> WatchedRule:
    """Read a rule from an ``ack``. Raises BadMessage."""
    try:
        condition = read_condition(fields["condition"])
        return WatchedRule(
            rule_id=fields["rule_id"],
            symbol=fields["symbol"],
            exchange=fields["exchange"],
            condition=condition,
            terms=read_terms(fields, condition),
            note=fields["note"],
            created_us=_moment(fields["created_at"]),
            fired_us=_moment_or_none(fields.get("fired_at")),
            snoozed_until_us=_moment_or_none(fields.get("snoozed_until")),
            paused=fields.get("paused", False),
        )
    except (KeyError, TypeError, ValueError, InvalidField) as error:
        raise _bad("rule", error, fields) from None


def read_previewed(fields: Mapping[str, Any]) -> Previewed:
    """Read a backtest from an ``ack``. Raises BadMessage."""
    try:
        return Previewed(
            since_us=_moment(fields["since"]),
            until_us=_moment(fields["until"]),
            fired=[
                WouldFire(
                    _moment(fired["ts"]),
                    fired["exchange"],
                    fired["price"],
                    fired["message"],
                    fired.get("value"),
                )
                for fired in fields["fired"]
            ],
            coverage=[
                PreviewSpan(_moment(span["from"]), _moment(span["to"]), span["by"])
                for span in fields["coverage"]
            ],
            **{
                name: fields[name] for name in ("symbol", "exchange", "trades", "complete", "paused", "count")
            },
        )
    except (KeyError, TypeError, ValueError) as error:
        raise _bad("preview", error, fields) from None


def _moment(text: str) -> int:
    return from_datetime(datetime.fromisoformat(text))


def _moment_or_none(text: str | None) -> int | None:
    return None if text is None else _moment(text)


def _bad(what: str, error: Exception, fields: Mapping[str, Any]) -> BadMessage:
    return BadMessage("alerts", f"not a {what} of the alert protocol: {error!r}", repr(dict(fields)))
