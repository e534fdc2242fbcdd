from __future__ import annotations

import json
from collections.abc import Mapping
from math import inf, nan
from typing import Any

import pytest

from app.dashboard.alerts import fields as alerts_fields
from app.dashboard.alerts import form as alerts_form
from app.dashboard.alerts.fields import CONDITIONS
from app.dashboard.alerts.form import Checked, Draft, draft_at, draft_of
from coinwatch.alerts import NO_MARKET, Above, All, Crosses, NewRule, Repeat, Source, Spread, Way
from coinwatch.alerts import Any as AnyOf
from coinwatch.alerts.condition_parser import EXAMPLES, read_condition
from coinwatch.alerts.conditions import singles
from coinwatch.alerts.conditions.fields import Kind
from coinwatch.errors import CoinwatchError
from coinwatch.intervals import Interval
from coinwatch.records import Market, Symbol
from coinwatch.times import DAY_US, SECOND_US

KNOWN = [Market.canonical(name) for name in ("binance:BTC-USDT", "kraken:BTC-USDT", "kraken:ETH-EUR")]
NOW_US = 1_795_176_000 * SECOND_US

TYPES = list(singles())
ABOVE = {"type": "above", "price": 70_000.0, "source": "trade", "interval": "1h"}


def check(
    *parts: Mapping[str, Any], typed: str = "btcusdt", join: str = "all", note: str = "", **terms: Any
) -> Checked:
    return alerts_form.check(typed, parts or (ABOVE,), join, terms, note, KNOWN, NOW_US)


def made(*parts: Mapping[str, Any], **more: Any) -> NewRule:
    checked = check(*parts, **more)
    assert checked.faults == {}
    assert checked.rule is not None
    return checked.rule


def fresh(kind: str) -> dict[str, Any]:
    """A condition as the form begins with it, with what has no beginning filled in."""
    missing = {Kind.PRICE: 70_000.0, Kind.EXCHANGES: ["binance", "kraken"]}
    fields = CONDITIONS[kind].fields
    return {"type": kind} | {
        field.name: missing.get(field.kind) if field.start is None else field.start for field in fields
    }


def test_a_rule_takes_any_spelling() -> None:
    assert made(typed=" btcusdt", note="  take\nprofit ") == NewRule(
        symbol=Symbol("BTC", "USDT"),
        condition=Above(price=70_000.0),
        typed=" btcusdt",
        note="take profit",
        client="dashboard",
    )
    assert alerts_form.sentence(made()) == "BTC-USDT at or above 70,000.00"


def test_a_market_watches_its_exchange_only() -> None:
    rule = made({"type": "below", "price": 0.5}, typed="kraken:eth/eur")
    assert (rule.exchange, rule.note) == ("kraken", None)
    assert alerts_form.sentence(rule) == "ETH-EUR on kraken at or below 0.50000"


@pytest.mark.parametrize("kind", TYPES)
def test_the_start_of_a_form_is_a_rule_and_loads_again(kind: str) -> None:
    rule = made(fresh(kind), repeat="every", cooldown="5m", note="hm")
    assert rule.condition.phrase()
    draft = draft_of(rule, editing=7)
    assert draft.editing == 7
    parts = [fresh(kind) | dict(part) for part in draft.parts]
    again = made(*parts, typed=draft.typed, note=draft.note, **draft.terms)
    assert (again.condition, again.terms, again.note) == (rule.condition, rule.terms, rule.note)


@pytest.mark.parametrize("kind", TYPES)
def test_the_form_loads_any_condition_of_its_type(kind: str) -> None:
    condition = read_condition(json.loads(EXAMPLES[kind]))
    rule = NewRule(symbol=Symbol("BTC", "USDT"), condition=condition, typed="btcusdt", client="dashboard")
    (part,) = draft_of(rule).parts
    assert made(fresh(kind) | dict(part)).condition == condition


def test_a_condition_on_no_market_needs_no_symbol() -> None:
    rule = made({"type": "job_failed", "job": "candles"}, typed="<nothing>")
    assert (rule.symbol, rule.exchange, rule.typed) == (NO_MARKET, None, "NO-MARKET")
    assert alerts_form.sentence(rule) == "The job candles failed"
    assert "symbol" in check({"type": "job_failed"}, ABOVE, typed="<nothing>").faults


def test_several_conditions_are_joined() -> None:
    parts = (fresh("above"), fresh("rsi"))
    assert isinstance(made(*parts).condition, All)
    both = made(*parts, join="any")
    assert isinstance(both.condition, AnyOf)
    assert draft_of(both).join == "any"
    assert [part["type"] for part in draft_of(both).parts] == ["above", "rsi"]
    nested = All(of=(AnyOf(of=(Above(price=1.0),)),))
    with pytest.raises(CoinwatchError, match="nested"):
        draft_of(NewRule(symbol=Symbol("BTC", "USDT"), condition=nested, typed="btcusdt"))


def test_terms_are_parsed() -> None:
    rule = made(
        repeat="candle",
        candle="1h",
        hysteresis=0.5,
        cooldown="5m",
        holds_for="10s",
        confirmed_on=2,
        expires="7d",
        template="{symbol} {price}",
        quiet_hours={"from": "22:00", "to": "07:00", "tz": "Europe/Berlin"},
    )
    terms = rule.terms
    assert (terms.repeat, terms.candle, terms.hysteresis, terms.cooldown_s) == (Repeat.CANDLE, "1h", 0.5, 300)
    assert (terms.holds_for_s, terms.confirmed_on) == (10, 2)
    assert terms.expires_at_us == NOW_US + 7 * DAY_US
    assert terms.quiet is not None
    draft = draft_of(rule)
    assert made(*draft.parts, **draft.terms).terms == terms


@pytest.mark.parametrize(
    ("typed", "text"),
    [
        ("DOGE-USDT", "no market trades DOGE-USDT"),
        ("binance:ETH-EUR", "did you mean kraken:ETH-EUR"),
        ("bitmart:BTC-USDT", "nknown exchange"),
        ("<b>", "<b>"),
    ],
)
def test_an_unknown_symbol_gets_a_clear_message(typed: str, text: str) -> None:
    assert text in check(typed=typed).faults["symbol"]


@pytest.mark.parametrize(
    ("part", "place", "text"),
    [
        ({"type": "above", "price": None}, "0.price", "Required."),
        ({"type": "above", "price": 0.0}, "0.price", "above 0"),
        ({"type": "above", "price": -1.0}, "0.price", "above 0"),
        ({"type": "above", "price": nan}, "0.price", "finite"),
        ({"type": "above", "price": inf}, "0.price", "finite"),
        (fresh("change") | {"within": "soon"}, "0.within", "a duration from 5s to 366d"),
        (fresh("change") | {"within": ""}, "0.within", "Required."),
        (fresh("change") | {"percent": 0.0}, "0.percent", "percent above 0"),
        (fresh("spread") | {"exchanges": ["kraken"]}, "0.exchanges", "two names"),
        (fresh("ma_cross") | {"fast": 300}, "0.fast", "fewer candles fast than slow"),
        (fresh("rsi") | {"level": 101.0}, "0.level", "from 0 to 100"),
        (fresh("sentiment") | {"level": 5.0}, "0.level", "from -1 to 1"),
        (fresh("volume") | {"usual": "5m"}, "0.usual", "twice as long"),
    ],
)
def test_an_invalid_value_is_reported_at_its_field(part: dict[str, Any], place: str, text: str) -> None:
    checked = check(part)
    assert checked.rule is None
    assert text in checked.faults[place]
    assert text in check(ABOVE, part).faults[place.replace("0.", "1.")]


@pytest.mark.parametrize(
    ("terms", "place", "text"),
    [
        ({"cooldown": "a bit"}, "cooldown", "a duration"),
        ({"hysteresis": 60.0}, "hysteresis", "from 0 to 50"),
        ({"expires": "2020-01-01T00:00Z"}, "expires", "a future moment"),
        ({"template": "{secret}"}, "template", "{symbol}"),
        ({"confirmed_on": 0}, "confirmed_on", "1 to 50"),
        ({"quiet_hours": {"from": "08:00", "to": "08:00", "tz": "UTC"}}, "quiet_hours", "snooze"),
    ],
)
def test_an_invalid_term_is_reported_at_its_field(terms: dict[str, Any], place: str, text: str) -> None:
    checked = check(repeat="every", **terms)
    assert checked.rule is None
    assert text in checked.faults[place]


def test_a_note_has_a_length() -> None:
    assert "200" in check(note="x" * 201).faults["note"]


def test_terms_without_a_meaning_are_not_shown() -> None:
    def names(*parts: dict[str, Any], repeat: str = "every", exchanges: int = 3) -> set[str]:
        return {field.name for field in alerts_form.shown_terms(parts, repeat, exchanges)}

    often = {"hysteresis", "cooldown"}
    more = {"holds_for", "confirmed_on", "expires", "template"}
    assert names(ABOVE) == often | more
    assert names(ABOVE, repeat="once") == more
    assert names(ABOVE, repeat="candle") == often | more | {"candle"}
    assert "confirmed_on" not in names(ABOVE, exchanges=1)
    assert "confirmed_on" not in names(fresh("fear_greed"))
    assert not {"holds_for", "confirmed_on"} & names(fresh("crosses"))
    assert "holds_for" in names(fresh("crosses") | {"direction": "up"})
    assert "hysteresis" not in names(fresh("gap"))
    assert "hysteresis" in names(fresh("gap"), ABOVE)


def test_fields_without_a_meaning_are_not_shown() -> None:
    interval = next(field for field in CONDITIONS["above"].fields if field.name == "interval")
    assert not interval.matters({"source": "trade"})
    assert interval.matters({"source": "candle"})
    assert made(ABOVE | {"source": "candle"}).condition == Above(
        price=70_000.0, source=Source.CANDLE, interval=Interval.H1
    )


@pytest.mark.parametrize(
    ("raw", "price"),
    [
        ("67000.5", 67_000.5),
        ("67,000.5", 67_000.5),
        ("1e-05", 0.00001),
        (None, None),
        ("", None),
        ("abc", None),
        ("nan", None),
        ("inf", None),
        ("-1", None),
        ("0", None),
        ("1e300", None),
        ("<b>", None),
    ],
)
def test_a_price_in_an_address_can_be_invalid(raw: str | None, price: float | None) -> None:
    parsed, message = alerts_form.price_from(raw)
    assert parsed == price
    assert bool(message) == (price is None and bool(raw))


def test_a_price_below_the_current_one_is_watched_from_above() -> None:
    assert draft_at("btcusdt", "above", 60_000.0, 67_000.0).parts == ({"type": "below", "price": 60_000.0},)
    assert draft_at("btcusdt", "above", 70_000.0, 67_000.0).parts == ({"type": "above", "price": 70_000.0},)
    assert draft_at("btcusdt", "rsi", None, None) == Draft("btcusdt", ({"type": "rsi"},))


def test_prices_that_a_rule_names() -> None:
    both = All(of=(Above(price=1.0), Crosses(price=2.0, way=Way.UP), Spread(exchanges=("a", "b"), percent=1)))
    rule = NewRule(symbol=Symbol("BTC", "USDT"), condition=both, typed="btcusdt")
    assert alerts_form.price_levels(rule) == (1.0, 2.0)


def test_each_field_is_described_once() -> None:
    for form in CONDITIONS.values():
        names = [field.name for field in form.fields]
        assert len(names) == len(set(names))
    terms = [field.name for field in (alerts_fields.REPEAT, *alerts_fields.REPEATING, *alerts_fields.MORE)]
    assert len(terms) == len(set(terms))
