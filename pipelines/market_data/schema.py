"""Group, owners and column descriptions of the assets of market data."""

from __future__ import annotations

import dagster as dg

GROUP = "market_data"
OWNERS = ["team:market-data"]

MARKETS_COLUMNS = dg.TableSchema(
    columns=[
        dg.TableColumn("exchange", "text", "The exchange's name, as in binance:BTC-USDT"),
        dg.TableColumn("symbol", "text", "The pair, such as BTC-USDT"),
        dg.TableColumn("native", "text", "The exchange's own spelling"),
        dg.TableColumn("status", "text", "active or delisted"),
        dg.TableColumn("price_step", "double precision", "Smallest step of a price, in the quote asset"),
        dg.TableColumn("amount_step", "double precision", "Smallest step of an amount, in the base asset"),
        dg.TableColumn("quote_volume_24h", "double precision", "By the last tickers, in the quote asset"),
        dg.TableColumn("listed_at", "timestamptz", "Start of trading; null when unknown"),
        dg.TableColumn("delisted_at", "timestamptz", "When it left the exchange's list; null while active"),
    ]
)

CANDLES_COLUMNS = dg.TableSchema(
    columns=[
        dg.TableColumn("market_id", "integer", "The id in markets"),
        dg.TableColumn("interval", "text", "1m; 5m, 15m, 1h, 4h and 1d are rollups"),
        dg.TableColumn("open_ts", "timestamptz", "Start of the interval"),
        *(dg.TableColumn(name, "double precision", "In the quote asset") for name in ("open", "high", "low")),
        dg.TableColumn("close", "double precision", "In the quote asset"),
        dg.TableColumn("volume", "double precision", "In the base asset"),
        dg.TableColumn("quote_volume", "double precision", "In the quote asset; null when not published"),
        dg.TableColumn("trades", "integer", "The number of trades; null when not published"),
        dg.TableColumn("source", "text", "exchange, ticks or rollup"),
        dg.TableColumn("revision", "smallint", "The number of corrections of the stored candle"),
    ]
)
