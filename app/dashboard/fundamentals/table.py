"""The table of assets. Pure: no I/O."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from datetime import datetime
from typing import Any

import pandas as pd
from pandas.io.formats.style import Styler

from app.dashboard.fundamentals.view import SOURCES, Asset, from_ath, from_atl, updated_at
from app.dashboard.ui.style import Palette
from coinwatch import formats
from coinwatch.times import from_datetime

COLUMNS = {
    "Price": "price_usd",
    "1 h": "change_1h",
    "24 h": "change_24h",
    "7 d": "change_7d",
    "30 d": "change_30d",
    "Market cap": "market_cap_usd",
    "Volume 24 h": "volume_24h_usd",
    "Value locked": "tvl_usd",
    "Circulating": "circulating_supply",
    "Total supply": "total_supply",
    "Max supply": "max_supply",
    "Diluted cap": "fdv_usd",
    "ATH": "ath_usd",
    "From ATH": "",
    "ATL": "atl_usd",
    "From ATL": "",
}
CHANGES = ("1 h", "24 h", "7 d", "30 d")
_AMOUNTS = (
    *("Market cap", "Volume 24 h", "Circulating", "Total supply", "Max supply"),
    *("Diluted cap", "Value locked"),
)


def table(assets: Sequence[Asset]) -> pd.DataFrame:
    """A row for each asset. Numbers stay numbers, so that a column sorts by value."""
    frame = pd.DataFrame(
        {
            "Rank": pd.array([asset.best.rank if asset.best else None for asset in assets], dtype="Int64"),
            "Asset": [asset.row.name for asset in assets],
            "Ticker": [asset.row.symbol.upper() for asset in assets],
            **{
                title: pd.Series(
                    [getattr(asset.best, field) if asset.best and field else None for asset in assets],
                    dtype="float64",
                )
                for title, field in COLUMNS.items()
            },
            "Markets": [", ".join(asset.row.bases) for asset in assets],
            "Updated": pd.to_datetime(
                pd.Series([updated_at(asset.best) for asset in assets], dtype="object"), utc=True
            ),
            "Source": [
                SOURCES.get(asset.best.source, asset.best.source) if asset.best else None for asset in assets
            ],
        }
    )
    frame["From ATH"] = pd.Series([from_ath(asset.best) for asset in assets], dtype="float64")
    frame["From ATL"] = pd.Series([from_atl(asset.best) for asset in assets], dtype="float64")
    for title, field in (("ATH", "ath_at"), ("ATL", "atl_at")):
        days = [getattr(asset.best, field) if asset.best else None for asset in assets]
        place = frame.columns.get_loc(title)
        assert isinstance(place, int)  # noqa: S101 -- titles are unique
        frame.insert(place + 1, f"{title} on", pd.to_datetime(pd.Series(days, dtype="object"), utc=True))
    return frame


def styled(frame: pd.DataFrame, palette: Palette, now: datetime) -> Styler:
    """``frame`` with readable numbers and times, and changes coloured."""
    now_us = from_datetime(now)

    def colour(value: object) -> str:
        change = value if isinstance(value, float) and value == value else 0.0
        if round(change, 4) == 0:
            return f"color: {palette.muted}"
        return f"color: {palette.up if change > 0 else palette.down}"

    changes: list[Hashable] = list(CHANGES)
    readable: dict[Any, str | Callable[[object], str] | None] = {
        **{name: _cell(formats.price) for name in ("Price", "ATH", "ATL")},
        **{name: _cell(formats.percent) for name in (*CHANGES, "From ATH", "From ATL")},
        **{name: _cell(formats.compact) for name in _AMOUNTS},
        **{name: _moment(lambda at: f"{at:%-d %b %Y}") for name in ("ATH on", "ATL on")},
        "Updated": _moment(lambda at: formats.age(from_datetime(at), now_us)),
    }
    return frame.style.format(readable).map(colour, subset=changes)


def _cell(show: Callable[[float], str]) -> Callable[[object], str]:
    return lambda value: show(value) if isinstance(value, float) else formats.UNKNOWN


def _moment(show: Callable[[datetime], str]) -> Callable[[object], str]:
    def words(value: object) -> str:
        if not isinstance(value, pd.Timestamp) or pd.isna(value):
            return formats.UNKNOWN
        return show(value.to_pydatetime())

    return words
