"""The registry of conditions: each declaration is complete, and answers what is asked of a condition."""

from __future__ import annotations

import json

import pytest

from coinwatch.alerts import conditions as c
from coinwatch.alerts.condition_parser import read_condition
from coinwatch.alerts.conditions.fields import Kind
from coinwatch.intervals import Interval

ABOVE = c.Above(price=1.0)
ON_AVERAGE = c.Above(price=1.0, source=c.Source.AVERAGE)
ON_CLOSE = c.Above(price=1.0, source=c.Source.CANDLE, interval=Interval.M1)
UP = c.Crosses(price=1.0, way=c.Way.UP)
EITHER = c.Crosses(price=1.0)
SILENT = c.Silent(for_s=60)
FEAR = c.FearGreed(level=20.0, side=c.Direction.BELOW)
FAILED = c.JobFailed()
SPREAD = c.Spread(exchanges=("binance", "kraken"), percent=1.0)
VOLUME = c.Volume(over_s=60, times=3.0)
RSI = c.Rsi(level=70.0, side=c.Direction.ABOVE, interval=Interval.H1)
OFF_AVERAGE = c.FromAverage(percent=1.0)


def both(*parts: c.Condition) -> c.Condition:
    return c.All(of=parts)


@pytest.mark.parametrize("name", c.DECLARATIONS)
def test_every_declaration_is_complete(name: str) -> None:
    declared = c.DECLARATIONS[name]
    condition = read_condition(json.loads(declared.example))
    assert c.declaration(condition) is declared
    assert condition.phrase()
    assert declared.title
    assert declared.description.endswith(".")
    assert all(field.label and field.name and field.attribute for field in declared.fields)


@pytest.mark.parametrize("name", c.singles())
def test_every_single_condition_has_an_option_and_fields_to_fill_in(name: str) -> None:
    declared = c.DECLARATIONS[name]
    assert declared.options
    names = [field.name for field in declared.fields]
    assert len(names) == len(set(names))
    assert {option.fills for option in declared.options} - {None} <= set(names)
    choices = [field for field in declared.fields if field.kind is Kind.CHOICE]
    assert all(field.start in field.choices for field in choices)


def test_options_of_the_command_line_are_distinct() -> None:
    names = [option.name for declared in c.singles().values() for option in declared.options]
    assert len(names) == len(set(names))


def test_conditions_on_no_market() -> None:
    assert c.needs_no_market(both(FEAR, FAILED))
    assert not c.needs_no_market(both(FEAR, ABOVE))


def test_conditions_on_each_market() -> None:
    assert all(map(c.is_per_market, (ABOVE, ON_CLOSE, SILENT, VOLUME, RSI, OFF_AVERAGE, both(FEAR, UP))))
    assert not any(map(c.is_per_market, (ON_AVERAGE, FEAR, FAILED, SPREAD)))


def test_conditions_on_the_health_of_markets() -> None:
    assert all(map(c.is_market_health, (SILENT, c.OpenGap())))
    assert not any(map(c.is_market_health, (FEAR, FAILED, ABOVE)))


def test_momentary_conditions() -> None:
    assert all(map(c.is_momentary, (EITHER, FAILED, both(UP, EITHER))))
    assert not any(map(c.is_momentary, (UP, ABOVE, SILENT)))
    declared = c.declaration(EITHER)
    assert declared.is_momentary({"type": "crosses", "price": 1.0})
    assert not declared.is_momentary({"direction": "up"})


def test_data_that_conditions_are_evaluated_on() -> None:
    assert c.is_polled(both(ABOVE, SILENT))
    assert not c.is_polled(RSI)
    assert c.needs_average(ON_AVERAGE)
    assert c.needs_average(OFF_AVERAGE)
    assert not c.needs_average(ABOVE)
    assert c.needs_events(both(ABOVE, FAILED))
    assert not c.needs_events(FEAR)
    assert all(map(c.is_met_by_trades, (ABOVE, VOLUME, OFF_AVERAGE, FEAR)))
    assert not any(map(c.is_met_by_trades, (ON_AVERAGE, ON_CLOSE, RSI)))
    assert all(map(c.needs_one_market_only, (ABOVE, VOLUME, both(UP, VOLUME))))
    assert not any(map(c.needs_one_market_only, (SPREAD, ON_CLOSE, both(UP, RSI))))
    assert all(map(c.is_known_at_once, (ABOVE, ON_CLOSE, SILENT, FAILED)))
    assert not any(map(c.is_known_at_once, (ON_AVERAGE, UP, VOLUME)))


def test_exchanges_that_a_condition_names() -> None:
    assert c.compared_exchanges(both(ABOVE, SPREAD)) == {"binance", "kraken"}
    assert c.compared_exchanges(ABOVE) == frozenset()


def test_usual_volume_is_of_a_day_or_ten_windows() -> None:
    assert VOLUME.usual_s == 86_400
    assert c.Volume(over_s=86_400, times=2.0).usual_s == 864_000
