from __future__ import annotations

from datetime import timedelta

from app.dashboard.ui.problems import Problem, by_kind, find
from coinwatch.stream_gaps import GapState
from coinwatch.times import from_datetime
from tests.app.dashboard.health_rows import KRAKEN, NOW, service, stream
from warehouse.ops.budgets import MonthOfCalls
from warehouse.ops.dagster import Run
from warehouse.ops.health import ServiceRow, StreamRow, StreamState
from warehouse.ops.reads import OutletRow
from warehouse.trades.gap_reads import GapRow


def gap(state: str, age_s: float = 60.0) -> GapRow:
    return GapRow(
        market=KRAKEN,
        cause="silent",
        state=GapState(state),
        after_ts=NOW,
        before_ts=None,
        recovered=0,
        reason=None,
        opened_at=NOW - timedelta(seconds=age_s),
        closed_at=None,
        age_s=age_s,
    )


def run(status: str, minutes_ago: int, job: str = "candles") -> Run:
    at = NOW - timedelta(minutes=minutes_ago)
    ended = None if status == "STARTED" else at
    return Run(
        run_id=f"{status}{minutes_ago}",
        job=job,
        launched_by="",
        partition="",
        status=status,
        created=at,
        started=at,
        ended=ended,
    )


def problems_of(
    streams: list[StreamRow] | None = None,
    services: list[ServiceRow] | None = None,
    gaps: list[GapRow] | None = None,
    calls: list[MonthOfCalls] | None = None,
    runs: list[Run] | None = None,
    outlets: list[OutletRow] | None = None,
) -> tuple[Problem, ...]:
    at_us = from_datetime(NOW)
    return find(
        streams or [], services or [], gaps or [], calls or [], runs or [], outlets or [], now_us=at_us
    )


def test_a_healthy_system_has_no_problems() -> None:
    assert (
        problems_of(
            [stream(), stream(StreamState.STOPPED, age_s=9e9)],
            [
                service(1.0, spool_bytes=0),
                service(500.0),  # an older process of the same service
                service(100.0, "dagster"),  # its heartbeat is once a minute
            ],
            [gap("filled"), gap("open", age_s=5)],
            [MonthOfCalls("coingecko", "month", 10, 10_000)],
            [run("SUCCESS", 1), run("STARTED", 2)],
        )
        == ()
    )


def test_streams_have_their_reason() -> None:
    down, silent, erred = problems_of(
        [stream(StreamState.DOWN, error="refused"), stream(age_s=90), stream(error="once")]
    )
    assert "no daemon has reported this stream for 2 min" in (down.what, silent.what)
    assert "stream down: refused" in (down.what, silent.what)
    assert (erred.what, erred.is_current) == ("once", False)


def test_a_silent_service_is_one_problem() -> None:
    (silent,) = problems_of(services=[service(100.0), service(200.0)])
    assert silent.what == "no heartbeat for 2 min"
    (spooling,) = problems_of(services=[service(1.0, spool_bytes=2_500_000)])
    assert "2.5 MB of trades are spooled" in spooling.what


def test_a_service_reports_its_problems_and_low_disks() -> None:
    disk = {"stores": ["spool"], "path": "/data", "free_bytes": 10**9, "size_bytes": 10**11}
    problem = {"code": "database_full", "message": "the disk of Postgres is full"}
    disks = [disk | {"low_bytes": 5 * 10**9}, disk | {"low_bytes": 0}]
    full, low = problems_of(services=[service(1.0, problems=[problem], disks=disks)])
    assert full.what == "the disk of Postgres is full"
    assert low.what == "disk space is low: the disk of spool (/data) has 1.0 GB left"
    assert full.is_current


def test_open_gaps_are_current_and_unfillable_ones_past() -> None:
    lasting, lost = problems_of(gaps=[gap("unfillable"), gap("open")])
    assert (lasting.is_current, lost.is_current) == (True, False)
    assert "not filled for 1 min" in lasting.what


def test_a_later_success_resolves_a_failed_run() -> None:
    problems = problems_of(
        runs=[run("STARTED", 0), run("SUCCESS", 1), run("FAILURE", 2), run("FAILURE", 3, job="sentiment")]
    )
    assert [(problem.where, problem.is_current) for problem in problems] == [
        ("sentiment", True),
        ("candles", False),
    ]


def test_a_nearly_used_budget_is_a_problem() -> None:
    (spent,) = problems_of(calls=[MonthOfCalls("coingecko", "month", 8_500, 10_000)])
    assert spent.what == "8,500 of 10,000 calls of this month are used (month)"


def outlet(number: int, *, dead: int = 0, why: str | None = None) -> OutletRow:
    return OutletRow(
        id=number,
        client="desk",
        kind="webhook",
        disabled_at=NOW if why else None,
        disabled_why=why,
        delivered=9,
        waiting=0,
        dead=dead,
        delivered_at=NOW,
    )


def test_outlets_that_fail_are_problems() -> None:
    problems = problems_of(outlets=[outlet(1), outlet(2, dead=3), outlet(3, why="410")])
    assert [(problem.where, problem.what) for problem in problems] == [
        ("outlet 2 of desk", "3 alerts were given up in a week; see Outlets"),
        ("outlet 3 of desk", "disabled, so it receives no alerts: 410"),
    ]


def test_problems_of_one_kind_are_one_line() -> None:
    problems = [
        Problem(True, "binance:BTC-USDT", "no report of this stream for 12 s"),
        Problem(True, "dagster", "has not reported for 5 min"),
        Problem(True, "kraken:BTC-USDT", "no report of this stream for 14 s"),
    ]
    assert by_kind(problems) == (
        ("binance:BTC-USDT and 1 more", "no report of this stream for 12 s"),
        ("dagster", "has not reported for 5 min"),
    )
