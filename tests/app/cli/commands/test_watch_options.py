"""Options of ``coinwatch watch`` as conditions and terms of the protocol."""

from __future__ import annotations

from typing import Any

import pytest
import typer

from app.cli.commands.watch_options import conditions, terms
from coinwatch.alerts.condition_parser import EXAMPLES, read_condition


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"above": 2.0, "below": None}, [{"type": "above", "price": 2.0}]),
        ({"above": 2.0, "below": 1.0}, [{"type": "above", "price": 2.0}, {"type": "below", "price": 1.0}]),
        ({"crosses": 2.0, "direction": "up"}, [{"type": "crosses", "price": 2.0, "direction": "up"}]),
        (
            {"falls": 5.0, "within": "15m", "on_average": True},
            [{"type": "change", "percent": 5.0, "within": "15m", "direction": "fall", "source": "average"}],
        ),
        ({"every": 5.0, "base": 100.0}, [{"type": "every", "percent": 5.0, "base": 100.0}]),
        ({"new_high": "7d"}, [{"type": "new_high", "over": "7d"}]),
        (
            {"new_low": "7d", "on_close": "1h"},
            [{"type": "new_low", "over": "7d", "source": "candle", "interval": "1h"}],
        ),
        ({"off_average": 1.0}, [{"type": "from_average", "percent": 1.0}]),
        (
            {"spread": 0.5, "between": "binance, kraken"},
            [{"type": "spread", "percent": 0.5, "exchanges": ["binance", "kraken"]}],
        ),
        ({"volume": 3.0, "within": "5m"}, [{"type": "volume", "times": 3.0, "over": "5m"}]),
        (
            {"ma_cross": "50,200", "interval": "1h"},
            [{"type": "ma_cross", "fast": 50, "slow": 200, "interval": "1h"}],
        ),
        (
            {"rsi_above": 70.0, "interval": "1h"},
            [{"type": "rsi", "level": 70.0, "direction": "above", "interval": "1h"}],
        ),
        ({"fear_below": 20.0}, [{"type": "fear_greed", "level": 20.0, "direction": "below"}]),
        ({"sentiment_above": 0.3}, [{"type": "sentiment", "level": 0.3, "direction": "above"}]),
        ({"silent": "1m", "gap": True}, [{"type": "silent", "for": "1m"}, {"type": "gap"}]),
        ({"depeg": 0.5, "gap": False}, [{"type": "depeg", "percent": 0.5}]),
        ({"job_failed": "any"}, [{"type": "job_failed"}]),
        ({"job_failed": "candles"}, [{"type": "job_failed", "job": "candles"}]),
    ],
)
def test_options_make_conditions(options: dict[str, Any], expected: list[dict[str, Any]]) -> None:
    assert conditions(options) == expected
    for condition in expected:
        read_condition(condition)


def test_options_cover_every_condition() -> None:
    options = {
        "above": 1.0,
        "below": 1.0,
        "crosses": 1.0,
        "every": 1.0,
        "base": 1.0,
        "moves": 1.0,
        "within": "1h",
        "new_high": "1h",
        "new_low": "1h",
        "off_average": 1.0,
        "spread": 1.0,
        "between": "a1,b1",
        "volume": 2.0,
        "ma_cross": "1,2",
        "interval": "1h",
        "rsi_below": 30.0,
        "greed_above": 80.0,
        "sentiment_below": -0.5,
        "silent": "1m",
        "gap": True,
        "depeg": 1.0,
        "job_failed": "any",
    }
    assert {condition["type"] for condition in conditions(options)} == EXAMPLES.keys() - {"all", "any"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"falls": 5.0}, "needs --within"),
        ({"falls": 5.0, "within": "soon"}, "--within"),
        ({"spread": 5.0}, "needs --between"),
        ({"ma_cross": "fast", "interval": "1h"}, "like 50,200"),
        ({"rsi_above": 70.0}, "needs --interval"),
        ({"rsi_above": 700.0, "interval": "1h"}, "level is 700"),
        ({"above": 1.0, "within": "1h"}, "--within belongs to none"),
        ({"gap": True, "on_average": True}, "--on-average belongs to none"),
        ({"above": 1.0, "on_average": True, "on_close": "1h"}, "not both"),
    ],
)
def test_invalid_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(typer.BadParameter, match=message):
        conditions(options)


def test_terms() -> None:
    assert terms({"repeat": False, "cooldown": None}) == {}
    assert terms({"repeat": True, "cooldown": "1h", "confirmed_on": 2}) == {
        "repeat": "every",
        "cooldown": "1h",
        "confirmed_on": 2,
    }
    assert terms({"once_per": "1h"}) == {"repeat": "candle", "candle": "1h"}
    assert terms({"quiet": "22:00-07:00 Europe/Berlin"}) == {
        "quiet_hours": {"from": "22:00", "to": "07:00", "tz": "Europe/Berlin"}
    }
    with pytest.raises(typer.BadParameter, match="22:00-07:00"):
        terms({"quiet": "night"})
