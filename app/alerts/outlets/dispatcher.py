"""Delivers the events of clients to their outlets, independently of the websockets.

Every endpoint delivers; each attempt is made by one of them.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from contextlib import suppress

import structlog

from app.alerts.metrics import Metrics
from app.alerts.outlets import apprise_sender
from app.alerts.outlets.webhooks import Outcome, Webhooks
from coinwatch.alerts import Alert
from coinwatch.errors import WarehouseError
from coinwatch.health.outage import Outage
from warehouse.alerts.deliveries import (
    Attempt,
    Kind,
    Outlet,
    State,
    disable_outlet,
    finish,
    forget_old_deliveries,
    queue_deliveries,
    take_attempts,
)
from warehouse.db.database import Database

RETRIES_S = (5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
"""The wait after each failed attempt; after the last, the delivery is dead."""
MOST_ATTEMPTS = 1 + len(RETRIES_S)
JITTER = 0.2
"""Waits are up to this much longer, so that a receiver that was down does not get all at once."""
POLL_S = 2.0
LEASE_S = 90.0
"""After so long, the attempt of an endpoint that died is made again."""
MOST_AT_ONCE = 32
MOST_OF_ONE = 4
"""Attempts at once to one outlet."""
FORGET_EVERY_S = 3_600.0
PART = "outlets"
"""Its name in outages."""

log = structlog.get_logger(__name__)


class OutletDispatcher:
    """Makes the attempts to deliver. ``allow_private``: outlets may have private addresses."""

    def __init__(self, database: Database, metrics: Metrics, outage: Outage, *, allow_private: bool) -> None:
        self._database = database
        self._outage = outage
        self._webhooks = Webhooks(allow_private=allow_private)
        self._allow_private = allow_private
        self._wake_up = asyncio.Event()
        self._running: Counter[int] = Counter()
        self._forgot_s = -FORGET_EVERY_S
        metrics.watch("deliveries_running", "Attempts to deliver under way.", self._running.total)

    def wake(self) -> None:
        """Read deliveries: there may be new events."""
        self._wake_up.set()

    async def run(self) -> None:
        try:
            async with asyncio.TaskGroup() as tasks:
                while True:
                    try:
                        for attempt in await self._take():
                            self._running[attempt.outlet.id] += 1
                            tasks.create_task(self._make(attempt))
                        self._outage.ended(PART)
                    except WarehouseError as error:
                        self._outage.began(PART, error)
                    with suppress(TimeoutError):
                        async with asyncio.timeout(POLL_S):
                            await self._wake_up.wait()
                    self._wake_up.clear()
        finally:
            await self._webhooks.aclose()

    async def _take(self) -> list[Attempt]:
        most = MOST_AT_ONCE - self._running.total()
        if most <= 0:
            return []
        busy = [outlet_id for outlet_id, running in self._running.items() if running >= MOST_OF_ONE]
        async with self._database.use() as conn:
            if time.monotonic() - self._forgot_s >= FORGET_EVERY_S:
                self._forgot_s = time.monotonic()
                await forget_old_deliveries(conn)
            await queue_deliveries(conn)
            return await take_attempts(conn, most=most, of_one=MOST_OF_ONE, busy=busy, lease_s=LEASE_S)

    async def _make(self, attempt: Attempt) -> None:
        try:
            outcome = await self._send(attempt)
            try:
                await self._record(attempt, outcome)
            except WarehouseError as error:
                # It will be retried; the receiver recognises it by its id.
                self._outage.began(PART, error)
        finally:
            self._running[attempt.outlet.id] -= 1
            self._running += Counter()  # drops those at zero
            self._wake_up.set()

    async def _send(self, attempt: Attempt) -> Outcome:
        """Make an attempt, which was counted when it was taken. Never raises: the others continue."""
        outlet = attempt.outlet
        if attempt.number > MOST_ATTEMPTS:
            return Outcome(delivered=False, error="the endpoint ended during the attempts before")
        try:
            return await self._send_to(outlet, attempt.alert)
        except Exception as error:  # a fault of ours or of a library, met by one outlet
            log.exception("an attempt to deliver failed", outlet=outlet.id, event_id=attempt.alert.event_id)
            return Outcome(
                delivered=False, error=f"it failed: {type(error).__name__}; the log has the details"
            )

    async def _send_to(self, outlet: Outlet, alert: Alert) -> Outcome:
        if outlet.kind is Kind.WEBHOOK:
            return await self._webhooks.send(outlet.url, outlet.secrets, outlet.id, alert)
        return await apprise_sender.send(outlet.url, alert, allow_private=self._allow_private)

    async def _record(self, attempt: Attempt, outcome: Outcome) -> None:
        context = {"outlet": attempt.outlet.id, "event_id": attempt.alert.event_id}
        async with self._database.use() as conn:
            if outcome.delivered:
                await finish(conn, attempt, State.DELIVERED, http_status=outcome.http_status)
                return
            if outcome.is_gone:
                log.warning("outlet is gone, disabled", **context)
                await finish(conn, attempt, State.DEAD, http_status=outcome.http_status, error=outcome.error)
                await disable_outlet(conn, attempt.outlet.id, outcome.error or "gone")
                return
            wait_s = retry_in_s(attempt.number, outcome.retry_after_s)
            log.warning(
                "not delivered" if wait_s is not None else "not delivered, given up",
                **context,
                attempt=attempt.number,
                reason=outcome.error,
            )
            await finish(
                conn,
                attempt,
                State.DEAD if wait_s is None else State.WAITING,
                http_status=outcome.http_status,
                error=outcome.error,
                wait_s=wait_s or 0.0,
            )


def retry_in_s(attempt: int, at_least_s: float = 0.0) -> float | None:
    """How long to wait after ``attempt`` (1 is the first) failed; None: give up."""
    if attempt >= MOST_ATTEMPTS:
        return None
    spread = random.uniform(1, 1 + JITTER)  # noqa: S311  # spread, not secret
    return max(RETRIES_S[attempt - 1] * spread, at_least_s)
