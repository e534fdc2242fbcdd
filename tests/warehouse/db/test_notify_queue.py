from __future__ import annotations

import psycopg
import pytest
import sqlalchemy

from warehouse.db.connect import connect
from warehouse.db.notify_queue import end_stuck_listeners


async def test_a_session_that_holds_up_the_queue_is_ended_and_others_are_not(
    database: sqlalchemy.URL,
) -> None:
    async with (
        await connect(database, application_name="stuck") as stuck,
        await connect(database, application_name="well") as well,
        await connect(database, application_name="test") as conn,
    ):
        for listener in (stuck, well):
            await listener.execute("listen ticks")
        await stuck.execute("begin; select 1")
        assert await end_stuck_listeners(conn) == []
        [ended] = await end_stuck_listeners(conn, above=-1, stuck_s=0)
        assert ended.startswith("stuck (")
        with pytest.raises(psycopg.OperationalError):
            await stuck.execute("select 1")
        await well.execute("select 1")
