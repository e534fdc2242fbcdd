"""The stable read surface: views that keep their meaning while the tables below them change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, text


@dataclass(frozen=True)
class View:
    """A public view. Columns are only ever added, at the end."""

    name: str
    meaning: str
    columns: Mapping[str, str]
    """What each column means, in order."""
    query: str


_MARKET = {
    "exchange": "binance, coinbase, kraken, …",
    "symbol": "canonical pair, BTC-USDT",
    "base": "the asset that is traded",
    "quote": "the asset that prices are in",
}

VIEWS = (
    View(
        "v_ticks",
        "Every trade, once",
        {
            **_MARKET,
            "ts": "the exchange's clock, to the microsecond",
            "price": "in the quote asset",
            "amount": "in the base asset",
            "side": "what the taker did: buy or sell",
            "trade_id": "the exchange's own id, unique within the market",
        },
        """
        SELECT m.exchange, m.symbol, m.base, m.quote, t.ts, t.price, t.amount,
               CASE WHEN t.taker_buys THEN 'buy' ELSE 'sell' END AS side,
               t.trade_id::text AS trade_id
        FROM ticks t JOIN markets m ON m.id = t.market_id
        """,
    ),
    View(
        "v_candles",
        "Open, high, low, close and volume by interval; no row where nothing traded",
        {
            **_MARKET,
            "interval": "1m, 5m, 15m, 1h, 4h, 1d",
            "open_ts": "start of the interval",
            "open": "first price",
            "high": "highest price",
            "low": "lowest price",
            "close": "last price",
            "volume": "in the base asset",
        },
        """
        SELECT m.exchange, m.symbol, m.base, m.quote, c."interval", c.open_ts,
               c.open, c.high, c.low, c.close, c.volume
        FROM candles c JOIN markets m ON m.id = c.market_id
        """,
    ),
    View(
        "v_stream_gaps",
        "Spans in which a stream was not heard, and what became of them",
        {
            **_MARKET,
            "cause": "disconnected, silent, started, missing trades, …",
            "state": "open, filled or unfillable",
            "from_ts": "the last trade before it, by the exchange's clock",
            "to_ts": "the first trade after it; null while the stream is not back",
            "recovered": "trades that were stored by recovery",
            "reason": "why it cannot be filled, or not yet",
            "opened_at": "when it was noticed",
            "closed_at": "when it was filled or given up",
        },
        """
        SELECT m.exchange, m.symbol, m.base, m.quote, g.cause, g.state, g.after_ts, g.before_ts, g.recovered,
               g.reason, g.opened_at, g.closed_at
        FROM stream_gaps g JOIN markets m ON m.id = g.market_id
        """,
    ),
    View(
        "v_averages",
        "The price of a pair over all exchanges, every second; every minute where older than a week",
        {
            "symbol": "canonical pair, BTC-USDT",
            "ts": "when it was computed, whole seconds",
            "price": "in the quote asset",
            "method": "median, mean or vwap",
            "exchanges": "those whose last trade it was made of",
            "change_24h": "0.01 is 1 %; null where less than a day is stored",
            "high_24h": "median of the highest prices of the exchanges used",
            "low_24h": "median of the lowest prices of the exchanges used",
        },
        """
        SELECT base || '-' || quote, ts, price, method, exchanges, change_24h, high_24h, low_24h
        FROM price_averages
        """,
    ),
)


def create(connection: Connection) -> None:
    """Make every view what it says here, with its comments."""
    for view in VIEWS:
        columns = ", ".join(f'"{name}"' for name in view.columns)
        connection.execute(text(f"CREATE OR REPLACE VIEW {view.name} ({columns}) AS {view.query}"))
        connection.execute(text(f"COMMENT ON VIEW {view.name} IS {_literal(view.meaning)}"))
        for name, meaning in view.columns.items():
            connection.execute(text(f'COMMENT ON COLUMN {view.name}."{name}" IS {_literal(meaning)}'))


def _literal(words: str) -> str:
    return "'" + words.replace("'", "''") + "'"
