"""The client is tested against a real endpoint."""

from tests.app.alerts.conftest import endpoint, exchange, markets, overrides, start

__all__ = ["endpoint", "exchange", "markets", "overrides", "start"]
