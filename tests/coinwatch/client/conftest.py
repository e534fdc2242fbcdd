"""The client is tested against a real endpoint."""

from tests.app.alerts.conftest import endpoint, exchange, start

__all__ = ["endpoint", "exchange", "start"]
