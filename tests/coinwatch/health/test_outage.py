"""An outage of Postgres: its log lines, its problem and its remedy."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from coinwatch.errors import (
    WarehouseError,
    WarehouseFull,
    WarehouseReadOnly,
    WarehouseRejected,
    WarehouseSlow,
    WarehouseUnavailable,
)
from coinwatch.health.outage import Outage, reason_of
from coinwatch.health.problems import Code


def outage(**options: object) -> Outage:
    return Outage("db.example/coins", "trades are spooled", settled_s=0.0, **options)  # type: ignore[arg-type]


def test_an_outage_is_logged_once_and_ends_with_its_last_part() -> None:
    postgres = outage()
    with capture_logs() as logs:
        assert not postgres
        postgres.began("commit", WarehouseUnavailable("Postgres cannot answer now: gone", reason="gone"))
        postgres.began("report", WarehouseUnavailable("cannot"))
        postgres.ended("commit")
        assert postgres
        postgres.ended("report")
        postgres.ended("report")
        assert not postgres
        assert postgres.problem is None
    assert [entry["log_level"] for entry in logs] == ["error", "info"]
    assert (logs[0]["reason"], logs[0]["database"]) == ("gone", "db.example/coins")
    assert logs[1]["event"] == "Postgres stores again"


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (WarehouseUnavailable("x", reason="refused"), Code.DATABASE_UNAVAILABLE, "COINWATCH_DATABASE_URL"),
        (WarehouseSlow("x", reason="late"), Code.DATABASE_UNAVAILABLE, "pg_stat_activity"),
        (WarehouseFull("x", reason="no space"), Code.DATABASE_FULL, "free space"),
        (WarehouseReadOnly("x", reason="standby"), Code.DATABASE_READ_ONLY, "primary server"),
        (WarehouseRejected("no column x"), Code.DATABASE_REFUSES, "coinwatch db upgrade"),
    ],
)
def test_each_failure_names_its_own_remedy(error: WarehouseError, code: Code, words: str) -> None:
    postgres = outage()
    with capture_logs() as logs:
        postgres.began("commit", ExceptionGroup("", [error]))
    assert postgres.problem is not None
    assert postgres.problem.code is code
    assert words in postgres.problem.message
    assert words in logs[0]["event"]
    assert reason_of(error) in postgres.problem.message


def test_a_full_disk_here_is_the_remedy_of_a_server_that_ended() -> None:
    postgres = outage(full_disk=lambda: "the disk of database (/data) has 0 B left")
    with capture_logs() as logs:
        postgres.began("commit", WarehouseUnavailable("x", reason="connection refused"))
    assert logs[0]["event"].endswith("free space: the disk of database (/data) has 0 B left")


def test_the_worst_failure_is_the_problem() -> None:
    postgres = outage()
    postgres.began("report", WarehouseUnavailable("x"))
    postgres.began("commit", WarehouseFull("x"))
    assert postgres.problem is not None
    assert postgres.problem.code is Code.DATABASE_FULL


def test_a_refused_command_is_a_problem_until_a_check_passes() -> None:
    postgres = outage()
    postgres.observe(WarehouseSlow("a query of a client took too long"))
    postgres.observe(WarehouseRejected("a value of a client is invalid"))
    assert not postgres
    postgres.observe(WarehouseFull("no space left"))
    postgres.ended("heartbeat")
    assert postgres
    postgres.checked()
    assert not postgres


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError("no route\nat all"), "no route"),
        (TimeoutError(), "TimeoutError"),
        (ExceptionGroup("", [ExceptionGroup("", [ValueError("inner")])]), "inner"),
    ],
)
def test_the_reason_is_one_line(error: Exception, reason: str) -> None:
    assert reason_of(error) == reason
