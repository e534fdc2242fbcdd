"""Trades that come late, cut and ordered in any way, at a live endpoint."""

from __future__ import annotations

from itertools import groupby, islice
from random import Random

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import URL

from coinwatch.alerts import Above, Below, NewRule, Repeat, Rule, Terms
from coinwatch.times import SECOND_US
from tests.app.alerts.conftest import Endpoint
from tests.app.alerts.pair_histories import Commit, Stage
from tests.app.alerts.rules.test_engine import BINANCE
from tests.waiting import eventually
from warehouse.db.connect import connect

ON = Commit(1, [("binance", 0, 100.0)])
END = Commit(1, [("binance", 0, 200.0)])
TRADES = st.lists(st.tuples(st.sampled_from([97.0, 99.0, 101.0, 103.0]), st.booleans()), max_size=14)
"""Prices, and whether each comes late."""
CUTS = st.lists(st.integers(1, 3), min_size=14, max_size=14)
RULES = [
    NewRule(symbol=BINANCE.symbol, condition=condition, terms=Terms(repeat=repeat), typed="p")
    for condition in (Above(price=102.0), Above(price=101.0), Below(price=98.0), Below(price=99.0))
    for repeat in (Repeat.ONCE, Repeat.EVERY)
]


@settings(
    max_examples=30,
    derandomize=True,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(TRADES, st.randoms(use_true_random=False), CUTS)
async def test_each_met_period_that_was_missed_is_reported_once(
    database: URL, endpoint: Endpoint, drawn: list[tuple[float, bool]], chance: Random, cuts: list[int]
) -> None:
    async with await connect(database, application_name="test late") as conn:
        stage, end = await Stage.build(conn), await Stage.build(conn)
        await stage.happen(ON)
        rules = await stage.watch(RULES, made_us=stage.at_us)
        (last,) = await end.watch([NewRule(symbol=end.symbol, condition=Above(price=200.0), typed="end")])
        stored = [
            (stage.traded(Commit(SECOND_US, [("binance", 0, price)]))[0], is_late) for price, is_late in drawn
        ]
        live = [trade for trade, is_late in stored if not is_late]
        late = [trade for trade, is_late in stored if is_late]
        for trade in live:
            await stage.commit([trade])
        chance.shuffle(late)
        rest = iter(late)
        for count in cuts:
            if commit := list(islice(rest, count)):
                await stage.commit(sorted(commit, key=lambda trade: trade.ts_us), late=True)
        await end.happen(END)
        await eventually(lambda: end.claimed(last))

        for rule in rules:
            claimed = await stage.claimed(rule)
            ids = [row[1] for row in claimed]
            assert len(ids) == len(set(ids)), rule
            live_ids = [row[1] for row in claimed if not row[-1]]
            late_ids = [row[1] for row in claimed if row[-1]]
            assert set(live_ids) <= {trade.trade_id for trade in live}
            assert set(late_ids) <= {trade.trade_id for trade in late}
            starts = [
                run[0]
                for run in met_in(rule, [(100.0, 0), *((trade.price, trade.trade_id) for trade in live)])
            ]
            runs = met_in(rule, [(trade.price, trade.trade_id) for trade, _ in stored])
            if rule.terms.repeat is Repeat.EVERY:
                assert live_ids == starts, rule
                # Armed again by the database's clock, it was not armed at the time of any of these trades.
                is_met_now = met_in(rule, [(trade.price, trade.trade_id) for trade in live[-1:]])
                was_armed_again = len(starts) > 1 or (starts and not is_met_now)
                until = [] if was_armed_again else runs[: where_is(starts[0], runs)] if starts else runs
                assert [len(set(run) & set(late_ids)) for run in until] == [1] * len(until), rule
                assert len(late_ids) == len(until), rule
            else:
                assert live_ids == starts[:1], rule
                assert len(ids) == bool(runs), rule


def where_is(number: int, runs: list[list[int]]) -> int:
    return next(at for at, run in enumerate(runs) if number in run)


def met_in(rule: Rule, prices: list[tuple[float, int]]) -> list[list[int]]:
    """The trades of each stretch in which a rule is met."""
    assert isinstance(rule.condition, Above | Below)
    condition = rule.condition
    runs = groupby(prices, key=lambda priced: condition.met_by(priced[0]))
    return [[number for _, number in run] for is_met, run in runs if is_met]
