"""Public views: they keep their meaning while the tables below them change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, text

from warehouse.candles.coverage import EXPECTED_AFTER, GAPS_SQL


@dataclass(frozen=True)
class View:
    """A public view. New columns are added at the end; none is removed."""

    name: str
    meaning: str
    columns: Mapping[str, str]
    """What each column means, in order."""
    query: str


_MARKET = {
    "exchange": "binance, coinbase, kraken, …",
    "symbol": "canonical pair, BTC-USDT",
    "base": "traded asset",
    "quote": "asset that prices are in",
}

_GAPS = GAPS_SQL.format(
    until=f"date_bin('1 minute', now() - interval '{EXPECTED_AFTER.seconds} seconds', 'epoch')"
)

VIEWS = (
    View(
        "v_ticks",
        "All trades",
        {
            **_MARKET,
            "ts": "time of the trade by the exchange's clock, to the microsecond",
            "price": "in the quote asset",
            "amount": "in the base asset",
            "side": "taker side: buy or sell",
            "trade_id": "the exchange's id, unique within the market",
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
        "Open, high, low, close and volume by interval; no row for intervals without trades",
        {
            **_MARKET,
            "interval": "1m, 5m, 15m, 1h, 4h, 1d",
            "open_ts": "open time: start of the interval",
            "open": "first price",
            "high": "highest price",
            "low": "lowest price",
            "close": "last price",
            "volume": "in the base asset",
            "source": "exchange; ticks: computed from stored trades; rollup: computed from 1m candles",
        },
        """
        SELECT m.exchange, m.symbol, m.base, m.quote, c."interval", c.open_ts,
               c.open, c.high, c.low, c.close, c.volume, c.source
        FROM candles c JOIN markets m ON m.id = c.market_id
        """,
    ),
    View(
        "v_gaps",
        "Missing ranges of wanted candles, for minutes that ended at least ten minutes ago",
        {
            "exchange": _MARKET["exchange"],
            "symbol": _MARKET["symbol"],
            "interval": "1m; longer intervals are computed from these",
            "from_ts": "start of the first missing minute",
            "to_ts": "end of the last missing minute",
        },
        f"""
        SELECT m.exchange, m.symbol, c."interval", lower(hole), upper(hole)
        FROM candle_coverage c JOIN markets m ON m.id = c.market_id
        CROSS JOIN LATERAL unnest({_GAPS}) AS hole
        WHERE c."interval" = '1m'
        """,  # noqa: S608 -- built from constants
    ),
    View(
        "v_indicators",
        "Technical indicators at the close of each candle of 5m and longer, from candles with trades; "
        "null where there are too few",
        {
            **_MARKET,
            "interval": "5m, 15m, 1h, 4h, 1d",
            "open_ts": "open time of the last candle included",
            **{f"sma_{period}": f"mean of {period} closes" for period in (20, 50, 200)},
            **{f"ema_{period}": f"exponential mean of {period} closes" for period in (12, 26, 50, 200)},
            "rsi_14": "relative strength index, 0 to 100",
            "macd": "exponential mean of 12 closes minus that of 26",
            "macd_signal": "exponential mean of 9 values of macd",
            "macd_histogram": "macd minus macd_signal",
            "bollinger_upper": "mean of 20 closes plus 2 standard deviations",
            "bollinger_middle": "mean of 20 closes, the same as sma_20",
            "bollinger_lower": "mean of 20 closes minus 2 standard deviations",
            "obv": "on-balance volume since the first candle stored, in the base asset",
            "atr_14": "average true range, in the quote asset",
            "vwap": "volume-weighted average of typical prices in the UTC day so far",
        },
        """
        SELECT m.exchange, m.symbol, m.base, m.quote, i."interval", i.open_ts,
               i.sma_20, i.sma_50, i.sma_200, i.ema_12, i.ema_26, i.ema_50, i.ema_200, i.rsi_14,
               i.macd, i.macd_signal, i.macd_histogram, i.bollinger_upper, i.sma_20, i.bollinger_lower,
               i.obv, i.atr_14, i.vwap
        FROM indicators i JOIN markets m ON m.id = i.market_id
        """,
    ),
    View(
        "v_stream_gaps",
        "Stream gaps: interruptions of market streams, and their recovery",
        {
            **_MARKET,
            "cause": "disconnected, silent, started, missing trades, …",
            "state": "open, filled or unfillable",
            "from_ts": "last trade before the gap, by the exchange's clock",
            "to_ts": "first trade after the gap; null while interrupted",
            "recovered": "trades stored by recovery",
            "reason": "why it is unfillable, or why the last attempt failed",
            "opened_at": "when it was detected",
            "closed_at": "when it was filled or found unfillable",
        },
        """
        SELECT m.exchange, m.symbol, m.base, m.quote, g.cause, g.state, g.after_ts, g.before_ts, g.recovered,
               g.reason, g.opened_at, g.closed_at
        FROM stream_gaps g JOIN markets m ON m.id = g.market_id
        """,
    ),
    View(
        "v_averages",
        "Average price of each pair across exchanges, each second; each minute after a week",
        {
            "symbol": "canonical pair, BTC-USDT",
            "ts": "time of the computation, in whole seconds",
            "price": "in the quote asset",
            "method": "median, mean or vwap",
            "exchanges": "exchanges used",
            "change_24h": "0.01 is 1 %; null where less than a day is stored",
            "high_24h": "median of the highest prices of the exchanges used",
            "low_24h": "median of the lowest prices of the exchanges used",
        },
        """
        SELECT base || '-' || quote, ts, price, method, exchanges, change_24h, high_24h, low_24h
        FROM price_averages
        """,
    ),
    View(
        "v_assets",
        "Assets of the markets, and the largest other assets",
        {
            "asset": "CoinGecko id: bitcoin",
            "symbol": "ticker: BTC",
            "name": "Bitcoin",
            "bases": "bases of markets that trade this asset",
            "categories": "categories on CoinMarketCap",
            "description": "null: not known yet",
            "links": "lists of URLs by kind: website, source_code, technical_doc, …",
            "platforms": "contract address by platform; empty: native coin of its own chain",
            "launched_on": "day of its first block or sale; null: unknown",
            "images": "URL by host service",
            "cmc_id": "CoinMarketCap id",
            "gone_at": "when it left the list of CoinGecko",
            "described_at": "last update of description, links and categories",
        },
        """
        SELECT a.id, a.symbol, a.name,
               ARRAY(SELECT b.base FROM asset_bases b WHERE b.asset_id = a.id ORDER BY b.base),
               a.categories, a.description, a.links, a.platforms, a.launched_on, a.images, a.cmc_id,
               a.gone_at, a.described_at
        FROM assets a
        WHERE a.described_at IS NOT NULL OR EXISTS (SELECT FROM asset_bases b WHERE b.asset_id = a.id)
           OR EXISTS (SELECT FROM asset_metrics m WHERE m.asset_id = a.id)
        """,
    ),
    View(
        "v_asset_metrics",
        "Hourly metrics of assets from CoinGecko, else from CoinMarketCap; TVL from DefiLlama",
        {
            "asset": "CoinGecko id: bitcoin",
            "symbol": "ticker: BTC",
            "ts": "hour of the request",
            "source": "coingecko or coinmarketcap",
            "observed_at": "time of the data, as reported by the source",
            "price_usd": "price over the exchanges that the source follows",
            "market_cap_usd": "price times circulating supply",
            "rank": "by market cap",
            "fdv_usd": "fully diluted valuation",
            "volume_24h_usd": "on the exchanges that the source follows",
            "circulating_supply": "in units of the asset, like the other supplies",
            "total_supply": "created so far, minus destroyed",
            "max_supply": "null: unlimited or unknown",
            "ath_usd": "all-time high",
            "ath_at": "time of the preceding column",
            "atl_usd": "all-time low",
            "atl_at": "time of the preceding column",
            "change_1h": "0.01 is 1 %",
            "change_24h": "0.01 is 1 %",
            "change_7d": "0.01 is 1 %",
            "change_30d": "0.01 is 1 %",
            "tvl_usd": "value locked in its chain or protocols; null where DefiLlama has none",
        },
        """
        SELECT m.asset_id, a.symbol, m.ts, m.source, m.observed_at, m.price_usd, m.market_cap_usd, m.rank,
               m.fdv_usd, m.volume_24h_usd, m.circulating_supply, m.total_supply, m.max_supply,
               m.ath_usd, m.ath_at, m.atl_usd, m.atl_at,
               m.change_1h, m.change_24h, m.change_7d, m.change_30d, locked.tvl_usd
        FROM asset_metrics m JOIN assets a ON a.id = m.asset_id
        LEFT JOIN asset_metrics locked
            ON locked.asset_id = m.asset_id AND locked.ts = m.ts AND locked.source = 'defillama'
        WHERE m.source = 'coingecko' OR m.source = 'coinmarketcap' AND NOT EXISTS (
            SELECT FROM asset_metrics better
            WHERE better.asset_id = m.asset_id AND better.ts = m.ts AND better.source = 'coingecko'
        )
        """,
    ),
    View(
        "v_sentiment",
        "Daily sentiment of assets and of the whole market by source, and the combined score",
        {
            "day": "UTC",
            "base": "base of our markets: BTC; null: the whole market",
            "asset": "CoinGecko id: bitcoin; null: the whole market, or undecided",
            "source": "fear_greed, gdelt, news, coingecko_votes, reddit, telegram, x; combined: of all",
            "score": "from -1 to 1; null where the source only counts posts",
            "value": "value on the scale of the source",
            "scale": "scale of value: 0..100, -100..100, -1..1 or posts",
            "items": "number of texts or posts; null where unknown",
            "detail": "of combined: parts with score and weight; of texts: positive and negative counts",
            "told_at": "last request to the source",
        },
        """
        SELECT s.day, s.base, b.asset_id, s.source, s.score, s.value, s.scale, s.items, s.detail, s.told_at
        FROM sentiment s LEFT JOIN asset_bases b ON b.base = s.base
        WHERE s.value IS NOT NULL
        """,
    ),
    View(
        "v_news",
        "Articles, posts and messages, each once, with scores",
        {
            "published_at": "publication time given by the outlet",
            "source": "news, reddit or telegram",
            "outlet": "feed, subreddit or channel",
            "title": "title, or the beginning of a message without a title",
            "url": "address of the text",
            "score": "from -1 to 1",
            "model": "scoring model with its version",
            "bases": "bases of the assets it names",
            "copies": "URLs of copies by outlet",
            "seen_at": "when it was stored",
        },
        """
        SELECT published_at, source, outlet, title, url, score, model, bases, copies, seen_at FROM news
        """,
    ),
)


def create(connection: Connection) -> None:
    """Create or replace every view, with its comments."""
    for view in VIEWS:
        columns = ", ".join(f'"{name}"' for name in view.columns)
        connection.execute(text(f"CREATE OR REPLACE VIEW {view.name} ({columns}) AS {view.query}"))
        connection.execute(text(f"COMMENT ON VIEW {view.name} IS {_literal(view.meaning)}"))
        for name, meaning in view.columns.items():
            connection.execute(text(f'COMMENT ON COLUMN {view.name}."{name}" IS {_literal(meaning)}'))


def _literal(comment: str) -> str:
    return "'" + comment.replace("'", "''") + "'"
