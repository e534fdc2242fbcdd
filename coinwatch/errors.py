"""Errors raised by Coinwatch.

CoinwatchError
├── SettingsError        a setting is missing or wrong; names the variable
├── UnknownSymbol        a spelling that resolves to no pair; carries near matches
├── SourceError          an exchange or provider, by name
│   ├── Retryable        retry, after ``retry_after_s`` where given
│   ├── BadMessage       a frame or body that cannot be decoded; carries its start
│   └── Fatal            a retry cannot help (unknown market, refused request)
├── EndpointUnreachable  the alert endpoint does not answer its client
├── CommandRefused       the alert endpoint refused a command; carries its code and hint
├── UnreadableRule       a stored alert rule cannot be parsed; carries its id and a hint
└── WarehouseError       the warehouse, which is Postgres
    ├── NoDatabase            the data folder holds no database yet
    ├── WarehouseUnavailable  no connection, a timeout, a lock: retry later
    │   ├── WarehouseSlow     Postgres took longer than allowed
    │   ├── WarehouseFull     the disk of Postgres is full
    │   └── WarehouseReadOnly Postgres accepts no writes
    └── WarehouseRejected     Postgres refused a statement: the same call fails again

Each message states what happened, to what, and what to do about it.
"""

from __future__ import annotations

from typing import ClassVar

from coinwatch.outside.text import one_line

RAW_SHOWN = 200
LONGEST_MESSAGE = 1_000
"""In characters, of a message about a source: some repeat what the source sent."""


class CoinwatchError(Exception):
    """Base of every error Coinwatch raises on purpose."""


class SettingsError(CoinwatchError):
    """A setting is missing or wrong. The message names the environment variable."""


class UnknownSymbol(CoinwatchError):
    """A typed symbol or market that cannot be resolved.

    ``near`` holds similar spellings, best first.
    """

    def __init__(self, text: str, reason: str, near: tuple[str, ...] = ()) -> None:
        hint = f"; did you mean {', '.join(near)}?" if near else ""
        super().__init__(f"{text[:60]!r}: {reason}{hint}")
        self.text = text
        self.near = near


class SourceError(CoinwatchError):
    """A request to an exchange or provider failed. ``source`` is its name."""

    def __init__(self, source: str, message: str) -> None:
        super().__init__(one_line(f"{source}: {message}", LONGEST_MESSAGE))
        self.source = source


class Retryable(SourceError):
    """A temporary failure (timeout, 429, 5xx, closed socket).

    ``retry_after_s`` is the delay that the source requested; None: not given.
    """

    def __init__(self, source: str, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(source, message)
        self.retry_after_s = retry_after_s


class BadMessage(SourceError):
    """A frame or body does not match the documentation of the source. ``raw`` is its first bytes."""

    def __init__(self, source: str, message: str, raw: bytes | str = b"") -> None:
        super().__init__(source, message)
        self.raw = raw[:RAW_SHOWN]


class Fatal(SourceError):
    """The source refused the request; a retry cannot succeed."""


class EndpointUnreachable(CoinwatchError):
    """The alert endpoint cannot be reached, or closed the connection before it replied."""


class CommandRefused(CoinwatchError):
    """The alert endpoint refused a command. ``code`` is for programs, ``hint`` states what is accepted."""

    def __init__(self, code: str, message: str, hint: str) -> None:
        super().__init__(f"{message} ({hint})")
        self.code = code
        self.hint = hint


class UnreadableRule(CoinwatchError):
    """A stored alert rule cannot be read. ``hint`` states what to do."""

    def __init__(self, rule_id: int, reason: str) -> None:
        super().__init__(f"rule {rule_id} cannot be read and is ignored: {reason[:RAW_SHOWN]}")
        self.rule_id = rule_id
        self.hint = "it was stored by a newer version or edited by hand: remove it, or upgrade this endpoint"


class WarehouseError(CoinwatchError):
    """Postgres could not be started, reached, upgraded or trusted with the data.

    ``state`` names the state that Postgres is in, ``remedy`` what ends it, both for logs and health pages.
    """

    state: ClassVar[str] = "Postgres refused a statement"
    remedy: ClassVar[str] = "run `coinwatch db upgrade`; if that does not help, please report it"


class NoDatabase(WarehouseError):
    """The data folder holds no database, and a reader does not create it. ``hint`` is what to do about it."""

    hint = "start Coinwatch with: coinwatch up"

    def __init__(self, folder: str) -> None:
        super().__init__(f"there is no database in {folder} ({self.hint})")


class WarehouseUnavailable(WarehouseError):
    """Postgres did not answer, or could not do this now: retry later.

    ``reason`` is what Postgres reported, in one line and without the address of the server.
    """

    state = "Postgres is away"
    remedy = "start the server or check COINWATCH_DATABASE_URL"

    def __init__(self, message: str, *, reason: str = "") -> None:
        super().__init__(message)
        self.reason = reason or message


class WarehouseSlow(WarehouseUnavailable):
    """Postgres took longer than allowed."""

    state = "Postgres is too slow"
    remedy = "check its load, its disk, and pg_stat_activity for what blocks it"


class WarehouseFull(WarehouseUnavailable):
    """The disk of Postgres is full: it answers reads and stores nothing until there is space."""

    state = "the disk of Postgres is full"
    remedy = "free space on it, or lower COINWATCH_TICKS_KEEP_GB"


class WarehouseReadOnly(WarehouseUnavailable):
    """Postgres accepts no writes: it is a standby, or was set to read-only."""

    state = "Postgres is read-only"
    remedy = "connect to the primary server, or end what set default_transaction_read_only"


class WarehouseRejected(WarehouseError):
    """Postgres refused a statement or its values. The same call fails again.

    ``kind`` is the name of Postgres for the error, such as ``UndefinedTable``.
    """

    def __init__(self, message: str, *, kind: str = "") -> None:
        super().__init__(message)
        self.kind = kind
