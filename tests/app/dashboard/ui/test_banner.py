from __future__ import annotations

from app.dashboard.data.read_results import Health
from app.dashboard.ui.banner import standstill
from tests.app.dashboard.health_rows import service, stream
from warehouse.ops.health import StreamState


def health(*streams: tuple[StreamState, float], daemon_s: float | None = None) -> Health:
    rows = tuple(stream(state, age_s=age_s) for state, age_s in streams)
    services = () if daemon_s is None else (service(daemon_s),)
    return Health(rows, services, (), ())


def test_one_live_stream_is_enough() -> None:
    assert standstill(health((StreamState.LIVE, 1.0), (StreamState.DOWN, 1.0))) == ""
    assert standstill(health((StreamState.LIVE, 900.0), daemon_s=1.0)) == ""


def test_nothing_was_ever_live() -> None:
    assert standstill(health()) == ""


def test_a_silent_daemon_is_reported_with_its_age() -> None:
    silent = health((StreamState.LIVE, 400.0), (StreamState.DOWN, 900.0), daemon_s=400.0)
    assert "no heartbeat of the ingest daemon for 7 min" in standstill(silent)
    assert "no heartbeat of the ingest daemon for 17 s" in standstill(
        health((StreamState.LIVE, 10.0)), since_s=7.0
    )


def test_a_daemon_without_any_exchange_is_reported() -> None:
    assert "no exchange is connected" in standstill(health((StreamState.DOWN, 1.0), daemon_s=1.0))
