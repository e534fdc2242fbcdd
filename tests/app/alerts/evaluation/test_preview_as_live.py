"""What a preview reports against what a live endpoint claimed, whatever the trades and however committed."""

from __future__ import annotations

from functools import partial

import msgspec
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import URL

from app.alerts.evaluation.backtest import preview
from coinwatch.alerts import NewRule, Repeat, Terms, is_per_market, leaves
from coinwatch.alerts import conditions as c
from coinwatch.windows import Window
from tests.app.alerts.conftest import Endpoint
from tests.app.alerts.pair_histories import HAPPENS, Average, Close, Commit, Stage, is_of_closes, received
from tests.app.alerts.rules.engine_runs import CONDITIONS, M1
from tests.app.alerts.rules.test_engine import BINANCE
from tests.waiting import eventually
from warehouse.db.connect import connect

LIVE_TERMS = st.builds(
    lambda repeat, hysteresis, confirmed_on: Terms(
        repeat=repeat,
        candle=M1 if repeat is Repeat.CANDLE else None,
        hysteresis=hysteresis,
        confirmed_on=confirmed_on,
    ),
    st.sampled_from([Repeat.EVERY, Repeat.EVERY, Repeat.CANDLE, Repeat.ONCE]),
    st.sampled_from([0.0, 0.0, 1.0, 3.0]),
    st.sampled_from([1, 1, 1, 2]),
)
"""None by the database's clock, which for a preview is that of the exchanges."""


def goes_one_way(rule: NewRule) -> bool:
    """Trades and averages are heard of in the order of their times; candles here after both."""
    confirmed = rule.terms.confirmed_on > 1
    may_be = rule.exchange is None and is_per_market(rule.condition) and not c.is_momentary(rule.condition)
    if confirmed and not may_be:
        return False
    of_closes = [is_of_closes(leaf) for leaf in leaves(rule.condition)]
    return not any(of_closes) or (all(of_closes) and not confirmed)


RULES = st.lists(
    st.builds(
        lambda condition, terms, exchange: NewRule(
            symbol=BINANCE.symbol, exchange=exchange, condition=condition, terms=terms, typed="p"
        ),
        CONDITIONS,
        LIVE_TERMS,
        st.sampled_from([None, None, "binance", "kraken"]),
    ).filter(goes_one_way),
    min_size=8,
    max_size=16,
)
BEFORE = [Commit(1, [("binance", 0, 100.0), ("kraken", 0, 100.0)])]
"""Both exchanges are known when rules are made."""


@settings(
    max_examples=10,
    derandomize=True,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(RULES, HAPPENS, HAPPENS)
async def test_a_preview_returns_what_was_claimed(
    database: URL,
    endpoint: Endpoint,
    rules: list[NewRule],
    before: list[Commit | Average | Close],
    then: list[Commit | Average | Close],
) -> None:
    async with await connect(database, application_name="test past") as conn:
        stage, end = await Stage.build(conn), await Stage.build(conn)
        for event in [*BEFORE, Close("binance", 100.0), Close("kraken", 100.0), *before, Average(100.0)]:
            await stage.happen(event)
        await end.happen(BEFORE[0])
        await end.happen(Close("binance", 100.0))
        watched = await stage.watch(rules)
        known, by_trade, by_close = await end.watch(
            [
                NewRule(symbol=end.symbol, condition=condition, typed="end")
                for condition in (
                    c.Above(price=200.0),
                    c.Above(price=300.0),
                    c.Above(price=300.0, source=c.Source.CANDLE, interval=M1),
                )
            ]
        )
        # What has closed by the time when an endpoint learns of a rule is not new to it.
        await end.happen(Commit(1, [("binance", 0, 200.0)]))
        await eventually(partial(end.claimed, known))
        since_us, closed_us = stage.at_us + 1, stage.close_us + 1
        for event in then:
            if not isinstance(event, Close):
                await stage.happen(event)
        for event in then:
            if isinstance(event, Close):
                await stage.happen(event)
        await end.happen(Close("binance", 300.0))
        await end.happen(Commit(1, [("binance", 0, 300.0)]))

        async def all_is_heard() -> bool:
            return bool(await end.claimed(by_trade) and await end.claimed(by_close))

        await eventually(all_is_heard)
        for asked, rule in zip(rules, watched, strict=True):
            of_closes = is_of_closes(next(leaves(rule.condition)))
            from_us = closed_us if of_closes else since_us
            window = Window(from_us, max(from_us, stage.at_us, stage.close_us) + 1)
            looked_back = await preview(conn, msgspec.structs.replace(asked, symbol=stage.symbol), window)
            due, claimed = received(looked_back.firings), await stage.claimed(rule)
            if of_closes:  # an indicator is sent with the last trade's price, which here is another
                due, claimed = (
                    [(*row[:3], *row[4:]) for row in due],
                    [(*row[:3], *row[4:]) for row in claimed],
                )
            assert claimed == due, rule
