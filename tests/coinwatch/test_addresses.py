"""Addresses that servers listen on: which are loopback, their URLs, and which need a login."""

from __future__ import annotations

import pytest

from coinwatch.errors import SettingsError
from coinwatch.settings import Settings
from coinwatch.settings.addresses import browser_url, is_loopback, local_url
from coinwatch.settings.logins import check_dagster_login


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost", "coinwatch.localhost"])
def test_loopback_addresses(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["", "0.0.0.0", "::", "10.0.0.1", "localhost.example", "127.0.0.1.nip.io"])  # noqa: S104
def test_other_addresses(host: str) -> None:
    assert not is_loopback(host)


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:80/x"),
        ("0.0.0.0", "http://127.0.0.1:80/x"),  # noqa: S104
        ("::", "http://[::1]:80/x"),
        ("::1", "http://[::1]:80/x"),
        ("10.0.0.1", "http://10.0.0.1:80/x"),
        ("coinwatch.lan", "http://coinwatch.lan:80/x"),
    ],
)
def test_url_on_this_machine(host: str, url: str) -> None:
    assert local_url("http", host, 80, "/x") == url


@pytest.mark.parametrize(
    ("host", "reached_at", "url"),
    [
        ("127.0.0.1", "localhost", "http://localhost:3000"),
        ("127.0.0.1", "10.0.0.1", ""),
        ("0.0.0.0", "coinwatch.lan", "http://coinwatch.lan:3000"),  # noqa: S104
        ("10.0.0.1", "coinwatch.lan", "http://10.0.0.1:3000"),
    ],
)
def test_url_for_a_browser(host: str, reached_at: str, url: str) -> None:
    assert browser_url(host, 3000, reached_at) == url


def test_every_part_listens_on_loopback_by_default() -> None:
    settings = Settings(_env_file=None)
    hosts = [name for name in Settings.model_fields if name.endswith("host")]
    assert len(hosts) == 5
    assert all(is_loopback(getattr(settings, name)) for name in hosts)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "coinwatch.lan", ""])  # noqa: S104
def test_address_beyond_loopback_requires_a_token(host: str) -> None:
    with pytest.raises(SettingsError, match="COINWATCH_DAGSTER_TOKEN"):
        check_dagster_login(Settings(_env_file=None, dagster_host=host))
    check_dagster_login(Settings(_env_file=None, dagster_host=host, dagster_token="t" * 24))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.53", "::1", "localhost"])
def test_loopback_address_requires_no_token(host: str) -> None:
    check_dagster_login(Settings(_env_file=None, dagster_host=host))
