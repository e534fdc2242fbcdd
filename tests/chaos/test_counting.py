"""The count of the chaos tests detects every kind of error."""

from __future__ import annotations

from typing import ClassVar

import pytest

from coinwatch.records import Market, Trade
from sources.exchanges import EXCHANGES
from sources.exchanges.base import Exchange, Paging
from sources.exchanges.kraken import Kraken
from tests.chaos.counting import Span, Tally, count

MARKET = Market.canonical("kraken:BTC-USD")


class ShowsNewest(Kraken):
    trade_paging: ClassVar[Paging] = Paging.NEWEST


class WithoutIds(ShowsNewest):
    has_trade_ids: ClassVar[bool] = False


def trade(number: int, *, price: float = 1.0, trade_id: int | None = None) -> Trade:
    return Trade(MARKET, number if trade_id is None else trade_id, number * 1_000_000, price, 1.0, True)


TRUE = [trade(number) for number in range(1, 11)]


def counted(stored: list[Trade], unfillable: list[Span], exchange: Exchange | None = None) -> Tally:
    return count(exchange or ShowsNewest(), TRUE, TRUE, stored, unfillable)


@pytest.mark.parametrize("exchange", [EXCHANGES["kraken"], ShowsNewest(), WithoutIds()])
def test_trades_stored_once_are_exact(exchange: Exchange) -> None:
    tally = counted(TRUE, [], exchange)
    assert tally == Tally(true=10)
    assert tally.is_exact


@pytest.mark.parametrize("exchange", [EXCHANGES["kraken"], ShowsNewest(), WithoutIds()])
def test_trades_not_stored_are_lost(exchange: Exchange) -> None:
    tally = counted(TRUE[:4] + TRUE[5:], [], exchange)
    assert tally == Tally(true=10, lost=1)
    assert not tally.is_exact


@pytest.mark.parametrize("exchange", [ShowsNewest(), WithoutIds()])
def test_unfillable_trades_are_counted_apart(exchange: Exchange) -> None:
    stored, span = TRUE[:3] + TRUE[6:], (3_000_000, 7_000_000)
    assert counted(stored, [span], exchange) == Tally(true=10, unfillable=3)
    assert counted(stored[:-1], [span], exchange) == Tally(true=10, unfillable=3, lost=1)


def test_unfillable_trades_of_a_full_history_are_lost() -> None:
    stored, span = TRUE[:3] + TRUE[6:], (3_000_000, 7_000_000)
    assert counted(stored, [span], EXCHANGES["kraken"]) == Tally(true=10, lost=3)


def test_stored_trades_must_not_be_unfillable() -> None:
    tally = counted(TRUE, [(3_000_000, 7_000_000)])
    assert tally == Tally(true=10, denied=3)
    assert not tally.is_exact


def test_a_trade_stored_under_two_days_is_twice() -> None:
    assert counted([*TRUE, TRUE[3]], []) == Tally(true=10, twice=1)


def test_without_ids_a_trade_stored_under_two_is_twice() -> None:
    assert counted([*TRUE, trade(4, trade_id=99)], [], WithoutIds()) == Tally(true=10, twice=1)


@pytest.mark.parametrize("exchange", [ShowsNewest(), WithoutIds()])
def test_trades_that_never_happened_are_wrong(exchange: Exchange) -> None:
    assert counted([*TRUE, trade(99)], [], exchange) == Tally(true=10, wrong=1)


def test_changed_numbers_are_wrong() -> None:
    assert counted([*TRUE[:-1], trade(10, price=2.0)], []) == Tally(true=10, wrong=1)
    assert counted([*TRUE[:-1], trade(11, trade_id=10)], []) == Tally(true=10, wrong=1)
