"""Chart: candles of one market with studies and alerts, or several markets compared; the last one live."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import TypeVar
from urllib.parse import quote as quote_url

import streamlit as st

from app.dashboard import (
    alert_form,
    candles_plot,
    chart,
    compare,
    download,
    formats,
    markup,
    overview,
    page,
    query,
    studies,
)
from app.dashboard.data import Source
from app.dashboard.studies import Study
from app.dashboard.style import palette
from app.dashboard.url import PageUrl
from coinwatch.intervals import Interval
from coinwatch.records import Candle, Market
from coinwatch.times import now_us
from coinwatch.windows import Window
from warehouse.reads import DayStats, LastTrade, TradeRate, WatchedMarket

Row = TypeVar("Row", DayStats, LastTrade, TradeRate)

DEFAULT_RANGE = "1d"
COMPARE_HEIGHT = "520px"
SLOW_FROM = 1_500
"""A chart of more candles is sent less often than every second."""
SLOW_S = 5
_INTERVALS = (chart.AUTO, *(interval.value for interval in Interval))
_SUGGESTED = [
    *(f"{kind} {length}" for kind in studies.MOVING_AVERAGES for length in (10, 20, 50, 200)),
    *("BB 20 2", "VWAP", "RSI 14", "MACD 12 26 9", "OBV"),
]
_SHOWN = "chart_shown"
_PICKED = "chart_picked"
_CLICK = "chart_click"


@dataclass(frozen=True)
class _Chosen:
    watched: WatchedMarket
    range_name: str
    interval: Interval
    studies: tuple[Study, ...]
    others: tuple[WatchedMarket, ...]
    """Those it is compared with."""


def show(source: Source) -> None:
    """Draw the page."""
    markets = page.markets(source)
    heading, notices = st.container(), st.container()
    chosen, notes = _choose(markets)
    with notices:
        page.notice(" ".join(note for note in notes if note))
    market = chosen.watched.market
    st.set_page_config(page_title=f"{market.symbol} on {market.exchange} · Chart · Coinwatch")
    with heading:
        _quote(source, chosen.watched)
    if chosen.others:
        _comparison(source, chosen)
        return
    shown = chart.RANGES[chosen.range_name] // chosen.interval.us
    draw = _candles if shown <= SLOW_FROM else _many_candles
    draw(source, chosen)
    _below(source, chosen)


def _choose(markets: Sequence[WatchedMarket]) -> tuple[_Chosen, list[str]]:
    """The controls, what they say, and words about what had to be changed."""
    url = PageUrl("chart")
    notes: list[str] = []
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        known = page.symbols_of(markets)
        asked = query.symbol(url.one("symbol"), known)
        page.take(url, "symbol", query.Choice(str(asked.value), asked.note), notes)
        symbol = st.selectbox("Symbol", [str(one) for one in known], key="symbol", width=140)
        members = {
            watched.market.exchange: watched for watched in markets if str(watched.market.symbol) == symbol
        }
        exchanges = list(members)
        page.take(
            url, "exchange", query.one_of("exchange", url.one("exchange"), exchanges, exchanges[0]), notes
        )
        if st.session_state["exchange"] not in exchanges:
            st.session_state["exchange"] = exchanges[0]
        exchange = st.selectbox("Exchange", exchanges, key="exchange", width=120)
        ranges = tuple(chart.RANGES)
        page.take(url, "range", query.one_of("range", url.one("range"), ranges, DEFAULT_RANGE), notes)
        range_name = st.segmented_control(
            "Range", ranges, key="range", required=True, help="How far back from now."
        )
        page.take(url, "interval", query.one_of("candle", url.one("interval"), _INTERVALS, chart.AUTO), notes)
        length = st.segmented_control(
            "Candle", _INTERVALS, key="interval", required=True, help="Its length; auto picks one that fits."
        )
        chosen = _choose_studies(url, notes)
        others = _choose_others(url, markets, members[exchange], notes)
    range_name, length = range_name or DEFAULT_RANGE, length or chart.AUTO
    interval, word = chart.fitting(length, chart.RANGES[range_name])
    url.write(
        {
            "symbol": [symbol],
            "exchange": [exchange],
            "range": [range_name],
            "interval": [length],
            "overlays": [str(study) for study in chosen],
            "compare": [str(one.market) for one in others],
        }
    )
    return _Chosen(members[exchange], range_name, interval, chosen, others), [*notes, word]


def _choose_studies(url: PageUrl, notes: list[str]) -> tuple[Study, ...]:
    if url.fresh("overlays"):
        asked = query.studies(url.all("overlays"))
        notes.append(asked.note)
        st.session_state["overlays"] = [str(study) for study in asked.value]
    typed = query.studies(
        st.multiselect(
            "Indicators",
            dict.fromkeys([*_SUGGESTED, *st.session_state["overlays"]]),
            key="overlays",
            accept_new_options=True,
            max_selections=query.MOST_STUDIES,
            placeholder="SMA 20, RSI 14 …",
            width=260,
            help="Any numbers can be typed: SMA and EMA over so many candles, BB length and deviations, "
            "VWAP of the UTC day, RSI length, MACD fast, slow and signal, OBV.",
        )
    )
    notes.append(typed.note)
    return typed.value


def _choose_others(
    url: PageUrl, markets: Sequence[WatchedMarket], own: WatchedMarket, notes: list[str]
) -> tuple[WatchedMarket, ...]:
    named = {str(one.market): one for one in markets if one != own}
    if url.fresh("compare"):
        asked = [name for name in url.all("compare") if name in named]
        if unknown := [name[:40] for name in url.all("compare") if name not in named]:
            notes.append(f"Cannot be compared with: {', '.join(unknown)}.")
        st.session_state["compare"] = asked[: compare.MOST - 1]
    st.session_state["compare"] = [name for name in st.session_state["compare"] if name in named]
    chosen = st.multiselect(
        "Compare with",
        list(named),
        key="compare",
        max_selections=compare.MOST - 1,
        placeholder="kraken:ETH-USDT …",
        width=230,
        help="Other markets, each 100 at the start of the chart.",
    )
    return tuple(named[name] for name in chosen)


def _of(watched: WatchedMarket, rows: Iterable[Row] | None) -> Row | None:
    return next((row for row in rows or () if row.market_id == watched.market_id), None)


@page.live
def _quote(source: Source, watched: WatchedMarket) -> None:
    ids = [one.market_id for one in source.markets().known]
    latest, statistics = source.latest(ids), source.statistics(ids)
    slow = statistics.value
    trade = _of(watched, latest.value)
    day = _of(watched, slow.day if slow else None)
    rate = _of(watched, slow.rates if slow else None)
    at_us = now_us()
    seen: dict[int, overview.Shown] = st.session_state.setdefault(_SHOWN, {})
    trend, moved, stale = overview.Trend.FLAT, False, False
    if trade is not None:
        trend, moved = overview.direction(trade.price, seen.get(watched.market_id))
        seen[watched.market_id] = overview.Shown(trade.price, trend)
        stale = bool(latest.problem) or at_us - trade.ts_us > overview.patience_us(rate)
    line = markup.quote(watched.market, trade, day, trend, at_us, moved=moved, stale=stale)
    st.html(markup.wrap(line, frozen=stale))


def _draw_candles(source: Source, chosen: _Chosen) -> None:
    candles, problem = _read(source, chosen)
    if candles is None:
        st.html(markup.wrap(markup.empty("The warehouse cannot be read", problem, *page.START)))
        return
    view = candles
    if view.last is None:
        st.html(
            markup.wrap(
                markup.empty(
                    f"No candles of {chosen.watched.market} yet",
                    "History is collected every few minutes, and the first live trade starts a candle here.",
                    *page.START,
                )
            )
        )
        return
    # Can be imported only where Streamlit runs.
    from streamlit_echarts import JsCode, st_echarts

    levels = _levels(source, chosen.watched.market)
    told = st_echarts(
        candles_plot.options(view, palette(st.context.theme.type), JsCode, levels=levels),
        events={"zr:click": candles_plot.PICK},
        height=f"{candles_plot.height_px(view)}px",
        replace_merge=["series"],
        key=" ".join(
            [
                "candles",
                str(chosen.watched.market),
                chosen.interval,
                chosen.range_name,
                *candles_plot.panes(view),
            ]
        ),
    )
    far = ", ".join(formats.price(one.price) for one in candles_plot.out_of_sight(view, levels))
    words = f"Alerts further away: {far}." if far else ""
    st.html(markup.wrap(markup.chart_notes(view, page.zone(), words)))
    _picked(told, chosen.watched.market)


_candles = page.live(_draw_candles)
_many_candles = page.every(SLOW_S)(_draw_candles)


def _read(source: Source, chosen: _Chosen) -> tuple[chart.ChartView | None, str]:
    watched, interval = chosen.watched, chosen.interval
    range_us = chart.RANGES[chosen.range_name]
    warm_up = max((study.warm_up(interval.us) for study in chosen.studies), default=0)
    history = source.history(watched, interval, range_us + warm_up * interval.us)
    tail = source.tail(watched, interval)
    page.trouble([tail, history])
    if history.value is None:
        return None, history.problem or ""
    latest = source.latest([one.market_id for one in source.markets().known])
    candles = chart.splice(history.value.candles, tail.value or ())
    view = chart.build(
        chart.reach(candles, _of(watched, latest.value)),
        history.value.gaps,
        interval=interval,
        range_us=range_us,
        studies=chosen.studies,
        now_us=now_us(),
    )
    return view, ""


def _levels(source: Source, market: Market) -> tuple[candles_plot.Level, ...]:
    """The prices at which alerts of this page's owner wait."""
    known = source.alerts(alert_form.CLIENT).value
    return tuple(
        candles_plot.Level(price, f"alert {formats.price(price)}")
        for rule in (known.rules if known else ())
        if rule.armed
        and rule.symbol == market.symbol
        and rule.exchange in (None, market.exchange)
        and isinstance(price := getattr(rule.condition, "price", None), float)
    )


def _picked(told: object, market: Market) -> None:
    """A click on the chart offers an alert at its price."""
    event = told.get("chart_event") if isinstance(told, dict) else None
    if isinstance(event, dict) and event != st.session_state.get(_CLICK):
        st.session_state[_CLICK] = event
        price = event.get("price")
        if isinstance(price, int | float) and price > 0:
            st.session_state[_PICKED] = (str(market), round(price, formats.price_decimals(price)))
    picked_market, price = st.session_state.get(_PICKED, ("", 0.0))
    if picked_market == str(market):
        address = f"alerts?symbol={quote_url(str(market))}&price={price}"
        st.html(markup.wrap(markup.offer(f"New alert at {formats.price(price)}", address)))


def _below(source: Source, chosen: _Chosen) -> None:
    """The candles shown, as a file."""

    def table(write: Callable[[Sequence[Candle]], bytes]) -> Callable[[], bytes]:
        def content() -> bytes:
            history = source.history(chosen.watched, chosen.interval, chart.RANGES[chosen.range_name])
            tail = source.tail(chosen.watched, chosen.interval)
            return write(chart.splice(history.value.candles if history.value else (), tail.value or ()))

        return content

    name = f"{chosen.watched.market}-{chosen.interval}-{chosen.range_name}".replace(":", "-")
    with st.container(horizontal=True, gap="small"):
        for label, ending, mime, write in download.FORMATS:
            st.download_button(
                label,
                table(write),
                f"{name}.{ending}",
                mime,
                icon=":material/download:",
                on_click="ignore",
                help="The candles shown, times in UTC.",
            )


@page.every(SLOW_S)
def _comparison(source: Source, chosen: _Chosen) -> None:
    range_us = chart.RANGES[chosen.range_name]
    candles: dict[str, Sequence[Candle]] = {}
    gaps: dict[str, Sequence[Window]] = {}
    readings = []
    for watched in (chosen.watched, *chosen.others):
        history = source.history(watched, chosen.interval, range_us)
        readings.append(history)
        tail = source.tail(watched, chosen.interval).value or ()
        candles[str(watched.market)] = chart.splice(history.value.candles if history.value else (), tail)
        gaps[str(watched.market)] = history.value.gaps if history.value else ()
    page.trouble(readings)
    lines = compare.rebase(candles, now_us() - range_us, gaps)
    if not lines:
        st.html(markup.wrap(markup.empty("No candles to compare yet", *page.START)))
        return
    # Can be imported only where Streamlit runs.
    from streamlit_echarts import JsCode, st_echarts

    st_echarts(
        compare.options(lines, palette(st.context.theme.type), JsCode),
        height=COMPARE_HEIGHT,
        replace_merge=["series"],
        key=f"compare {sorted(candles)} {chosen.range_name} {chosen.interval}",
    )
    changes = ", ".join(f"{line.name} {formats.percent(line.change)}" for line in lines)
    since = markup.time(lines[0].points[0][0], page.zone(), seconds=False)
    words = f"Closes of {chosen.interval}, each 100 at {since}: {escape(changes)}."
    if any(line.breaks_us for line in lines):
        words += " A line breaks where candles are not yet collected."
    st.html(markup.wrap(f'<p class="cw-notes">{words}</p>'))
