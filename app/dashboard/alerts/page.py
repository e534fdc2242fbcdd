"""The Alerts page: create, backtest, list and change rules; the history of alerts and their outlets."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from app.dashboard.alerts import draft as alerts_draft
from app.dashboard.alerts import form as alerts_form
from app.dashboard.alerts import history, preview, reads, rule_list, sound, widgets
from app.dashboard.alerts.fields import CONDITIONS
from app.dashboard.alerts.states import ALL, State
from app.dashboard.data.failures import describe_failure
from app.dashboard.data.source import DashboardReads
from app.dashboard.ui import page, query
from app.dashboard.ui.url import PageUrl
from coinwatch.alerts import NewRule
from coinwatch.errors import CoinwatchError
from coinwatch.records import Market
from coinwatch.times import now_us
from warehouse.alerts import edits
from warehouse.candles.chart_reads import WatchedMarket

VIEWS = {"alerts": "Alerts", "history": "History", "outlets": "Outlets"}
_PREVIEW = "alerts_preview"


def show(source: DashboardReads) -> None:
    """Draw the page."""
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.title("Alerts", anchor=False, width="content")
        sound.switch()
    markets = page.markets(source)
    url = PageUrl("alerts")
    notes: list[str] = []
    _begin(source, markets, url, notes)
    rule_list.confirm_deletion(source)
    form, lists = st.columns([5, 8], gap="large")
    with form, st.container(border=True, key="card_form"):
        page.notice(" ".join(note for note in notes if note))
        _form(source, markets)
    with lists:
        asked: tuple[NewRule, int] | None = st.session_state.get(_PREVIEW)
        if asked is not None:
            preview.show(source, *asked, markets, _close_preview)
        view, wanted, search = _lists(source, url)
    part = alerts_draft.part_values(alerts_draft.parts()[0])
    price = part.get("price")
    url.write(
        {
            "symbol": [alerts_draft.typed()],
            "condition": [part["type"]],
            "price": [f"{price:.12g}"] if isinstance(price, int | float) else [],
            "view": [view],
            "state": [wanted] if wanted != ALL else [],
            "search": [search] if search else [],
        }
    )


def _begin(source: DashboardReads, markets: Sequence[WatchedMarket], url: PageUrl, notes: list[str]) -> None:
    """Fill in the form from the address, on the first run and when the address has changed."""
    first = str(page.symbols_of(markets)[0])
    if alerts_draft.is_begun() and not url.fresh(alerts_draft.key(alerts_draft.SYMBOL)):
        return
    typed = (url.get("symbol") or first)[:60]
    condition = query.option("condition", url.get("condition"), list(CONDITIONS), "above")
    price, note = alerts_form.price_from(url.get("price"))
    notes += [condition.note, note]
    is_given = url.get("condition") is not None
    condition_type = condition.value if is_given or price is None else "above"
    now = _price(source, markets, typed)
    draft = alerts_form.draft_at(typed, condition_type, price, None if is_given else now)
    alerts_draft.begin(draft)


def _form(source: DashboardReads, markets: Sequence[WatchedMarket]) -> None:
    known = [watched.market for watched in markets]

    def save(drawn_for: str) -> None:
        _save(source, known, drawn_for)

    def look_back() -> None:
        rule = alerts_draft.tried(known)
        st.session_state[_PREVIEW] = rule and (rule, now_us())

    widgets.draw(
        known,
        page.symbols_of(markets),
        _price(source, markets, alerts_draft.typed()),
        save=save,
        look_back=look_back,
        cancel=_reset,
    )
    page.notice(rule_list.take_message())


def _save(source: DashboardReads, known: Sequence[Market], drawn_for: str) -> None:
    # Read the session state, not the last run: a click may arrive together with values typed before it.
    if alerts_draft.typed() != drawn_for:
        rule_list.set_message("Not saved: the symbol has changed. Check the price first.")
        return
    rule = alerts_draft.tried(known)
    if rule is None:
        rule_list.set_message("Not saved: a value above is missing or invalid.")
        return
    editing = alerts_draft.current().editing
    try:
        if editing is None:
            saved = reads.create_rule(source, rule)
        else:
            replaced = source.change_alerts(
                alerts_form.CLIENT, lambda conn: edits.replace_rule(conn, editing, rule)
            )
            if replaced is None:
                rule_list.set_message(
                    f"Not saved: alert {editing} was deleted. Cancel and create a new alert."
                )
                return
            saved = replaced
    except CoinwatchError as error:
        rule_list.set_message(f"Not saved: {describe_failure(error)}.")
        return
    _reset()
    done = "created" if editing is None else f"saved; it replaces alert {editing}"
    st.toast(f"Alert {saved.id} {done}.", icon=":material/check:")


def _reset() -> None:
    """Clear the form, but keep its symbol and condition."""
    condition_type = alerts_draft.part_values(alerts_draft.parts()[0])["type"]
    alerts_draft.begin(alerts_form.draft_at(alerts_draft.typed(), condition_type, None, None))


def _close_preview() -> None:
    st.session_state[_PREVIEW] = None


def _lists(source: DashboardReads, url: PageUrl) -> tuple[str, str, str]:
    notes: list[str] = []
    states = [ALL, *State]
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        page.preset(url, "alerts_view", query.option("view", url.get("view"), list(VIEWS), "alerts"), notes)
        view = st.segmented_control(
            "View", list(VIEWS), format_func=lambda name: VIEWS[name], key="alerts_view", required=True
        )
        wanted, search = ALL, ""
        if view == "alerts":
            page.preset(url, "alerts_state", query.option("state", url.get("state"), states, ALL), notes)
            wanted = st.selectbox("State", states, format_func=str.capitalize, key="alerts_state", width=180)
            page.preset(url, "alerts_search", query.Choice((url.get("search") or "")[:60]), notes)
            search = st.text_input(
                "Search",
                key="alerts_search",
                placeholder="Symbol, condition, note …",
                icon=":material/search:",
                width=240,
            )
    page.notice(" ".join(note for note in notes if note))
    if view == "history":
        history.show_events(source)
    elif view == "outlets":
        history.show_outlets(source)
    else:
        rule_list.rules(source, wanted or ALL, search)
    return view or "alerts", wanted or ALL, search


def _price(source: DashboardReads, markets: Sequence[WatchedMarket], typed: str) -> float | None:
    known = [watched.market for watched in markets]
    try:
        symbol, exchange = alerts_form.resolve(typed, known)
    except CoinwatchError:
        return None
    latest = source.latest([watched.market_id for watched in markets]).value or ()
    return widgets.price_now(latest, markets, symbol, exchange)
