"""The server's queue of notices: when it is full, no commit of ticks succeeds any more.

It is kept from being emptied by one session that listens and does not move: idle in a transaction,
or not reading what it is sent.
"""

from __future__ import annotations

from psycopg import AsyncConnection

FULL_ENOUGH = 0.05
"""The share of the queue in use from which on sessions in the way are ended."""
STUCK_S = 60.0

_USAGE = "select pg_notification_queue_usage()"

_END_STUCK = """
select pid, application_name, pg_terminate_backend(pid)
from pg_stat_activity
where pid <> pg_backend_pid() and backend_type = 'client backend'
  and (
    (state like 'idle in transaction%%' and xact_start < clock_timestamp() - %(stuck_s)s * interval '1 s')
    or (wait_event = 'ClientWrite' and state_change < clock_timestamp() - %(stuck_s)s * interval '1 s')
  )
"""


async def end_stuck_listeners(
    conn: AsyncConnection, *, above: float = FULL_ENOUGH, stuck_s: float = STUCK_S
) -> list[str]:
    """End the sessions that may keep the queue from being emptied, if more than ``above`` of it is in use.

    Returns their names with their process ids. Needs a role that may end them.
    """
    cursor = await conn.execute(_USAGE)
    row = await cursor.fetchone()
    if row is None or row[0] <= above:
        return []
    cursor = await conn.execute(_END_STUCK, {"stuck_s": stuck_s})
    return [f"{name or 'unnamed'} ({pid})" for pid, name, ended in await cursor.fetchall() if ended]
