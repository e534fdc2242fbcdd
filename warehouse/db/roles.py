"""Database roles with fewer rights than the owner, for the dashboard.

The roles cannot log in: a session switches to one after connecting (``engine(role=…)`` in
``warehouse.db.connect``). Each upgrade creates them and grants their rights, if the database user may;
otherwise nothing is created and nothing fails.
"""

# ruff: noqa: S608  # the statements are put together from constants of this file alone

from __future__ import annotations

import psycopg

READER = "coinwatch_reader"
"""May read all tables and views, except the secrets of webhooks."""

ALERTS = "coinwatch_alerts"
"""May read like READER, change alert rules and send test alerts."""

_MAKE = f"""
do $$
declare
    wanted text;
begin
    foreach wanted in array array['{READER}', '{ALERTS}'] loop
        if not exists (select from pg_roles where rolname = wanted) then
            begin
                execute 'create role ' || wanted || ' nologin';
                execute 'grant ' || wanted || ' to current_user';
                if wanted = '{ALERTS}' then
                    grant {READER} to {ALERTS};
                end if;
            exception
                when insufficient_privilege then null;
                when duplicate_object or unique_violation then null;  -- another upgrade was quicker
            end;
        end if;
    end loop;
end $$
"""

# Roles created by another owner of this server are not ours and get no rights.
_ARE_OURS = f"""
select count(*) = 2 from pg_roles
where rolname in ('{READER}', '{ALERTS}') and pg_has_role(rolname, 'member')
"""

# Only missing rights: each grant writes to the catalog while daemons use it. Partitions are read through
# their tables.
_GRANT_READING = f"""
do $$
declare
    relation regclass;
begin
    for relation in
        select oid from pg_class
        where relnamespace = 'public'::regnamespace and relkind in ('r', 'p', 'v', 'm') and not relispartition
          and relname <> 'outlets' and pg_has_role(relowner, 'usage')
          and not has_table_privilege('{READER}', oid, 'select')
    loop
        execute 'grant select on ' || relation || ' to {READER}';
    end loop;
end $$
"""

_GRANT_OURS = f"""
do $$
begin
    if not has_column_privilege('{READER}', 'outlets', 'id', 'select') then
        grant select (id, client, kind, url, created_at, after_event_id, disabled_at, disabled_why)
            on outlets to {READER};
    end if;
    if not has_table_privilege('{ALERTS}', 'alert_rules', 'delete') then
        grant insert, update, delete on alert_rules to {ALERTS};
        grant insert on alert_events to {ALERTS};
        grant update on alert_counter to {ALERTS};
    end if;
end $$
"""

# Dagster creates and changes its tables itself, at any time.
_GRANT_LATER = f"alter default privileges in schema public grant select on tables to {READER}"

TAKE_ON = """
select set_config('role', rolname, false) from pg_roles where rolname = %s and pg_has_role(rolname, 'member')
"""
"""Switch the session to a role, if this user is a member: for a connection in autocommit mode."""


def grant(conn: psycopg.Connection) -> None:
    """Create the roles and grant their rights in the warehouse, whose schema must be up to date."""
    if _have_roles(conn):
        conn.execute(_GRANT_READING)
        conn.execute(_GRANT_OURS)


def grant_all(conn: psycopg.Connection) -> None:
    """Create the roles and let them read all present and future tables of another database."""
    if _have_roles(conn):
        conn.execute(_GRANT_READING)
        conn.execute(_GRANT_LATER)


def take_on(conn: psycopg.Connection, role: str) -> None:
    """Switch the session to ``role``, if this user is a member."""
    conn.execute(TAKE_ON, [role])
    conn.commit()


def _have_roles(conn: psycopg.Connection) -> bool:
    conn.execute(_MAKE)
    row = conn.execute(_ARE_OURS).fetchone()
    return bool(row and row[0])
