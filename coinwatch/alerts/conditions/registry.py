"""The registry of conditions: everything that is declared of each, once.

``declare`` adds a condition. The parser, the JSON Schema, the protocol page, the options of
``coinwatch watch`` and the dashboard's form all read it here; ``app.alerts.rules.builders`` adds how the
rule engine evaluates it.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from typing import Any

from coinwatch.alerts.conditions.base import Condition, Group, Priced
from coinwatch.alerts.conditions.fields import Field, fields_of_struct
from coinwatch.alerts.conditions.options import Option


class Scope(Enum):
    """What a condition is evaluated for."""

    MARKET = "market"
    """Each market of the pair on its own; the pair as a whole if its source is the average."""
    PAIR = "pair"
    """The pair, or its base asset, as a whole."""
    NOTHING = "nothing"
    """Neither: a rule on it needs no symbol."""


class Input(Enum):
    """The data that a condition is evaluated on."""

    PRICE = "price"
    """A price of its ``source``."""
    TRADES = "trades"
    """Trades of one market or of several, with no choice of source."""
    AVERAGE = "average"
    """Trades and the price average of the pair."""
    CANDLES = "candles"
    """Closed candles."""
    POLLED = "polled"
    """A number read once a second, with no stored history: a backtest is not possible."""
    EVENTS = "events"
    """Events of the pipelines."""


@dataclass(frozen=True, kw_only=True)
class Declaration:
    """A condition. Its fields and its description are those of ``struct``."""

    struct: type[Condition]
    title: str
    """For forms."""
    example: str
    """JSON that a client can send."""
    hint: str = ""
    """For forms, where the title is not enough."""
    scope: Scope = Scope.MARKET
    input: Input = Input.PRICE
    measures: str | None = None
    """The unit of an alert's ``value``; None if an alert has none."""
    momentary_with: Mapping[str, str] | None = None
    """Met for a moment only, with these values of its fields (none: always). None: it lasts."""
    is_known_at_once: bool = False
    """Whether the last price or number alone shows if it is met, without what came before."""
    meaningless_terms: tuple[str, ...] = ()
    """Terms of no use to it, apart from those that its scope or its moment rules out."""
    options: tuple[Option, ...] = ()
    """Of ``coinwatch watch``."""

    @cached_property
    def type(self) -> str:
        """Its ``type`` in the protocol."""
        return str(self.struct.__struct_config__.tag)

    @cached_property
    def fields(self) -> tuple[Field, ...]:
        """In the order of the protocol."""
        return fields_of_struct(self.struct)

    @cached_property
    def names(self) -> frozenset[str]:
        """What the JSON of it may contain."""
        return frozenset({"type", *(field.name for field in self.fields)})

    @property
    def is_polled(self) -> bool:
        """Whether it is read once a second, so that no price has to come for it to be met."""
        return self.input is Input.POLLED

    @property
    def description(self) -> str:
        """When it is met, in terms of its fields."""
        return inspect.cleandoc(self.struct.__doc__ or "").partition("\n\n")[0].replace("\n", " ")

    @property
    def has_source(self) -> bool:
        """Whether the price it is evaluated on can be chosen."""
        return issubclass(self.struct, Priced)

    def is_momentary(self, values: Mapping[str, Any]) -> bool:
        """Whether the condition of this JSON is met for a moment only; fields left out are defaults."""
        if self.momentary_with is None:
            return False
        defaults = {field.name: field.default for field in self.fields}
        return all(values.get(name, defaults[name]) == value for name, value in self.momentary_with.items())


DECLARATIONS: dict[str, Declaration] = {}
"""Every condition by its type."""
_BY_STRUCT: dict[type[Condition], Declaration] = {}


def declare(declaration: Declaration) -> None:
    """Add a condition to the registry."""
    DECLARATIONS[declaration.type] = _BY_STRUCT[declaration.struct] = declaration


def declaration(condition: Condition) -> Declaration:
    """What is declared of a condition."""
    return _BY_STRUCT[type(condition)]


def singles() -> dict[str, Declaration]:
    """The conditions that are not made of others, by type."""
    return {
        name: declared for name, declared in DECLARATIONS.items() if not issubclass(declared.struct, Group)
    }
