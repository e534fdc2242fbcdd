"""Candles as files. Pure."""

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
                [to_datetime(one.open_ts_us) for one in candles], dtype="datetime64[us, UTC]"
            ),
            "exchange": [one.market.exchange for one in candles],
            "symbol": [str(one.market.symbol) for one in candles],
            "interval": [one.interval.value for one in candles],
            **{
                name: [getattr(one, name) for one in candles]
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
