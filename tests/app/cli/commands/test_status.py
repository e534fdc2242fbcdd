"""What ``coinwatch status`` says of stored trades."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from sqlalchemy import URL

from coinwatch.intervals import Interval
from coinwatch.records import Market
from coinwatch.settings import Settings
from coinwatch.times import DAY_US, day_start_us, now_us, to_datetime, utc_day
from coinwatch.windows import Window
from warehouse.candles.store import store
from warehouse.db.connect import connect
from warehouse.db.partitions import ensure_tick_days
from warehouse.markets import ensure_markets

MARKET = Market.canonical("binance:BTC-USDT")


def said(settings: Settings, folder: Path) -> str:
    assert settings.database_url is not None
    answer = subprocess.run(
        [str(Path(sys.executable).parent / "coinwatch"), "status"],
        cwd=folder,
        env={
            "COINWATCH_DATABASE_URL": settings.database_url.get_secret_value(),
            "COINWATCH_DATA_DIR": str(folder / "data"),
            "COINWATCH_TICKS_KEEP_DAYS": "3",
        },
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    return answer.stdout + answer.stderr


async def test_trades_with_their_limits_and_what_is_over_them(
    database: URL, settings_for: Callable[..., Settings], tmp_path: Path
) -> None:
    settings = settings_for()
    assert "Trades: 0.00 GB; kept for 3 days or 20 GB." in said(settings, tmp_path)
    old = utc_day(now_us()) - timedelta(days=4)
    async with await connect(database, application_name="test") as conn:
        ids = await ensure_markets(conn, {MARKET: "BTCUSDT"})
        await ensure_tick_days(conn, [old])
        await conn.execute(
            "insert into ticks (trade_id, ts, price, amount, market_id, day, taker_buys)"
            " values (1, %s, 1, 1, %s, %s, true)",
            (to_datetime(day_start_us(old)), ids[MARKET], old),
        )
        answer = said(settings, tmp_path)
        assert f"Trades: 0.00 GB since {old}; kept for 3 days or 20 GB." in answer
        assert f"{old} is over that and stays until its candles are complete: {MARKET}" in answer
        start_us = day_start_us(old)
        await store(conn, ids[MARKET], Interval.M1, [], [Window(start_us, start_us + DAY_US)])
    assert "is over that" not in said(settings, tmp_path)
