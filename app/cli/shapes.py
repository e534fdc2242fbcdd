"""What commands print with ``--json``. Fields may be added; those here stay.

Times are ISO 8601 in UTC, prices are numbers, and fields that do not apply are null.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType


class ErrorReport(Struct, frozen=True):
    """Any command that fails, on stderr."""

    error: Annotated[str, Meta(description="code, such as `settings_error`, `usage_error`, `not_running`")]
    message: str
    hint: Annotated[str | None, Meta(description="what to do about it")]
    retryable: Annotated[bool, Meta(description="whether the same command can succeed later")]


class Service(Struct, frozen=True, kw_only=True):
    service: str
    instance: Annotated[str, Meta(description="process")]
    started_at: datetime
    heartbeat_age_s: float
    leases: Annotated[int, Meta(description="number of leases it holds")]
    problems: Annotated[list[str], Meta(description="why its `/healthz` answers 503")]


class Stream(Struct, frozen=True, kw_only=True):
    market: str
    state: Annotated[str, Meta(description="`connecting`, `live`, `down` or `stopped`")]
    running: Annotated[bool, Meta(description="whether an ingest daemon updated it in the last 10 s")]
    last_price: float | None
    lag_ms: Annotated[float | None, Meta(description="exchange time to commit, of the newest trade")]
    trades: Annotated[int, Meta(description="stored since the daemon started")]
    recovered: int
    duplicates: int
    reconnects: int
    last_error: str | None
    last_error_at: datetime | None


class StreamGap(Struct, frozen=True, kw_only=True):
    market: str
    after: Annotated[datetime, Meta(description="last trade before it")]
    before: Annotated[datetime | None, Meta(description="first trade after it")]
    cause: str
    state: str
    reason: str | None
    age_s: float


class StreamGaps(Struct, frozen=True, kw_only=True):
    count: Annotated[int, Meta(description="of the last 24 hours")]
    recovered_trades: int
    incomplete: Annotated[list[StreamGap], Meta(description="those with missing trades")]


class MissingCandles(Struct, frozen=True, kw_only=True):
    market: str
    minutes: Annotated[int, Meta(description="of the last 24 hours")]


class OverdueDay(Struct, frozen=True, kw_only=True):
    day: date
    markets: Annotated[list[str], Meta(description="markets whose candles of that day are incomplete")]


class StoredTrades(Struct, frozen=True, kw_only=True):
    bytes: int
    since: date | None
    keep_days: int
    keep_gb: float
    overdue_days: Annotated[list[OverdueDay], Meta(description="days over the limits that are kept")]


class Disk(Struct, frozen=True, kw_only=True):
    host: str
    path: str
    stores: Annotated[list[str], Meta(description="`database`, `spool` and `dagster`")]
    free_bytes: int
    size_bytes: int
    low: Annotated[bool, Meta(description="whether less is free than `COINWATCH_DISK_LOW_GB`")]


class Status(Struct, frozen=True, kw_only=True):
    """``coinwatch status``"""

    healthy: Annotated[bool, Meta(description="the exit code is 0 if so, else 1")]
    services: list[Service]
    streams: list[Stream]
    stream_gaps: StreamGaps
    missing_candles: list[MissingCandles]
    trades: StoredTrades
    disks: Annotated[list[Disk], Meta(description="of the data folder here, and of daemons elsewhere")]


class Down(Struct, frozen=True, kw_only=True):
    """``coinwatch down``"""

    folder: Annotated[str, Meta(description="the data folder")]
    up: Annotated[int | None, Meta(description="pid of the `coinwatch up` that was stopped")]
    killed: Annotated[bool, Meta(description="whether it did not stop by itself")]
    parts: Annotated[list[str], Meta(description="what was stopped; empty when nothing was running")]


class PriceLine(Struct, frozen=True, kw_only=True):
    """``coinwatch prices``, per line"""

    timedate: str
    price: float
    currency: str
    pair: Annotated[str | UnsetType, Meta(description="this and the following only with `--meta`")] = UNSET
    stale: bool | UnsetType = UNSET
    age_s: float | UnsetType | None = UNSET
    exchanges: list[str] | UnsetType = UNSET


class AlertLine(Struct, frozen=True, kw_only=True):
    """``coinwatch watch``, per alert"""

    event_id: int
    rule_id: int
    symbol: str
    exchange: Annotated[str | None, Meta(description="null when no single exchange is meant")]
    price: float | None
    ts: Annotated[str, Meta(description="time of the price")]
    message: str
    value: Annotated[float | UnsetType, Meta(description="measured value; absent for a plain price")] = UNSET
    late: Annotated[bool | UnsetType, Meta(description="this and the following only if true")] = UNSET
    degraded: bool | UnsetType = UNSET
    paused: bool | UnsetType = UNSET


class FiringLine(Struct, frozen=True, kw_only=True):
    """``coinwatch watch --preview``, per alert of the backtest"""

    symbol: str | None
    exchange: str | None
    price: float | None
    ts: Annotated[str, Meta(description="time of the price")]
    message: str
    value: Annotated[float | UnsetType, Meta(description="measured value; absent for a plain price")] = UNSET


class Token(Struct, frozen=True, kw_only=True):
    """``coinwatch token``"""

    name: str
    token: Annotated[str, Meta(description="the secret, for the client")]
    entry: Annotated[str, Meta(description="to add to COINWATCH_ALERTS_TOKENS of the endpoint")]


class Outlet(Struct, frozen=True, kw_only=True):
    outlet: Annotated[int, Meta(description="its number")]
    client: str
    kind: Annotated[str, Meta(description="`webhook` or `apprise`")]
    url: Annotated[str, Meta(description="shortened")]
    disabled_at: datetime | None
    disabled_why: str | None


class Outlets(Struct, frozen=True, kw_only=True):
    """``coinwatch outlets list``"""

    outlets: list[Outlet]


class OutletAdded(Struct, frozen=True, kw_only=True):
    """``coinwatch outlets add``"""

    outlet: int
    client: str
    url: Annotated[str, Meta(description="shortened")]
    secret_created: Annotated[bool, Meta(description="whether the secret file was created")]


class OutletChanged(Struct, frozen=True, kw_only=True):
    """``coinwatch outlets remove``, ``enable`` and ``rotate``"""

    outlet: int
    change: Annotated[str, Meta(description="`removed`, `enabled` or `rotated`")]


class Delivery(Struct, frozen=True, kw_only=True):
    event: int
    outlet: int
    state: Annotated[str, Meta(description="`waiting`, `delivered` or `dead`")]
    attempts: int
    attempted_at: datetime | None
    http_status: int | None
    error: str | None


class Deliveries(Struct, frozen=True, kw_only=True):
    """``coinwatch outlets deliveries``"""

    deliveries: Annotated[list[Delivery], Meta(description="newest first")]


class Resent(Struct, frozen=True, kw_only=True):
    """``coinwatch outlets resend``"""

    outlet: int
    deliveries: Annotated[int, Meta(description="how many are sent again")]


class Upgraded(Struct, frozen=True, kw_only=True):
    """``coinwatch db upgrade``"""

    applied: Annotated[list[str], Meta(description="migrations; empty when the schema was up to date")]


class BackedUp(Struct, frozen=True, kw_only=True):
    """``coinwatch db backup``"""

    file: str
    bytes: int


class Restored(Struct, frozen=True, kw_only=True):
    """``coinwatch db restore``"""

    file: str


class Stopped(Struct, frozen=True, kw_only=True):
    """``coinwatch db stop``"""

    folder: str
    stopped: Annotated[bool, Meta(description="false when it was not running")]


class DatabaseUrl(Struct, frozen=True, kw_only=True):
    """``coinwatch db url``"""

    url: Annotated[str, Meta(description="the password is `***` without `--show-password`")]


class Setting(Struct, frozen=True, kw_only=True):
    name: Annotated[str, Meta(description="as in a config file")]
    variable: Annotated[str, Meta(description="as in the environment")]
    value: Annotated[Any, Meta(description="secrets are `***`")]
    origin: Annotated[str, Meta(description="`default`, path of the file, `.env`, `environment` or `demo`")]


class Config(Struct, frozen=True, kw_only=True):
    """``coinwatch config show``"""

    settings: list[Setting]


SHAPES: tuple[type[msgspec.Struct], ...] = (
    ErrorReport,
    Status,
    Down,
    PriceLine,
    AlertLine,
    FiringLine,
    Token,
    Outlets,
    OutletAdded,
    OutletChanged,
    Deliveries,
    Resent,
    Upgraded,
    BackedUp,
    Restored,
    Stopped,
    DatabaseUrl,
    Config,
)
"""Everything that is printed as JSON, in the order of the documentation."""
