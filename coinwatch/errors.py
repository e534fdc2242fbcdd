"""The errors of Coinwatch.

CoinwatchError
├── SettingsError        a setting is missing or wrong; names the variable
├── UnknownSymbol        a spelling that resolves to no pair; carries near matches
├── SourceError          an exchange or provider, by name
│   ├── Retryable        try again, after ``retry_after_s`` when it said so
│   ├── BadMessage       a frame or body that cannot be read; carries its start
│   └── Fatal            trying again cannot help (unknown market, refused request)
├── EndpointUnreachable  the alert endpoint does not answer its client
├── CommandRefused       the alert endpoint says no; carries its code and hint
├── UnreadableRule       a stored alert rule that makes no sense here; carries its id and a hint
└── WarehouseError       the warehouse, which is Postgres
    ├── WarehouseUnavailable  no connection, a timeout, a lock: retry later
    │   └── WarehouseSlow     Postgres took longer than allowed
    └── WarehouseRejected     Postgres refused a statement: the same call fails again

Messages say what happened, to what, and what to do about it.
"""

RAW_SHOWN = 200


class CoinwatchError(Exception):
    """Base of every error Coinwatch raises on purpose."""


class SettingsError(CoinwatchError):
    """A setting is missing or wrong. The message names the environment variable."""


class UnknownSymbol(CoinwatchError):
    """A typed symbol or market that cannot be resolved.

    ``near`` holds spellings the person may have meant, best first.
    """

    def __init__(self, text: str, reason: str, near: tuple[str, ...] = ()) -> None:
        hint = f"; did you mean {', '.join(near)}?" if near else ""
        super().__init__(f"{text[:60]!r}: {reason}{hint}")
        self.text = text
        self.near = near


class SourceError(CoinwatchError):
    """An exchange or provider did not give what was asked. ``source`` is its name."""

    def __init__(self, source: str, message: str) -> None:
        super().__init__(f"{source}: {message}")
        self.source = source


class Retryable(SourceError):
    """A passing failure (timeout, 429, 5xx, closed socket).

    ``retry_after_s`` is the wait the source asked for, None when it did not say.
    """

    def __init__(self, source: str, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(source, message)
        self.retry_after_s = retry_after_s


class BadMessage(SourceError):
    """A frame or body that is not what the source documents. ``raw`` is its first bytes."""

    def __init__(self, source: str, message: str, raw: bytes | str = b"") -> None:
        super().__init__(source, message)
        self.raw = raw[:RAW_SHOWN]


class Fatal(SourceError):
    """The source refused in a way that asking again cannot change."""


class EndpointUnreachable(CoinwatchError):
    """The alert endpoint could not be reached, or went away before it had answered."""


class CommandRefused(CoinwatchError):
    """The alert endpoint refused a command. ``code`` is for programs, ``hint`` says what would be right."""

    def __init__(self, code: str, message: str, hint: str) -> None:
        super().__init__(f"{message} ({hint})")
        self.code = code
        self.hint = hint


class UnreadableRule(CoinwatchError):
    """A stored alert rule cannot be read. ``hint`` says what to do about it."""

    def __init__(self, rule_id: int, reason: str) -> None:
        super().__init__(f"rule {rule_id} cannot be read and is not watched for: {reason[:RAW_SHOWN]}")
        self.rule_id = rule_id
        self.hint = (
            "a newer version stored it, or it was changed by hand: remove it, or run that version here too"
        )


class WarehouseError(CoinwatchError):
    """Postgres could not be started, reached, upgraded or trusted with the data."""


class WarehouseUnavailable(WarehouseError):
    """Postgres did not answer, or could not do this now: retry later.

    ``reason`` is what Postgres reported, in one line and without the address of the server.
    """

    def __init__(self, message: str, *, reason: str = "") -> None:
        super().__init__(message)
        self.reason = reason or message


class WarehouseSlow(WarehouseUnavailable):
    """Postgres took longer than allowed."""


class WarehouseRejected(WarehouseError):
    """Postgres refused a statement or its values. The same call fails again.

    ``kind`` is the name of Postgres for the error, such as ``UndefinedTable``.
    """

    def __init__(self, message: str, *, kind: str = "") -> None:
        super().__init__(message)
        self.kind = kind
