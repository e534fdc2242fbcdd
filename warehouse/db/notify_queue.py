"""The notification queue of the server: when it is full, every commit of trades fails.

A single listening session that is stuck, idle in a transaction or not reading, keeps it from emptying.
"""

from __future__ import annotations

from psycopg import AsyncConnection

FULL_ENOUGH = 0.05
"""Above this share of the queue in use, stuck sessions are terminated."""
STUCK_S = 60.0

_USAGE = "select pg_notification_queue_usage()"

_END_STUCK = """
select pid, application_name, pg_terminate_backend(pid)
from pg_stat_activity
where pid <> pg_backend_pid() and backend_type = 'client backend'
  and (pg_has_role(usesysid, 'usage') or pg_has_role('pg_signal_backend', 'usage') and not exists (
    select from pg_roles where pg_roles.oid = usesysid and rolsuper
  ))
  and (
    (state like 'idle in transaction%%' and xact_start < clock_timestamp() - %(stuck_s)s * interval '1 s')
    or (wait_event = 'ClientWrite' and state_change < clock_timestamp() - %(stuck_s)s * interval '1 s')
  )
"""


async def end_stuck_listeners(
    conn: AsyncConnection, *, above: float = FULL_ENOUGH, stuck_s: float = STUCK_S
) -> list[str]:
    """Terminate the sessions that may block the queue, if more than ``above`` of it is in use.

    Returns their names with their process ids. Only sessions that this user may see and terminate: its own,
    and all but those of superusers for a member of pg_signal_backend and pg_read_all_stats.
    """
    cursor = await conn.execute(_USAGE)
    row = await cursor.fetchone()
    if row is None or row[0] <= above:
        return []
    cursor = await conn.execute(_END_STUCK, {"stuck_s": stuck_s})
    return [f"{name or 'unnamed'} ({pid})" for pid, name, ended in await cursor.fetchall() if ended]
