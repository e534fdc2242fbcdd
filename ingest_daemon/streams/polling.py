"""Markets without a stream: their newest trades, requested by REST every few seconds.

When more trades were made between two requests than an exchange returns, the rest is not recovered: polled
markets are there for their prices.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Generator, Iterable

import psycopg
import structlog

from coinwatch.errors import Retryable, SourceError, WarehouseError
from coinwatch.health.episodes import Episode
from coinwatch.health.outage import reason_of
from coinwatch.records import Market, Trade
from coinwatch.times import MINUTE_US, SECOND_US, now_us
from ingest_daemon.backoff import backoff
from ingest_daemon.context import DaemonContext
from ingest_daemon.recovery.rest_clients import Rest
from sources.exchanges import EXCHANGES
from warehouse.db.errors import deadline, warehouse_errors
from warehouse.ops.budgets import WarehouseBudget
from warehouse.ops.health import StreamState
from warehouse.ops.leases import hold

LEASE = "polling"
POSTGRES = "Postgres"
LEASE_S = 5.0
"""How much longer than a round the lease of the polling daemon lasts."""
TIMEOUT_S = 10.0
RETRY_CAP_S = 300.0
KEEP_US = MINUTE_US
"""How much older than the newest trade of a market another may be and still count as new."""

log = structlog.get_logger(__name__)


class NewTrades:
    """Selects the new trades in the responses for one market. Pure: no I/O.

    A response from a cache repeats trades that were seen, or older ones: it has no new ones.
    """

    def __init__(self) -> None:
        self._seen: dict[int, int] = {}
        self._since_us: int | None = None

    def select(self, trades: Iterable[Trade], first_since_us: int) -> list[Trade]:
        """The new ones of ``trades``, oldest first.

        Args:
            trades: A response.
            first_since_us: From when on trades count as new, in the first response.
        """
        if self._since_us is None:
            self._since_us = first_since_us
        since_us = self._since_us
        new = {t.trade_id: t for t in trades if t.ts_us >= since_us and t.trade_id not in self._seen}
        if new:
            self._seen |= {trade_id: trade.ts_us for trade_id, trade in new.items()}
            self._since_us = max(since_us, max(self._seen.values()) - KEEP_US)
            self._seen = {id_: ts_us for id_, ts_us in self._seen.items() if ts_us >= self._since_us}
        return sorted(new.values(), key=lambda trade: (trade.ts_us, trade.trade_id))


class _Polled:
    """A market between two requests."""

    def __init__(self) -> None:
        self.new_trades = NewTrades()
        self.is_busy = False
        self.next_s = 0.0
        self._waits: Generator[float, float, None] | None = None

    def failed(self, first_s: float, at_least_s: float) -> None:
        """Delay the next request, and each further failure delays it more."""
        if self._waits is None:
            self._waits = backoff(first_s=first_s, cap_s=RETRY_CAP_S)
            next(self._waits)
        self.next_s = time.monotonic() + max(self._waits.send(0.0), at_least_s)

    def succeeded(self) -> None:
        """Request again in the next round."""
        self._waits = None


class Poller:
    """Polls the markets of ``COINWATCH_POLLED_MARKETS`` that are not streamed, in one of several daemons.

    New trades go into the queue as live ones.
    """

    def __init__(self, context: DaemonContext) -> None:
        self._context = context
        self._settings = settings = context.settings
        self._status_board = context.status_board
        self._polled = {
            market: _Polled()
            for market in settings.polled_markets
            if market.exchange in EXCHANGES and market not in settings.markets
        }
        self._failures: defaultdict[str, Episode] = defaultdict(Episode)

    async def run(self) -> None:
        """Poll until cancelled; return at once when there is nothing to poll.

        Failing exchanges are retried at growing intervals. An outage of Postgres is waited out.
        """
        waits = backoff(cap_s=self._settings.poll_every_s)
        wait_s = next(waits)
        while self._polled:
            await asyncio.sleep(wait_s)
            started_s = time.monotonic()
            try:
                with warehouse_errors():
                    await self._poll()
            except* WarehouseError as errors:
                self._log_failure(POSTGRES, errors)
            for polled in self._polled.values():
                polled.is_busy = False
            wait_s = waits.send(time.monotonic() - started_s)

    async def _poll(self) -> None:
        every_s = self._settings.poll_every_s
        async with (
            await self._context.connect("polling") as conn,
            Rest(self._settings, WarehouseBudget(conn)) as rest,
            asyncio.TaskGroup() as tasks,
        ):
            is_ours = False
            while True:
                round_s = time.monotonic()
                async with deadline(TIMEOUT_S):
                    was_ours = is_ours
                    is_ours = await hold(conn, LEASE, self._context.daemon, every_s + LEASE_S)
                    if is_ours and not was_ours:
                        await self._begin(conn)
                self._log_return(POSTGRES)
                if is_ours and not self._context.queue.full:
                    for market, polled in self._polled.items():
                        if not polled.is_busy and round_s >= polled.next_s:
                            polled.is_busy = True
                            tasks.create_task(self._request(market, polled, rest))
                await asyncio.sleep(max(0.0, round_s + every_s - time.monotonic()))

    async def _begin(self, conn: psycopg.AsyncConnection) -> None:
        ids = await self._context.market_ids.resolve(
            conn, {market: EXCHANGES[market.exchange].rest_native(market) for market in self._polled}
        )
        self._status_board.add(ids)
        log.info("polling", markets=len(ids), every_s=self._settings.poll_every_s)

    async def _request(self, market: Market, polled: _Polled, rest: Rest) -> None:
        exchange = EXCHANGES[market.exchange]
        every_s = self._settings.poll_every_s
        try:
            http = await rest.of(exchange)
            response = await http.get(exchange.newest_trades_requests(market)[0])
            trades = exchange.decode_trades(market, response.body)
        except SourceError as error:
            self._status_board.set_state([market], StreamState.DOWN, str(error))
            self._log_failure(exchange.name, error)
            retry_after_s = error.retry_after_s if isinstance(error, Retryable) else None
            polled.failed(every_s, retry_after_s or 0.0)
        else:
            polled.succeeded()
            self._log_return(exchange.name)
            self._status_board.set_state([market], StreamState.LIVE)
            first_since_us = (response.date_us or now_us()) - round(every_s * SECOND_US)
            if new := polled.new_trades.select(trades, first_since_us):
                self._context.queue.put(new, now_us())
        polled.is_busy = False

    def _log_failure(self, of: str, error: BaseException) -> None:
        reason = reason_of(error)[:300]
        if self._failures[of].failed(reason):
            log.warning("polling failed; retrying", of=of, reason=reason)

    def _log_return(self, of: str) -> None:
        if (recovery := self._failures[of].worked()) is not None:
            log.info("polling works again", of=of, failed_s=recovery.lasted_s)
