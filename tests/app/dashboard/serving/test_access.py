"""Who may see the dashboard: nothing that is unclear opens it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pytest

from app.dashboard.serving.access import Access, decide
from coinwatch.errors import SettingsError
from tests.app.dashboard.serving.provider import AUTH

HERE, EVERYWHERE = "127.0.0.1", "0.0.0.0"  # noqa: S104
PATHS = ("secrets.toml",)
OPEN = Access(sign_in=False, local_only=False)
SIGN_IN = Access(sign_in=True, local_only=False)
OF_OTHERS = {"spotify": {"client_id": "x", "client_secret": "y", "redirect_uri": "z"}, "token": "t"}


@pytest.mark.parametrize(
    ("login", "address", "secrets", "expected"),
    [
        (None, HERE, {}, Access(sign_in=False, local_only=True)),
        (None, "::1", OF_OTHERS, Access(sign_in=False, local_only=True)),
        (None, EVERYWHERE, {"auth": AUTH}, SIGN_IN),
        ("required", HERE, {"auth": AUTH}, SIGN_IN),
        ("off", EVERYWHERE, {}, OPEN),
        ("off", HERE, OF_OTHERS, OPEN),
    ],
)
def test_clear_settings_decide(
    login: Any, address: str, secrets: Mapping[str, Any], expected: Access
) -> None:
    assert decide(login, address, secrets, PATHS) == expected


def without(key: str, **others: str) -> dict[str, str]:
    return {name: value for name, value in AUTH.items() if name != key} | others


@pytest.mark.parametrize(
    ("login", "address", "secrets", "reason"),
    [
        (None, EVERYWHERE, {}, "would listen on 0.0.0.0 without a sign-in"),
        (None, "192.168.1.7", OF_OTHERS, "set COINWATCH_DASHBOARD_LOGIN=off if"),
        (None, "dashboard.local", {}, "would listen on dashboard.local"),
        ("required", HERE, {}, "there is no section [auth] in secrets.toml"),
        ("required", HERE, OF_OTHERS, "there is no section [auth]"),
        ("off", HERE, {"auth": AUTH}, "is off, but a sign-in is set up"),
        ("off", HERE, {"Auth": AUTH}, "is off, but a sign-in is set up"),
        (None, HERE, {"Auth": AUTH}, "the section [Auth] is not read"),
        (None, HERE, {"oauth": AUTH}, "the section [oauth] is not read"),
        (None, HERE, AUTH, "cookie_secret, outside a section, is not read"),
        (None, HERE, {"auth": "x"}, "auth is a value"),
        (None, HERE, {"auth": {}}, "[auth] has no redirect_uri; [auth] has no cookie_secret"),
        *((None, HERE, {"auth": without(key)}, f"[auth] has no {key}") for key in AUTH),
        (None, HERE, {"auth": AUTH | {"client_id": " "}}, "[auth] has no client_id"),
        (None, HERE, {"auth": AUTH | {"client_secret": 7}}, "[auth] has no client_secret"),
        (None, HERE, {"auth": without("client_id", clientid="x")}, "no client_id (but clientid)"),
        (None, HERE, {"auth": AUTH | {"cookie_secret": "…"}}, "cookie_secret in [auth] has to be random"),
        (None, HERE, {"auth": AUTH | {"redirect_uri": "coinwatch"}}, "redirect_uri in [auth] has to start"),
        (None, HERE, {"auth": AUTH | {"redirect_uri": "https://x/"}}, "has to end with /oauth2callback"),
        (None, HERE, {"auth": AUTH | {"server_metadata_url": "https://["}}, "server_metadata_url in [auth]"),
    ],
)
def test_unclear_settings_are_refused(
    login: Any, address: str, secrets: Mapping[str, Any], reason: str
) -> None:
    with pytest.raises(SettingsError, match=re.escape(reason)) as caught:
        decide(login, address, secrets, PATHS)
    assert "docs/operations.md" in str(caught.value) or "set it to required" in str(caught.value)


@pytest.mark.parametrize(
    ("host", "is_local"),
    [
        ("localhost:8501", True),
        ("LOCALHOST", True),
        ("127.0.0.1:8501", True),
        ("127.9.9.9", True),
        ("[::1]:8501", True),
        ("coinwatch.localhost:8501", True),
        ("rebound.example:8501", False),
        ("localhost.example", False),
        ("127.0.0.1.example", False),
        ("192.168.1.7:8501", False),
        ("[", False),
        ("", False),
    ],
)
def test_without_a_decision_only_local_names_are_answered(host: str, is_local: bool) -> None:
    assert Access(sign_in=False, local_only=True).answers_to(host) is is_local
    assert OPEN.answers_to(host)
    assert SIGN_IN.answers_to(host)
