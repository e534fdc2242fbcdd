"""A batch as the spool stores it: bytes that keep their meaning after a restart. Pure: no I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from coinwatch.records import Market, Trade
from ingest_daemon.storage.queue import Batch
from warehouse.trades.gaps import Ending, LedgerEntries, Opening

_Row = tuple[int, int, int, float, float, bool]
"""Index of the market in ``markets``, then the other fields of a trade."""


class _Spooled(msgspec.Struct, array_like=True):
    markets: list[tuple[int, str]]
    """Id and name: another database has other ids."""
    trades: list[_Row]
    past: list[_Row]
    openings: list[Opening]
    endings: list[Ending]
    received_us: int


_decode = msgspec.msgpack.Decoder(_Spooled).decode
_encode = msgspec.msgpack.Encoder().encode


def encode(batch: Batch, entries: LedgerEntries, market_ids: Mapping[Market, int]) -> bytes:
    """Encode ``batch`` and ``entries``, which stand for its interruptions."""
    markets = list(market_ids)
    place = {market: index for index, market in enumerate(markets)}
    return _encode(
        _Spooled(
            [(market_ids[market], str(market)) for market in markets],
            [_row(place, trade) for trade in batch.trades],
            [_row(place, trade) for trade in batch.past],
            entries.openings,
            entries.endings,
            batch.received_us,
        )
    )


def markets_in(payload: bytes) -> list[Market]:
    """The markets that a record may refer to."""
    return [Market.canonical(name) for _, name in _decode(payload).markets]


def decode(payload: bytes, market_ids: Mapping[Market, int]) -> tuple[Batch, LedgerEntries]:
    """Return what ``encode`` was given, with the ids of ``market_ids``."""
    spooled = _decode(payload)
    markets = [Market.canonical(name) for _, name in spooled.markets]
    new_ids = {old: market_ids[market] for (old, _), market in zip(spooled.markets, markets, strict=True)}
    entries = LedgerEntries(
        [msgspec.structs.replace(row, market_id=new_ids[row.market_id]) for row in spooled.openings],
        [msgspec.structs.replace(row, market_id=new_ids[row.market_id]) for row in spooled.endings],
    )
    trades = [_trade(markets, row) for row in spooled.trades]
    past = [_trade(markets, row) for row in spooled.past]
    return Batch([], trades, past, spooled.received_us), entries


def _row(place: Mapping[Market, int], trade: Trade) -> _Row:
    return (
        *(place[trade.market], trade.trade_id, trade.ts_us),
        *(trade.price, trade.amount, trade.taker_buys),
    )


def _trade(markets: Sequence[Market], row: _Row) -> Trade:
    place, trade_id, ts_us, price, amount, taker_buys = row
    return Trade(markets[place], trade_id, ts_us, price, amount, taker_buys)
