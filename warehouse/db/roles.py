"""Database roles with fewer rights than the owner, one for each service.

The dashboard's sessions switch to their roles after connecting (``engine(role=…)`` in
``warehouse.db.connect``); the other roles may be given a login (``logins.sql``). Each upgrade creates the
roles and grants what they miss, if the database user may; otherwise nothing is created and nothing fails.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import psycopg
from psycopg import sql

READER = "coinwatch_reader"
"""May read all tables and views, except the secrets of webhooks."""

ALERTS = "coinwatch_alerts"
"""May read like READER, change alert rules and send test alerts: the dashboard while a viewer changes one."""

PARTITIONS = "coinwatch_partitions"
"""Owns the partitioned tables, because only their owner may attach and detach partitions."""

INGEST = "coinwatch_ingest"
"""The ingest daemon."""

PIPELINES = "coinwatch_pipelines"
"""Dagster, in its own database too."""

ENDPOINT = "coinwatch_endpoint"
"""The alert endpoint, and the commands for outlets."""

DASHBOARD = "coinwatch_dashboard"
"""The dashboard, whose sessions switch to READER or ALERTS."""

ROLES: Mapping[str, Sequence[str]] = {
    READER: (),
    ALERTS: (READER,),
    PARTITIONS: (),
    INGEST: (READER, PARTITIONS),
    PIPELINES: (READER, PARTITIONS),
    ENDPOINT: (READER,),
    DASHBOARD: (READER, ALERTS),
}
"""Each role with those whose rights it has too."""

PARTITIONED = ("candles", "indicators", "price_averages", "ticks")
_CANDLES = ("candle_coverage", "candle_rollups")

WRITTEN: Mapping[str, Sequence[str]] = {
    INGEST: (
        *_CANDLES,
        "api_budgets",
        "leases",
        "markets",
        "quarantines",
        "rejects",
        "service_heartbeats",
        "stream_gaps",
        "stream_health",
    ),
    PIPELINES: (
        *_CANDLES,
        "alert_events",
        "api_budgets",
        "asset_bases",
        "asset_metrics",
        "assets",
        "candle_checks",
        "indicators_due",
        "job_failures",
        "markets",
        "news",
        "news_feeds",
        "rejects",
        "sentiment",
        "service_heartbeats",
        "stream_gaps",
        "stream_health",
    ),
    ENDPOINT: (
        "alert_counter",
        "alert_events",
        "alert_rules",
        "deliveries",
        "delivery_cursor",
        "outlets",
        "service_heartbeats",
        "subscribers",
    ),
}
"""The tables that each service changes, apart from PARTITIONED."""

_CHANGES = ("insert", "update", "delete")
_MAINTAIN_SINCE = 170_000
"""Earlier servers let only the owner of a table vacuum it, and skip it for others."""

_MAKE = """
do $$
begin
    if not exists (select from pg_roles where rolname = {name}) then
        create role {role} nologin;
        grant {role} to current_user;
        {grants}
    end if;
exception
    when insufficient_privilege then null;
    when duplicate_object or unique_violation then null;  -- another upgrade was quicker
end $$
"""

# Roles created by another owner of this server are not ours and get no rights.
_OURS = "select rolname from pg_roles where rolname = any(%s) and pg_has_role(rolname, 'member')"

_MAY_GRANT = """
select pg_has_role(relowner, 'usage') from pg_class where oid = to_regclass('alembic_version')
"""

# Partitions are read through their tables.
_RELATIONS = """
select relname from pg_class
where relnamespace = 'public'::regnamespace and relkind in ('r', 'p', 'v', 'm') and not relispartition
  and pg_has_role(relowner, 'usage')
"""

# Only missing rights: each grant writes to the catalog while daemons use it.
_MISSING = """
select privilege, name
from unnest(%(privileges)s::text[]) privilege cross join unnest(%(names)s::text[]) name
where not has_table_privilege(%(role)s, format('public.%%I', name), privilege)
"""

_OTHERWISE_OWNED = """
select relname from pg_class
where relnamespace = 'public'::regnamespace and relkind in ('r', 'p')
  and relname ~ %s and relowner <> %s::regrole
"""

_MAY_OWN = """
select has_schema_privilege(%s, oid, 'create'), pg_has_role(nspowner, 'usage')
from pg_namespace where nspname = 'public'
"""

_SHOWN_OF_OUTLETS = f"""
do $$
begin
    if not has_column_privilege('{READER}', 'outlets', 'id', 'select') then
        grant select (id, client, kind, url, created_at, after_event_id, disabled_at, disabled_why)
            on outlets to {READER};
    end if;
end $$
"""

TAKE_ON = """
select set_config('role', rolname, false) from pg_roles where rolname = %s and pg_has_role(rolname, 'member')
"""
"""Switch the session to a role, if this user is a member: for a connection in autocommit mode."""


def grant(conn: psycopg.Connection) -> None:
    """Create the roles and grant their rights in the warehouse, whose schema must be up to date.

    Does nothing for a user who does not own the tables.
    """
    owns = conn.execute(_MAY_GRANT).fetchone()
    if not owns or not owns[0]:
        return
    ours = _make(conn)
    tables = [name for (name,) in conn.execute(_RELATIONS)]
    if READER in ours:
        _grant_missing(conn, READER, ["select"], {*tables} - {"outlets"})
        conn.execute(_SHOWN_OF_OUTLETS)
    if ALERTS in ours:
        _grant_missing(conn, ALERTS, _CHANGES, ["alert_rules"])
        _grant_missing(conn, ALERTS, ["insert"], ["alert_events"])
        _grant_missing(conn, ALERTS, ["update"], ["alert_counter"])
    for role in WRITTEN.keys() & ours:
        _grant_missing(conn, role, _CHANGES, WRITTEN[role])
    if ENDPOINT in ours:
        _grant_missing(conn, ENDPOINT, ["select"], ["outlets"])
    if PIPELINES in ours and conn.info.server_version >= _MAINTAIN_SINCE:
        _grant_missing(conn, PIPELINES, ["maintain"], WRITTEN[PIPELINES])
    if PARTITIONS in ours:
        _give_partitions(conn)


def grant_all(conn: psycopg.Connection) -> None:
    """Create the roles and grant their rights in Dagster's database, also on tables that Dagster makes later.

    ``conn`` must be in a transaction.
    """
    conn.execute("select pg_advisory_xact_lock(hashtext('roles of coinwatch'))")
    ours = _make(conn)
    tables = [name for (name,) in conn.execute(_RELATIONS)]
    later = sql.SQL("alter default privileges {} in schema public grant {} on {} to {}")
    makers: list[sql.Composable] = [sql.SQL("")]
    if PIPELINES in ours:
        pipelines = sql.Identifier(PIPELINES)
        privileges = [*_CHANGES, "select", "truncate"]
        if conn.info.server_version >= _MAINTAIN_SINCE:
            privileges.append("maintain")
        _grant_missing(conn, PIPELINES, privileges, tables)
        conn.execute(sql.SQL("grant usage, create on schema public to {}").format(pipelines))
        conn.execute(sql.SQL("grant usage on all sequences in schema public to {}").format(pipelines))
        everything = sql.SQL(", ").join(map(sql.SQL, privileges))
        conn.execute(later.format(makers[0], everything, sql.SQL("tables"), pipelines))
        conn.execute(later.format(makers[0], sql.SQL("usage"), sql.SQL("sequences"), pipelines))
        makers.append(sql.SQL("for role {}").format(pipelines))
    if READER in ours:
        _grant_missing(conn, READER, ["select"], tables)
        for maker in makers:
            conn.execute(later.format(maker, sql.SQL("select"), sql.SQL("tables"), sql.Identifier(READER)))


def take_on(conn: psycopg.Connection, role: str) -> None:
    """Switch the session to ``role``, if this user is a member."""
    conn.execute(TAKE_ON, [role])
    conn.commit()


def _make(conn: psycopg.Connection) -> set[str]:
    """Create the missing roles, where this user may; return those that are ours."""
    for role, groups in ROLES.items():
        name = sql.Identifier(role)
        grants = [sql.SQL("grant {} to {};").format(sql.Identifier(group), name) for group in groups]
        conn.execute(
            sql.SQL(_MAKE).format(name=sql.Literal(role), role=name, grants=sql.SQL(" ").join(grants))
        )
    return {name for (name,) in conn.execute(_OURS, [list(ROLES)])}


def _grant_missing(
    conn: psycopg.Connection, role: str, privileges: Sequence[str], tables: Collection[str]
) -> None:
    asked = {"role": role, "privileges": list(privileges), "names": sorted(tables)}
    for privilege, table in conn.execute(_MISSING, asked).fetchall():
        conn.execute(
            sql.SQL("grant {} on {} to {}").format(
                sql.SQL(privilege), sql.Identifier(table), sql.Identifier(role)
            )
        )


def _give_partitions(conn: psycopg.Connection) -> None:
    owner = sql.Identifier(PARTITIONS)
    may_create, may_grant = conn.execute(_MAY_OWN, [PARTITIONS]).fetchone() or (False, False)
    if not may_create:
        if not may_grant:
            return
        conn.execute(sql.SQL("grant usage, create on schema public to {}").format(owner))
    with_partitions = rf"^({'|'.join(PARTITIONED)})(_\d{{4}}_\d{{2}}(_\d{{2}})?)?$"
    for (table,) in conn.execute(_OTHERWISE_OWNED, [with_partitions, PARTITIONS]).fetchall():
        conn.execute(sql.SQL("alter table {} owner to {}").format(sql.Identifier(table), owner))
