"""The HTML of the Averages page. Pure; every value from outside is escaped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, tzinfo
from html import escape

from app.dashboard.averages.view import STALE_US, Part
from app.dashboard.ui import html
from app.dashboard.ui.trend import Trend
from coinwatch import formats
from coinwatch.averaging.average import State
from coinwatch.times import DAY_US, SECOND_US, from_datetime
from warehouse.averages.store import PairAverage

_METHODS = {"median": "weighted median", "mean": "weighted mean", "vwap": "mean weighted by volume"}


def headline(pair: PairAverage, trend: Trend, now_us: int, *, moved: bool) -> str:
    """The average now: price, spread, 24 h change, how it was made, age."""
    average, symbol = pair.average, pair.symbol
    parts = [
        f'<h1 class="cw-title">{escape(symbol.base)}<span> / {escape(symbol.quote)}</span>'
        f"<small>average of {len(average.exchanges)}</small></h1>",
        html.price(average.price, trend, moved=moved),
        html.change(pair.change_24h, DAY_US),
        _spread(pair),
        _fact("Made by", _METHODS.get(average.method, str(average.method)), ""),
        _fact("High", formats.price(pair.high_24h), "Median of the exchanges' highest prices of 24 hours"),
        _fact("Low", formats.price(pair.low_24h), "Median of the exchanges' lowest prices of 24 hours"),
    ]
    parts.append(_fact("Computed", formats.age(pair.ts_us, now_us), ""))
    if average.state is State.DEGRADED:
        parts.append('<span class="cw-badge degraded" title="Of fewer than three exchanges">degraded</span>')
    if now_us - pair.ts_us > STALE_US:
        parts.append('<span class="cw-badge stale">stale</span>')
    return f'<div class="cw-quote">{"".join(parts)}</div>'


def past(pair: PairAverage, zone: tzinfo) -> str:
    """The average as it was."""
    return (
        f'<div class="cw-quote"><span class="cw-fact"><span class="muted">Average</span> '
        f"{formats.price(pair.average.price)}</span>{_spread(pair)}"
        f"{_fact('Made by', _METHODS.get(pair.average.method, str(pair.average.method)), '')}"
        f'<span class="cw-fact"><span class="muted">Computed</span> {html.time(pair.ts_us, zone)}</span>'
        f"{_fact('Of', formats.names(pair.average.exchanges), '')}</div>"
    )


def constituents(parts: Sequence[Part], colours: Mapping[str, str], zone: tzinfo) -> str:
    """Who made the average, and who was left out and why."""
    reach = max((abs(part.deviation) for part in parts if part.used), default=0.0) or 1.0
    rows = "".join(_row(part, colours.get(part.name, "currentColor"), reach, zone) for part in parts)
    heads = (
        ("Exchange", "", ""),
        ("Price", "number", "As it traded; converted where the quote asset is another"),
        ("Deviation", "number", "From the average, in basis points: 1 bp is 0.01 %"),
        ("", "wide", ""),
        ("Weight", "number", "Its share in the average"),
        ("Usually", "number", "Mean distance from the average over the chosen range, while used"),
        ("Used", "number", "In how many moments of the chosen range"),
        ("Last trade", "time", "At the moment of the average, and how old it was then"),
        ("Left out because", "text", ""),
    )
    head = "".join(
        f'<th class="{kind}" scope="col"{_title(tip)}>{escape(name)}</th>' for name, kind, tip in heads
    )
    return (
        f'<div class="cw-scroll" tabindex="0" role="group" aria-label="Constituents">'
        f'<table class="cw-table cw-parts"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'
    )


def volumes(shares: Sequence[tuple[str, float, float]], colours: Mapping[str, str], quote: str) -> str:
    """Each exchange's share of the pair's volume of 24 hours, as bars."""
    rows = "".join(
        f'<div class="cw-bar"><span>{escape(name)}</span>'
        f'<span class="track"><i style="width:{100 * share:.1f}%;'
        f'background:{colours.get(name, "currentColor")}"></i></span>'
        f"<b>{formats.share(share)}</b>"
        f'<span class="muted">{formats.compact(volume)} {escape(quote)}</span></div>'
        for name, volume, share in shares
    )
    return f'<div class="cw-bars">{rows}</div>'


def _row(part: Part, colour: str, reach: float, zone: tzinfo) -> str:
    share = max(-1.0, min(1.0, part.deviation / reach)) * 50
    left = 50 + min(share, 0)
    bar = (
        f'<span class="cw-apart"><i style="left:{left:.1f}%;width:{abs(share):.1f}%;background:{colour}">'
        "</i></span>"
    )
    converted = f" <small>at {part.rate:.6g}</small>" if part.rate is not None else ""
    cells = (
        ("name", f'<i class="cw-swatch" style="background:{colour}"></i>{escape(part.name)}'),
        ("number", f"{formats.price(part.price)}{converted}"),
        ("number", formats.basis_points(part.deviation)),
        ("wide", bar),
        ("number", formats.share(part.weight) if part.used else formats.UNKNOWN),
        ("number", formats.basis_points(part.usual_deviation).lstrip("+")),
        ("number", formats.UNKNOWN if part.used_share is None else f"{part.used_share * 100:.0f} %"),
        ("time", f"{_traded(part.traded, zone)} <small>{formats.duration(_us(part.age_s))} old</small>"),
        ("text", escape(part.why)),
    )
    body = "".join(f'<td class="{kind}">{cell}</td>' for kind, cell in cells)
    return f'<tr class="{"" if part.used else "out"}">{body}</tr>'


def _traded(iso: str, zone: tzinfo) -> str:
    try:
        moment = datetime.fromisoformat(iso)
    except ValueError:
        return escape(iso)
    at_us = from_datetime(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
    local = moment.astimezone(zone)
    return f'<time title="{escape(formats.moment(at_us))}">{local:%H:%M:%S}</time>'


def _spread(pair: PairAverage) -> str:
    value = f"± {pair.average.confidence:,.{formats.price_decimals(pair.average.price)}f}"
    return _fact("Spread", value, "Half of the weight lies within it: the further weighted quartile.")


def _us(seconds: float) -> int:
    return round(seconds * SECOND_US)


def _fact(name: str, value: str, tip: str) -> str:
    return (
        f'<span class="cw-fact"{_title(tip)}><span class="muted">{escape(name)}</span> {escape(value)}</span>'
    )


def _title(tip: str) -> str:
    return f' title="{escape(tip)}"' if tip else ""
