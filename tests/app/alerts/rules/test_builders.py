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
    world = MarketState()
    market = world.market(1, BINANCE)
    builder = ConditionTreeBuilder(
        world, world.pair(BINANCE.symbol), market, owner=None, hysteresis=0.0, was_met=False
    )
    tree = builder.build(read_condition(json.loads(DECLARATIONS[name].example)))
    assert not tree.is_met()
    assert all(len(leg.series.ladder) for leg in tree.legs())
    assert not any(tree.memory())
