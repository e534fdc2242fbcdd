"""What only the Alerts page and its toasts read from the warehouse, and the changes they make."""

from __future__ import annotations

from sqlalchemy import Connection

from app.dashboard.data.reader import Reading
from app.dashboard.data.source import MOST_EVENTS, DashboardReads
from coinwatch.alerts import Alert, NewRule, Rule
from warehouse.alerts import reads, rules

MOST_NEWEST = 20


def events(
    source: DashboardReads, client: str, rule_id: int | None = None
) -> Reading[tuple[tuple[Alert, ...], tuple[reads.EventDelivery, ...]]]:
    """The last alerts of ``client``, or of one rule, newest first, and their deliveries."""

    def ask(conn: Connection) -> tuple[tuple[Alert, ...], tuple[reads.EventDelivery, ...]]:
        alerts = rules.recent_events(conn, client=client, rule_id=rule_id, limit=MOST_EVENTS)
        ids = [alert.event_id for alert in alerts]
        return tuple(alerts), reads.deliveries_of(conn, client, ids)

    return source.read(("alert events", client, rule_id), ask)


def newest_events(source: DashboardReads, client: str) -> Reading[tuple[Alert, ...]]:
    """The last few alerts of ``client``, newest first. Every open page reads them again and again."""
    return source.read(
        ("newest events", client),
        lambda conn: tuple(rules.recent_events(conn, client=client, limit=MOST_NEWEST)),
        2,
    )


def outlets(source: DashboardReads, client: str) -> Reading[tuple[reads.OutletRow, ...]]:
    """The outlets of ``client``, with the deliveries of its last alerts."""

    def ask(conn: Connection) -> tuple[reads.OutletRow, ...]:
        alerts = rules.recent_events(conn, client=client, limit=MOST_EVENTS)
        above = alerts[-1].event_id - 1 if alerts else 0
        return reads.outlets_of(conn, client, above_event_id=above)

    return source.read(("outlets", client), ask, 2)


def create_rule(source: DashboardReads, rule: NewRule) -> Rule:
    """Store a rule. Raises what ``DashboardReads.change_alerts`` raises."""
    return source.change_alerts(rule.client or "", lambda conn: rules.create_rule(conn, rule))
