"""From what a person fills in to an alert rule. Pure."""

from __future__ import annotations

from collections.abc import Collection
from math import isfinite

from app.dashboard import formats
from coinwatch.alerts import Above, Below, Direction, NewRule, Rule, price_condition, words
from coinwatch.errors import CoinwatchError, UnknownSymbol
from coinwatch.records import Market, Symbol
from coinwatch.symbols import parse_market, parse_symbol

CLIENT = "dashboard"
"""The named client that owns the rules made on the dashboard."""

LONGEST_NOTE = 200


def resolve(typed: str, known: Collection[Market]) -> tuple[Symbol, str | None]:
    """The pair, and the exchange when one is named, that a person means. Raises UnknownSymbol."""
    symbols = sorted({market.symbol for market in known})
    if ":" not in typed:
        return parse_symbol(typed, symbols), None
    market = parse_market(typed, sorted({market.exchange for market in known}), symbols)
    if market not in known:
        others = [one for one in known if one.symbol == market.symbol]
        raise UnknownSymbol(
            typed, f"{market.exchange} does not trade it here", tuple(map(str, sorted(others)))
        )
    return market.symbol, market.exchange


def new_rule(
    typed: str, direction: str, price: float | None, note: str, known: Collection[Market]
) -> NewRule:
    """The rule a person asks for. Raises CoinwatchError saying what is wrong and what would be right."""
    symbol, exchange = resolve(typed, known)
    if price is None or not isfinite(price) or price <= 0:
        raise CoinwatchError(f"a price is a number above 0, in {symbol.quote}")
    note = " ".join(note.split())
    if len(note) > LONGEST_NOTE:
        raise CoinwatchError(f"a note has at most {LONGEST_NOTE} letters, this one has {len(note)}")
    return NewRule(
        symbol=symbol,
        exchange=exchange,
        condition=price_condition(Direction(direction), price),
        typed=typed,
        note=note or None,
        client=CLIENT,
    )


def sentence(rule: NewRule) -> str:
    """``BTC-USDT at or above 70,000.00``, with the exchange when it matters."""
    where = f" on {rule.exchange}" if rule.exchange else ""
    if not isinstance(rule.condition, Above | Below):
        return f"{rule.symbol}{where} {words(rule.condition)}"
    side = "at or above" if isinstance(rule.condition, Above) else "at or below"
    return f"{rule.symbol}{where} {side} {formats.price(rule.condition.price)}"


def state(rule: Rule, price: float | None, now_us: int) -> str:
    """Where a rule stands: fired when, or how far the price has to go."""
    if not rule.armed:
        return f"fired {formats.age(rule.fired_at_us, now_us)}" if rule.fired_at_us else "fired"
    if rule.state.paused:
        return "paused: it fired too often"
    if price is None or rule.state.waiting or not isinstance(rule.condition, Above | Below):
        return "waiting"
    if rule.condition.met_by(price):
        return "waiting for the next trade"
    return f"waiting, {formats.percent(rule.condition.price / price - 1)} to go"
