"""Compares true trades with stored ones and with unfillable stream gaps. Pure: no I/O."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence

import msgspec

from coinwatch.records import Trade
from sources.exchanges.base import Exchange, Paging

Span = tuple[int, int]
"""From and to, in microseconds."""


class Tally(msgspec.Struct):
    """Counts of trades in a period."""

    true: int = 0
    lost: int = 0
    """Not stored, and in no unfillable gap, or their exchange returns its whole history."""
    unfillable: int = 0
    """Not stored, and in an unfillable gap."""
    denied: int = 0
    """Stored, although inside an unfillable gap."""
    twice: int = 0
    wrong: int = 0
    """Stored, but never traded, or with other values."""

    @property
    def is_exact(self) -> bool:
        """Whether every trade is stored once or inside an unfillable gap."""
        return not (self.lost or self.denied or self.twice or self.wrong)

    def __add__(self, other: Tally) -> Tally:
        return Tally(*(getattr(self, name) + getattr(other, name) for name in self.__struct_fields__))


def count(
    exchange: Exchange,
    true: Sequence[Trade],
    everything: Collection[Trade],
    stored: Collection[Trade],
    unfillable: Sequence[Span],
) -> Tally:
    """Count the trades of a market.

    Args:
        exchange: Its exchange.
        true: What was traded in the period.
        everything: At least what was traded in each minute of which anything is stored.
        stored: What is stored.
        unfillable: Unfillable gaps, whose ends are known trades.
    """
    if exchange.has_trade_ids:
        missing, twice, wrong = _by_id(exchange, true, everything, stored)
    else:
        missing, twice, wrong = _by_numbers(true, everything, stored)
    shows_all = exchange.trade_paging is not Paging.NEWEST
    lost = [trade for trade in missing if shows_all or not _lies_in(trade, unfillable)]
    gone = {id(trade) for trade in missing}
    # Of the trades in the last moment before the end of a gap, some may be stored.
    moment_us = max(exchange.rest_ts_step_us, 1_000)
    inner = [(start_us + 1, end_us - moment_us) for start_us, end_us in unfillable]
    return Tally(
        true=len(true),
        lost=len(lost),
        unfillable=len(missing) - len(lost),
        denied=sum(_lies_in(trade, inner) and id(trade) not in gone for trade in true),
        twice=twice,
        wrong=wrong,
    )


def _by_id(
    exchange: Exchange, true: Sequence[Trade], everything: Collection[Trade], stored: Collection[Trade]
) -> tuple[list[Trade], int, int]:
    known = {trade.trade_id: trade for trade in everything}
    ids = {trade.trade_id for trade in stored}
    missing = [trade for trade in true if trade.trade_id not in ids]
    wrong = sum(not _same(known.get(trade.trade_id), trade, exchange.rest_ts_step_us) for trade in stored)
    return missing, len(stored) - len(ids), wrong


def _by_numbers(
    true: Sequence[Trade], everything: Collection[Trade], stored: Collection[Trade]
) -> tuple[list[Trade], int, int]:
    known, there = Counter(map(_numbers, everything)), Counter(map(_numbers, stored))
    missing = []
    for trade in true:
        if there[_numbers(trade)] > 0:
            there[_numbers(trade)] -= 1
        else:
            missing.append(trade)
    surplus = Counter(map(_numbers, stored)) - known
    wrong = sum(times for numbers, times in surplus.items() if numbers not in known)
    return missing, surplus.total() - wrong, wrong


def _lies_in(trade: Trade, spans: Sequence[Span]) -> bool:
    return any(start_us <= trade.ts_us <= end_us for start_us, end_us in spans)


def _numbers(trade: Trade) -> tuple[int, float, float, bool]:
    return trade.ts_us, trade.price, trade.amount, trade.taker_buys


def _same(true: Trade | None, stored: Trade, step_us: int) -> bool:
    """Whether they are the same trade; its time may have the lower resolution of REST."""
    if true is None or stored.ts_us not in (true.ts_us, true.ts_us - true.ts_us % step_us):
        return False
    return _numbers(true)[1:] == _numbers(stored)[1:]
