"""The controls of the Chart page and the choice they make."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st

from app.dashboard.chart import compare, view
from app.dashboard.ui import indicator_controls, indicators, moments, page, query, viewer
from app.dashboard.ui.indicators import Indicator
from app.dashboard.ui.url import PageUrl
from coinwatch.errors import CoinwatchError
from coinwatch.intervals import Interval
from coinwatch.times import now_us
from warehouse.candles.chart_reads import WatchedMarket

DEFAULT_RANGE = "1d"
_INTERVALS = (view.AUTO, *(interval.value for interval in Interval))
_SUGGESTED = [
    *(f"{kind} {length}" for kind in indicators.MOVING_AVERAGES for length in (10, 20, 50, 200)),
    *("BB 20 2", "VWAP", "RSI 14", "MACD 12 26 9", "OBV"),
]
_UNTIL = "chart_until"
_ZOOMED = "chart_zoomed"


@dataclass(frozen=True)
class Chosen:
    watched: WatchedMarket
    range_name: str
    interval: Interval
    until_us: int | None
    """The end of the chart, on the grid of its candles; None: now."""
    indicators: tuple[Indicator, ...]
    others: tuple[WatchedMarket, ...]
    """The markets it is compared with."""

    @property
    def range_us(self) -> int:
        return view.RANGES[self.range_name]


def choose(markets: Sequence[WatchedMarket]) -> tuple[Chosen, list[str]]:
    """Draw the controls. Returns the choice, and notes on values of the address that were replaced."""
    url = PageUrl("chart")
    notes: list[str] = []
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        known = page.symbols_of(markets)
        asked = query.symbol(url.get("symbol"), known)
        page.preset(url, "symbol", query.Choice(str(asked.value), asked.note), notes)
        symbol = st.selectbox("Symbol", [str(option) for option in known], key="symbol", width=140)
        members = {
            watched.market.exchange: watched for watched in markets if str(watched.market.symbol) == symbol
        }
        exchanges = list(members)
        page.preset(
            url, "exchange", query.option("exchange", url.get("exchange"), exchanges, exchanges[0]), notes
        )
        if st.session_state["exchange"] not in exchanges:
            st.session_state["exchange"] = exchanges[0]
        exchange = st.selectbox("Exchange", exchanges, key="exchange", width=120)
        range_name, length, until_us = _choose_span(url, notes)
        chosen = indicator_controls.choose(
            url,
            notes,
            "Indicators",
            _SUGGESTED,
            key="overlays",
            placeholder="SMA 20, RSI 14 …",
            width=260,
            hint="Type any parameters: SMA and EMA length in candles, BB length and deviations, "
            "VWAP of the UTC day, RSI length, MACD fast, slow and signal, OBV.",
        )
        others = _choose_others(url, markets, members[exchange], notes)
    interval, word = view.fitting(length, view.RANGES[range_name])
    url.write(
        {
            "symbol": [symbol],
            "exchange": [exchange],
            "range": [range_name],
            "interval": [length],
            "until": [] if until_us is None else [moments.iso(until_us)],
            "overlays": [str(indicator) for indicator in chosen],
            "compare": [str(other.market) for other in others],
        }
    )
    end_us = None if until_us is None else interval.ceil(until_us)
    return Chosen(members[exchange], range_name, interval, end_us, chosen, others), [*notes, word]


def zoom_in(range_name: str, until_us: int | None) -> None:
    """Show another range from the next run on, in candles that fit it."""
    st.session_state[_ZOOMED] = range_name, until_us
    st.rerun()


def _choose_span(url: PageUrl, notes: list[str]) -> tuple[str, str, int | None]:
    """Range, candle and end."""
    if (zoomed := st.session_state.pop(_ZOOMED, None)) is not None:
        st.session_state["range"], until_us = zoomed
        st.session_state["interval"] = view.AUTO
        st.session_state[_UNTIL] = "" if until_us is None else moments.as_typed(until_us, viewer.zone())
    ranges = tuple(view.RANGES)
    page.preset(url, "range", query.option("range", url.get("range"), ranges, DEFAULT_RANGE), notes)
    range_name = st.segmented_control(
        "Range", ranges, key="range", required=True, help="Length of the chart, up to now or the chosen end."
    )
    page.preset(url, "interval", query.option("candle", url.get("interval"), _INTERVALS, view.AUTO), notes)
    length = st.segmented_control(
        "Candle", _INTERVALS, key="interval", required=True, help="Interval of a candle; auto fits the range."
    )
    range_name, length = range_name or DEFAULT_RANGE, length or view.AUTO
    return range_name, length, _choose_until(url, range_name, notes)


def _choose_until(url: PageUrl, range_name: str, notes: list[str]) -> int | None:
    at_us = now_us()
    if url.fresh(_UNTIL):
        st.session_state[_UNTIL] = moments.retyped(url.get("until") or "", at_us, viewer.zone())
    with st.container(horizontal=True, vertical_alignment="bottom", gap="xsmall", width="content"):
        st.button(
            "Earlier",
            key="chart_earlier",
            icon=":material/chevron_left:",
            help="Half a range earlier.",
            on_click=_step,
            args=(range_name, -1),
        )
        raw = st.text_input(
            "Until",
            key=_UNTIL,
            placeholder="now",
            width=160,
            help="The end of the chart: a time like 10:30 or 2026-11-21 10:30. Empty for now.",
        )
        st.button(
            "Later",
            key="chart_later",
            icon=":material/chevron_right:",
            help="Half a range later.",
            on_click=_step,
            args=(range_name, 1),
            disabled=not raw,
        )
    try:
        return moments.parse(raw, at_us, viewer.zone())
    except CoinwatchError as error:
        notes.append(f"{error}. Showing now.")
        return None


def _step(range_name: str, way: int) -> None:
    at_us = now_us()
    try:
        end_us = moments.parse(st.session_state[_UNTIL], at_us, viewer.zone()) or at_us
    except CoinwatchError:
        end_us = at_us
    end_us += way * view.RANGES[range_name] // 2
    st.session_state[_UNTIL] = "" if end_us >= at_us else moments.as_typed(end_us, viewer.zone())


def _choose_others(
    url: PageUrl, markets: Sequence[WatchedMarket], own: WatchedMarket, notes: list[str]
) -> tuple[WatchedMarket, ...]:
    named = {str(watched.market): watched for watched in markets if watched != own}
    if url.fresh("compare"):
        asked = [name for name in url.get_all("compare") if name in named]
        if unknown := [name[:40] for name in url.get_all("compare") if name not in named]:
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
        help="Other markets, all indexed to 100 at the start.",
    )
    return tuple(named[name] for name in chosen)
