"""From a commit of trades to claimed alerts.

Everything is taken in the order of commits, from one LISTEN connection: a rule is known before the
first commit after it is looked at. What was not heard (the connection was lost, the endpoint was down)
is read from ``ticks`` by what was committed since the last look.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from itertools import groupby
from math import inf

import structlog
from psycopg import AsyncConnection, Notify

from app.alerts.catalogue import Catalogue
from app.alerts.database import Database
from app.alerts.inbox import Inbox
from app.alerts.marks import Marks
from app.alerts.metrics import Metrics
from app.alerts.rules import RuleIndex, firings
from coinwatch.alerts import Rule
from coinwatch.errors import WarehouseError
from coinwatch.records import Trade
from coinwatch.times import MINUTE_US, SECOND_US
from warehouse.alert_claims import Firing, claim
from warehouse.alert_looks import Look, Missed, last_look, missed_trades, one_view, trades_of_commit
from warehouse.alerts import ALERT_RULES, armed_rules, rules_by_id
from warehouse.markets import known_markets
from warehouse.notifications import TICKS, TicksNotice, decode_notice

RETRY_S = 0.5
CLAIM_AT_ONCE = 2_000
LATE_US = 10 * MINUTE_US
"""Missed trades are looked for among those not older than this: what comes later is recovered history."""
LAG_US = 1 * SECOND_US
"""A trade stored after a rule was made may bear a time this much before it."""

log = structlog.get_logger(__name__)


class Engine:
    """Looks at every commit of trades and claims the rules it fires."""

    def __init__(
        self,
        database: Database,
        inbox: Inbox,
        index: RuleIndex,
        catalogue: Catalogue,
        marks: Marks,
        metrics: Metrics,
    ) -> None:
        self._database = database
        self._inbox = inbox
        self._index = index
        self._catalogue = catalogue
        self._marks = marks
        self._metrics = metrics
        self._last_ts_us: dict[int, int] = {}

    async def run(self) -> None:
        """Work for ever. When Postgres is away, wait for it and read what was missed."""
        while True:
            await self._inbox.started()
            try:
                await self._catch_up()
                while (notifies := await self._inbox.take()) is not None:
                    await self._work(notifies)
            except WarehouseError as error:
                log.warning("alerts wait for Postgres", reason=str(error))
                await asyncio.sleep(RETRY_S)

    async def _work(self, notifies: Sequence[Notify]) -> None:
        for channel, group in groupby(notifies, key=lambda notify: notify.channel):
            payloads = [notify.payload for notify in group]
            if channel == TICKS:
                await self._look_at([notice for payload in payloads if (notice := _notice(payload))])
            elif channel == ALERT_RULES:
                await self._learn({int(payload) for payload in payloads if payload.isdecimal()})
            elif payloads[-1].isdecimal():
                self._marks.came_back(int(payloads[-1]))

    async def _learn(self, rule_ids: set[int]) -> None:
        async with self._database.use() as conn:
            await self._read_again(conn, rule_ids)

    async def _read_again(self, conn: AsyncConnection, rule_ids: set[int]) -> None:
        rules = await rules_by_id(conn, rule_ids) if rule_ids else {}
        for rule_id in rule_ids:
            if rule := rules.get(rule_id):
                self._index.put(rule)
            else:
                self._index.remove(rule_id)

    async def _look_at(self, notices: Sequence[TicksNotice]) -> None:
        heard = time.perf_counter()
        found: dict[int, Firing] = {}
        async with self._database.use() as conn:
            for notice in notices:
                if self._marks.looked and self._marks.looked.sees(notice.tx):
                    continue
                trades = await self._trades_that_matter(conn, notice)
                found = {firing.rule.id: firing for firing in firings(self._index, trades)} | found
            if found:
                await self._claim(conn, list(found.values()))
                self._metrics.claim_s.observe(time.perf_counter() - heard)

    async def _trades_that_matter(self, conn: AsyncConnection, notice: TicksNotice) -> list[Trade]:
        trades: list[Trade] = []
        for move in notice.moves:
            self._metrics.moves.inc()
            self._last_ts_us[move.market_id] = move.last_ts_us
            market = self._catalogue.market(move.market_id)
            if market is None:
                self._catalogue.update(await known_markets(conn))
                market = self._catalogue.market(move.market_id)
            if market is None:
                continue
            at_or_above, at_or_below = self._index.bounds(market)
            if move.high >= at_or_above or move.low <= at_or_below:
                trades += await trades_of_commit(conn, notice.tx, market, move)
        return sorted(trades, key=lambda trade: trade.ts_us)

    async def _claim(self, conn: AsyncConnection, found: Sequence[Firing]) -> None:
        for start in range(0, len(found), CLAIM_AT_ONCE):
            part = found[start : start + CLAIM_AT_ONCE]
            while part:
                claimed = await claim(conn, part)
                lost = [firing for firing in part if firing.rule.id not in claimed]
                for rule_id in claimed:
                    self._index.remove(rule_id)
                self._metrics.claimed.inc(len(claimed))
                self._metrics.lost_claims.inc(len(lost))
                # As a rule fired or removed by somebody else; one still armed is claimed as it is now.
                await self._read_again(conn, {firing.rule.id for firing in lost})
                part = [
                    Firing(rule, firing.trade) for firing in lost if (rule := self._index.get(firing.rule.id))
                ]

    async def _catch_up(self) -> None:
        """Read the rules anew, and fire those that trades committed since the last look meet."""
        self._metrics.catch_ups.inc()
        found: list[Firing] = []
        async with self._database.use() as conn:
            async with one_view(conn) as now:
                self._catalogue.update(await known_markets(conn))
                self._index.replace(await armed_rules(conn))
                seen = self._marks.looked or await last_look(conn)
                if seen:
                    async with aclosing(missed_trades(conn, seen, self._wanted_since(seen))) as chunks:
                        found = await self._fired_by(chunks, seen)
            await self._claim(conn, found)
        self._marks.caught_up(now)
        log.info("looking at every commit", rules=len(self._index), fired_by_missed_trades=len(found))

    async def _fired_by(self, chunks: AsyncIterator[list[Trade]], seen: Look) -> list[Firing]:
        def may_fire(rule: Rule, trade: Trade) -> bool:
            made_us = rule.created_at_us
            return made_us <= seen.at_us or made_us <= trade.ts_us + LAG_US

        found: list[Firing] = []
        async for trades in chunks:
            fired = firings(self._index, trades, may_fire)
            for firing in fired:
                self._index.remove(firing.rule.id)
            found += fired
        return found

    def _wanted_since(self, seen: Look) -> list[Missed]:
        wanted: list[Missed] = []
        for market_id, market in self._catalogue.ids().items():
            at_or_above, at_or_below = self._index.bounds(market)
            if at_or_above < inf or at_or_below > -inf:
                since_us = min(seen.at_us, self._last_ts_us.get(market_id, seen.at_us)) - LATE_US
                wanted.append(Missed(market_id, since_us, at_or_above, at_or_below))
        return wanted


def _notice(payload: str) -> TicksNotice | None:
    try:
        return decode_notice(payload)
    except WarehouseError as error:
        log.warning("ignored on the channel ticks", reason=str(error))
        return None
