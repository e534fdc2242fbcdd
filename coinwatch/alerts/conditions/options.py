"""How ``coinwatch watch`` makes conditions of its options. Declarations only."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Companion:
    """An option that fills in another field of a condition: ``--within`` beside ``--rises``."""

    name: str
    """Of the option, with underscores. Options of several conditions may share a companion."""
    fills: str
    """The field of the protocol that takes its value."""
    hint: str
    value: type = str
    is_required: bool = False
    parse: Callable[[Any], Any] | None = None
    """From the value of the option to that of the field."""


@dataclass(frozen=True)
class Option:
    """An option that makes a condition: ``--rises 5``."""

    name: str
    hint: str
    fills: str | None = None
    """The field of the protocol that takes its value; None for a flag, or with ``parse``."""
    value: type = float
    fixed: Mapping[str, Any] = field(default_factory=dict)
    """Fields with a value of their own."""
    companions: tuple[Companion, ...] = ()
    parse: Callable[[Any], Mapping[str, Any]] | None = None
    """From the value of the option to fields of the protocol. Raises InvalidField."""
