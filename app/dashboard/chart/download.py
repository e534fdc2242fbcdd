"""Candles as files. Pure: no I/O."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO

import pandas as pd

from coinwatch.records import Candle
from coinwatch.times import to_datetime


def as_table(candles: Sequence[Candle]) -> pd.DataFrame:
    """A row for each candle; ``open_ts`` is UTC."""
    return pd.DataFrame(
        {
            "open_ts": pd.Series(
                [to_datetime(candle.open_ts_us) for candle in candles], dtype="datetime64[us, UTC]"
            ),
            "exchange": [candle.market.exchange for candle in candles],
            "symbol": [str(candle.market.symbol) for candle in candles],
            "interval": [candle.interval.value for candle in candles],
            **{
                name: [getattr(candle, name) for candle in candles]
                for name in ("open", "high", "low", "close", "volume", "quote_volume")
            },
        }
    )


def csv(candles: Sequence[Candle]) -> bytes:
    """Comma-separated, with a header; times in ISO 8601."""
    return as_table(candles).to_csv(index=False, date_format="%Y-%m-%dT%H:%M:%SZ").encode()


def parquet(candles: Sequence[Candle]) -> bytes:
    """Apache Parquet, times to the microsecond."""
    content = BytesIO()
    as_table(candles).to_parquet(content, index=False)
    return content.getvalue()


FORMATS = (
    ("CSV", "csv", "text/csv", csv),
    ("Parquet", "parquet", "application/vnd.apache.parquet", parquet),
)
"""Label, file ending, media type, writer."""
