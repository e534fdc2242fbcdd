"""Signing in with an OpenID Connect provider, and out again, in a real browser."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sqlalchemy import URL

from coinwatch.times import now_us
from tests.app.dashboard.dashboard_server import serve_dashboard
from tests.app.dashboard.serving.provider import CLIENT, EMAIL, provider
from tests.app.dashboard.stock import Stock
from tests.app.dashboard.viewer import LOOKS, Viewer, chromium
from warehouse.embedded.ports import free_port

MARKETS = {"kraken:BTC-USDT": 67_000.0}


@pytest.mark.browser
@pytest.mark.timeout(400)
def test_nothing_is_shown_before_one_has_signed_in(database: URL, tmp_path: Path) -> None:
    stock = Stock.open(database, now_us())
    stock.day(MARKETS)
    stock.close()
    port = free_port()
    with provider() as issuer:
        auth = {
            "redirect_uri": f"http://127.0.0.1:{port}/oauth2callback",
            "cookie_secret": "a text that only this test knows",
            "client_id": CLIENT,
            "client_secret": "shared",
            "server_metadata_url": f"{issuer}/.well-known/openid-configuration",
        }
        secrets = tmp_path / "secrets.toml"
        lines = ["[auth]", *(f"{name} = {json.dumps(value)}" for name, value in auth.items())]
        secrets.write_text("\n".join(lines))
        settings = {"STREAMLIT_SECRETS_FILES": str(secrets), "NO_PROXY": "127.0.0.1"}
        with (
            serve_dashboard(database, MARKETS, tmp_path, settings, port) as root,
            chromium(tmp_path) as browser,
        ):
            viewer = Viewer(browser, root, LOOKS[1])
            viewer.visit("data")
            viewer.find(".cw-empty", "Sign in to see the dashboard")
            viewer.settle()
            assert viewer.faults() == []
            viewer.picture("login")
            viewer.find("button", "Sign in").click()
            viewer.find(".cw-card .cw-price b")
            viewer.find("[data-testid='stText']", EMAIL)
            viewer.find("button", "Sign out").click()
            viewer.find(".cw-empty", "Sign in to see the dashboard")
            viewer.gone(".cw-card")
