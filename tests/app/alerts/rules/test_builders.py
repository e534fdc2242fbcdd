"""The rule engine can evaluate every condition."""

from __future__ import annotations

import json

import pytest

from app.alerts.rules.builders import ConditionTreeBuilder
from app.alerts.rules.market_state import MarketState
from coinwatch.alerts.condition_parser import read_condition
from coinwatch.alerts.conditions import DECLARATIONS
from coinwatch.records import Market

BINANCE = Market.canonical("binance:BTC-USDT")


@pytest.mark.parametrize("name", DECLARATIONS)
def test_every_condition_has_a_tree(name: str) -> None:
    market_state = MarketState()
    market = market_state.market(1, BINANCE)
    builder = ConditionTreeBuilder(
        market_state, market_state.pair(BINANCE.symbol), market, owner=None, hysteresis=0.0, was_met=False
    )
    tree = builder.build(read_condition(json.loads(DECLARATIONS[name].example)))
    assert not tree.is_met()
    assert all(len(threshold.series.thresholds) for threshold in tree.thresholds())
    assert not any(tree.memory())
