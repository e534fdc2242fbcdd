"""The body of health pages, and problems in heartbeats."""

from __future__ import annotations

import json

import msgspec

from coinwatch.health.problems import Code, Problem, body, body_for_unknown_clients, problems_in

FULL = Problem(Code.DATABASE_FULL, "the disk of Postgres is full: free space on it")


def test_a_service_that_works_has_no_reasons() -> None:
    assert body([], {"queue": 3}) == {"status": "ok", "queue": 3}


def test_problems_are_reasons() -> None:
    reason = {"code": "database_full", "message": FULL.message}
    assert json.loads(json.dumps(body([FULL], {"queue": 3}))) == {
        "status": "unavailable",
        "reasons": [reason],
        "queue": 3,
    }


def test_unknown_clients_get_codes_alone() -> None:
    assert body_for_unknown_clients([]) == {"status": "ok"}
    assert body_for_unknown_clients([FULL]) == {
        "status": "unavailable",
        "reasons": [{"code": "database_full"}],
    }


def test_problems_of_a_heartbeat() -> None:
    assert problems_in(msgspec.to_builtins({"problems": [FULL]})) == (FULL,)
    assert problems_in({}) == ()
    assert problems_in({"problems": [{"code": "of a newer version", "message": "x"}]}) == ()
