"""Numbers, lengths of time and conditions, as people read them."""

from __future__ import annotations

from decimal import Decimal
from functools import singledispatch

from coinwatch.alerts import conditions as c
from coinwatch.times import to_datetime

_UNITS = (("d", 86_400), ("h", 3_600), ("m", 60))


def price_text(price: float | None) -> str:
    """``price`` for people: all its digits, thousands apart, no exponent; a dash where there is none."""
    if price is None:
        return "–"  # noqa: RUF001
    text = f"{Decimal(repr(price)):,f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def duration_text(seconds: int) -> str:
    """Exactly ``seconds``, in the greatest unit that fits: ``15m``, ``90s``."""
    for unit, length in _UNITS:
        if seconds and seconds % length == 0:
            return f"{seconds // length}{unit}"
    return f"{seconds}s"


def moment_text(ts_us: int) -> str:
    """ISO 8601 in UTC, with all microseconds."""
    return to_datetime(ts_us).isoformat(timespec="microseconds").replace("+00:00", "Z")


@singledispatch
def words(condition: c.Condition) -> str:
    """What ``condition`` waits for, as the end of a sentence."""
    raise TypeError(f"no words for {type(condition).__name__}")


@words.register
def _(one: c.Above) -> str:
    return f"at or above {price_text(one.price)}"


@words.register
def _(one: c.Below) -> str:
    return f"at or below {price_text(one.price)}"


@words.register
def _(one: c.Crosses) -> str:
    way = "" if one.way is c.Way.EITHER else f" {one.way}"
    return f"crossing{way} {price_text(one.price)}"


@words.register
def _(one: c.Change) -> str:
    way = {c.Move.RISE: "risen", c.Move.FALL: "fallen", c.Move.EITHER: "moved"}[one.way]
    return f"{way} by {one.percent:g} % within {duration_text(one.within_s)}"


@words.register
def _(one: c.NewHigh) -> str:
    return f"the highest of {duration_text(one.over_s)}"


@words.register
def _(one: c.NewLow) -> str:
    return f"the lowest of {duration_text(one.over_s)}"


@words.register
def _(one: c.FromAverage) -> str:
    side = {c.Side.ABOVE: "above", c.Side.BELOW: "below", c.Side.EITHER: "away from"}[one.side]
    return f"{one.percent:g} % {side} the average over the exchanges"


@words.register
def _(one: c.Spread) -> str:
    return f"{one.percent:g} % apart between {one.exchanges[0]} and {one.exchanges[1]}"


@words.register
def _(one: c.Volume) -> str:
    return f"with a volume of {one.times:g} times the usual within {duration_text(one.over_s)}"


@words.register
def _(one: c.AverageCross) -> str:
    way = "" if one.way is c.Way.EITHER else f" {one.way}"
    return f"its average of {one.fast} candles of {one.interval} crossing{way} that of {one.slow}"


@words.register
def _(one: c.Rsi) -> str:
    return f"its RSI({one.period}) on {one.interval} at or {one.side} {one.level:g}"


@words.register
def _(one: c.FearGreed) -> str:
    return f"the Fear & Greed index at or {one.side} {one.level:g}"


@words.register
def _(one: c.Sentiment) -> str:
    return f"its sentiment at or {one.side} {one.level:g}"


@words.register
def _(one: c.Silent) -> str:
    return f"silent for {duration_text(one.for_s)}"


@words.register
def _(one: c.OpenGap) -> str:
    return "with an interruption that is not filled"


@words.register
def _(one: c.JobFailed) -> str:
    return "a job failed" if one.job is None else f"the job {one.job} failed"


@words.register
def _(one: c.Depeg) -> str:
    return f"{one.percent:g} % or more off its peg of {price_text(one.peg)}"


@words.register
def _(one: c.All) -> str:
    return " and ".join(words(part) for part in one.of)


@words.register
def _(one: c.Any) -> str:
    return " or ".join(words(part) for part in one.of)
