"""The reads of the dashboard: one pool and one reader for all viewers of this process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from threading import Lock
from typing import TypeVar

import streamlit as st
from sqlalchemy import URL, Connection, Engine

from app.dashboard.data.failures import STATEMENT_TIMEOUT_S, describe_failure
from app.dashboard.data.read_results import Alerts, Health, History, Statistics
from app.dashboard.data.reader import Reader, Reading
from coinwatch.errors import WarehouseError, WarehouseUnavailable
from coinwatch.intervals import Interval
from coinwatch.records import Candle, Market
from coinwatch.settings import Settings, process_settings
from coinwatch.times import DAY_US, MINUTE_US, now_us, to_datetime, utc_day
from coinwatch.windows import Window
from warehouse.alerts import rules
from warehouse.averages import store
from warehouse.averages.store import PairAverage
from warehouse.candles import chart_reads
from warehouse.db import roles
from warehouse.db.connect import database_url, engine
from warehouse.ops import budgets, health
from warehouse.ops.dagster import DAGSTER_DATABASE
from warehouse.sentiment import reads as sentiment_reads
from warehouse.trades import gap_reads

T = TypeVar("T")

CLIENT = "dashboard"
"""The client of the alert rules that the dashboard creates."""
MOST_EVENTS = 50
MOST_GAPS = 300
WEEK_US = 7 * DAY_US
LIVE_S = 0.9
"""Pages are redrawn every second; a little less, so that each time the value is new."""


class DashboardReads:
    """Reads of one warehouse. They never raise: see ``Reading.problem``.

    Here are those that several pages share; each page has its own in its ``reads.py``.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._connecting = Lock()
        self._reader = Reader(describe_failure)

    @cached_property
    def _engine(self) -> Engine:
        return self._pool(database_url(self.settings, create=False), roles.READER, read_only=True)

    @cached_property
    def _dagster(self) -> Engine:
        url = database_url(self.settings, create=False).set(database=DAGSTER_DATABASE)
        return self._pool(url, roles.READER, read_only=True)

    @cached_property
    def _writer(self) -> Engine:
        return self._pool(database_url(self.settings, create=False), roles.ALERTS, read_only=False)

    @staticmethod
    def _pool(url: URL, role: str, *, read_only: bool) -> Engine:
        return engine(
            url,
            application_name="coinwatch dashboard",
            statement_timeout_s=STATEMENT_TIMEOUT_S,
            role=role,
            read_only=read_only,
        )

    def connect(self) -> Connection:
        """A pooled read-only connection. Raises WarehouseError."""
        with self._connecting:
            pool = self._engine
        return pool.connect()

    def markets(self) -> Reading[tuple[chart_reads.WatchedMarket, ...]]:
        """Every market that is configured or streams."""
        return self.read(
            ("markets",), lambda conn: chart_reads.watched_markets(conn, self.settings.markets), 5
        )

    def latest(self, market_ids: Sequence[int]) -> Reading[tuple[chart_reads.LastTrade, ...]]:
        """The last trade of each market within a day."""
        return self.read(
            ("latest", *market_ids),
            lambda conn: chart_reads.latest_trades(conn, market_ids, now_us() - DAY_US),
        )

    def averages(self) -> Reading[tuple[PairAverage, ...]]:
        """The newest average of each pair, where a daemon computes them."""
        return self.read(("averages",), lambda conn: store.latest_averages(conn, now_us()))

    def statistics(self, market_ids: Sequence[int]) -> Reading[Statistics]:
        """Day statistics, usual rates and stream states."""

        def ask(conn: Connection) -> Statistics:
            at_us = now_us()
            return Statistics(
                chart_reads.day_stats(conn, market_ids, at_us),
                chart_reads.trade_rates(conn, market_ids, at_us),
                chart_reads.stream_states(conn),
            )

        return self.read(("statistics", *market_ids), ask, 5)

    def history(
        self,
        watched: chart_reads.WatchedMarket,
        interval: Interval,
        length_us: int,
        until_us: int | None = None,
    ) -> Reading[History]:
        """The last ``length_us`` of candles, or those before ``until_us``, at most half a minute old.

        ``tail`` has what is newer.
        """

        def ask(conn: Connection) -> History:
            at_us = now_us()
            end_us = at_us if until_us is None else min(until_us, at_us)
            window = Window(interval.floor(end_us - length_us), interval.floor(end_us - 1) + interval.us)
            return History(
                chart_reads.candles(conn, watched, interval, window, at_us),
                chart_reads.candle_gaps(conn, watched.market_id, Window(window.start_us, end_us), at_us),
            )

        return self.read(("history", watched, interval, length_us, until_us), ask, 30)

    def tail(self, watched: chart_reads.WatchedMarket, interval: Interval) -> Reading[tuple[Candle, ...]]:
        """The last few candles up to the last trade, enough to complete a ``history`` half a minute old."""

        def ask(conn: Connection) -> tuple[Candle, ...]:
            at_us = now_us()
            start_us = min(interval.floor(at_us), interval.floor(at_us - 2 * MINUTE_US))
            return chart_reads.candles(conn, watched, interval, Window(start_us, at_us + interval.us), at_us)

        return self.read(("tail", watched, interval), ask)

    def health(self) -> Reading[Health]:
        """Heartbeats, the state of each stream, the stream gaps of a week, and the use of API budgets."""

        def ask(conn: Connection) -> Health:
            since = to_datetime(now_us() - WEEK_US)
            return Health(
                tuple(health.read_streams(conn)),
                tuple(health.read_services(conn)),
                tuple(gap_reads.read_gaps(conn, since, limit=MOST_GAPS)),
                budgets.months_of_calls(conn),
            )

        return self.read(("health",), ask, 2)

    def latest_sentiment(self) -> Reading[tuple[sentiment_reads.DayOfSource, ...]]:
        """The newest combined score of each asset, and Fear & Greed, of the last two weeks."""
        return self.read(
            ("latest sentiment",),
            lambda conn: sentiment_reads.latest_scores(conn, utc_day(now_us() - 2 * WEEK_US)),
            60,
        )

    def alerts(self, client: str) -> Reading[Alerts]:
        """The rules of ``client``, newest first, and its last alerts."""

        def ask(conn: Connection) -> Alerts:
            stored = rules.list_rules(conn, client=client)
            return Alerts(
                tuple(stored.rules),
                tuple(rules.recent_events(conn, client=client, limit=MOST_EVENTS)),
                tuple(f"{rule}; {rule.hint}" for rule in stored.unreadable),
            )

        return self.read(("alerts", client), ask)

    def change_alerts(self, client: str, change: Callable[[Connection], T]) -> T:
        """Run ``change``, which changes the rules of ``client``, in a transaction.

        Raises what it raises, and WarehouseError.
        """
        with self._connecting:
            pool = self._writer
        with pool.begin() as conn:
            done = change(conn)
        self._reader.expire(("alerts", client))
        return done

    def read(
        self, question: tuple[object, ...], ask: Callable[[Connection], T], fresh_s: float = LIVE_S
    ) -> Reading[T]:
        """The answer of ``ask`` to ``question``, shared by all viewers; at most about ``fresh_s`` old."""

        def run() -> T:
            with self.connect() as conn:
                return ask(conn)

        return self._reader.read(question, run, fresh_s=fresh_s)

    def read_dagster(
        self, question: tuple[object, ...], ask: Callable[[Connection], T], fresh_s: float
    ) -> Reading[T]:
        """``read`` from Dagster's own database. Its failures do not mean that the warehouse is down."""

        def run() -> T:
            with self._connecting:
                pool = self._dagster
            try:
                with pool.connect() as conn:
                    return ask(conn)
            except WarehouseUnavailable as error:
                raise WarehouseError(f"Dagster's database does not answer: {error.reason}") from error

        return self._reader.read(question, run, fresh_s=fresh_s)

    def close(self) -> None:
        """Stop the threads and close the connections."""
        self._reader.close()
        for name in ("_engine", "_dagster", "_writer"):
            if name in self.__dict__:
                getattr(self, name).dispose()


def source() -> DashboardReads:
    """The source of these settings. Raises SettingsError when they are wrong."""
    settings = process_settings()
    url = settings.database_url.get_secret_value() if settings.database_url else ""
    return _source(url, str(settings.data_dir), settings.markets, settings)


@st.cache_resource(max_entries=4, show_spinner=False, on_release=DashboardReads.close)
def _source(url: str, data_dir: str, markets: tuple[Market, ...], _settings: Settings) -> DashboardReads:
    return DashboardReads(_settings)
