"""Comments of tables and columns in plain English

Revision: 0012, after 0011
"""

from __future__ import annotations

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

_TABLES = {
    "assets": "every coin on CoinGecko; those of our markets and the largest have descriptions",
    "job_failures": "failed runs that will not be retried",
    "leases": "tasks that one of several daemons holds",
    "news": "articles and posts, each once, with scores",
    "news_feeds": "state of each news feed between requests",
    "sentiment": "daily sentiment of assets and of the whole market, by source",
    "asset_bases": "the asset that markets with a base trade",
    "asset_metrics": "hourly metrics of assets by source; null: not reported, or implausible",
    "candle_checks": "daily comparison of candles with the exchange's own daily candle",
    "candle_rollups": "rollups that are due",
    "indicators_due": "series whose indicators are due, and from when on",
    "quarantines": "markets excluded from averages, presumably another coin with the same ticker",
    "rejects": "trades that Postgres or a sanity check refused",
    "stream_gaps": "stream gaps: interruptions of market streams, and their recovery",
}
_COLUMNS = {
    "alert_events": {
        "exchange": "null: not of a single exchange",
        "trade_id": "null: not fired by a trade",
        "price": "price that fired the rule, or the last known price",
        "ts": "time of that price",
        "value": "measured value, in the unit of the condition",
        "late": "fired by a recovered trade",
        "degraded": "fired while a stream gap of the market was open",
        "paused": "the rule fired too often and was paused",
    },
    "alert_rules": {
        "client": "the named client that owns the rule, and can resume after missed alerts",
        "connection": "the connection of an unnamed client; the rule ends with it",
        "typed": "the symbol as the client wrote it",
        "armed": "evaluated; false after its last firing",
        "state_no": "incremented by each claim",
        "fired_at": "last firing",
        "terms": "repeat, cooldown, expiry and other terms",
        "state": "progress of the rule: pauses, last values, …",
    },
    "api_budgets": {
        "calls_per_month": "monthly limit; null: unlimited",
    },
    "assets": {
        "id": "CoinGecko id: bitcoin",
        "symbol": "ticker: BTC; not unique",
        "images": "URL by host service",
        "cmc_id": "CoinMarketCap id; null: not listed there",
        "described_at": "last update of description, links and categories",
        "gone_at": "when it left the list of CoinGecko",
    },
    "candles": {
        "market_id": "id in markets; no foreign key, which would cost a third of the write speed",
    },
    "delivery_cursor": {
        "event_id": "events up to this one are queued",
    },
    "job_failures": {
        "run_id": "Dagster run id",
        "job": "name of the job, or the assets of an ad-hoc run",
        "why": "error message of the run; may be empty",
    },
    "leases": {
        "name": "task: a market, or the averages",
        "expires_at": "by the clock of the database",
    },
    "markets": {
        "quote_volume_24h": "latest 24 h volume from the exchange's tickers, in the quote asset",
    },
    "news": {
        "url": "address of the text",
        "title": "title, or the beginning of a message without a title",
        "title_key": "key shared by copies; null: title too short",
        "model": "scoring model with its version",
        "bases": "bases of the assets it names",
    },
    "news_feeds": {
        "asked_at": "last response",
        "changed_at": "last response with new texts",
        "etag": "ETag of the last response, for conditional requests",
        "last_modified": "Last-Modified of the last response, where there is no ETag",
    },
    "outlets": {
        "after_event_id": "events after this one are delivered",
        "previous_until": "end of the period signed with both secrets",
        "client": "named client whose events are delivered",
        "url": "treat as a secret",
        "secret": "secret that signs webhooks",
    },
    "price_averages": {
        "ts": "time of the computation, a whole second",
        "confidence": "distance to the farther weighted quartile",
        "state": "degraded: from fewer than three exchanges",
        "exchanges": "exchanges used",
    },
    "sentiment": {
        "told_at": "last request to the source",
        "value": "value on the scale of the source; null: the source returned none",
        "score": "from -1 to 1; null: the source only counts posts",
        "items": "number of texts, where known",
        "base": "base of our markets: BTC; null: the whole market",
        "source": "fear_greed, gdelt, news, …; combined: computed from the others",
        "detail": "details; of combined: parts and weights",
    },
    "ticks": {
        "tx": "transaction that stored the row",
        "market_id": "id in markets; no foreign key, which would halve the speed of COPY",
    },
    "asset_bases": {
        "base": "base of our markets: BTC",
        "reason": "evidence of the decision, or why there is none",
        "decided_at": "last check",
    },
    "asset_metrics": {
        "ts": "hour of the request",
        "observed_at": "time of the data, as reported by the source",
        "circulating_supply": "supplies are in units of the asset",
        "max_supply": "null: unlimited or unknown",
    },
    "candle_checks": {
        "repaired": "corrected minutes",
        "detail": "our candle, the exchange's candle and the remaining difference",
    },
    "candle_coverage": {
        "covered": "ranges verified against the exchange, minutes without trades included",
        "unavailable": "ranges that the exchange no longer serves",
        "wanted": "requested ranges; without end while the market is active",
    },
    "candle_rollups": {
        "interval": "interval of the rollup, 5m and longer",
        "due": "ranges whose 1m candles changed since the last rollup",
    },
    "deliveries": {
        "event_id": "id in alert_events",
        "due_at": "time of the next attempt",
        "attempted_at": "last attempt",
        "attempts": "attempts since it was queued or resent",
        "http_status": "result of the last attempt",
        "error": "result of the last attempt",
    },
    "indicators": {
        "open_ts": "open time of the candle they include last",
        "sma_20": "also the middle Bollinger band",
        "vwap": "of typical prices in the UTC day so far",
    },
    "indicators_due": {
        "since": "open time of the first changed candle",
    },
    "quarantines": {
        "since": "start of the deviation of over 20 % from the other exchanges",
        "released_at": "null: excluded from averages now",
        "deviation": "deviation when quarantined or released; 0.5 is 50 %",
    },
    "rejects": {
        "trade": "the decoded trade",
    },
    "stream_gaps": {
        "daemon": "daemon of the stream, or the daemon that took it over",
        "after_id": "id of the last trade before the gap",
        "after_ts": "time of the last trade before the gap",
        "before_id": "id of the first trade after the gap",
        "before_ts": "time of the first trade after the gap; null: still interrupted",
        "reason": "why it is unfillable, or why the last attempt failed",
    },
    "stream_health": {
        "last_trade_ts": "by the exchange's clock",
        "last_received_at": "by our clock",
        "lag_ms": "from the exchange's clock to our commit, in the last batch",
    },
}


def upgrade() -> None:
    for table, comment in _TABLES.items():
        op.create_table_comment(table, comment)
    for table, comments in _COLUMNS.items():
        for column, comment in comments.items():
            op.alter_column(table, column, comment=comment)
