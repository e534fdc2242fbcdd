"""Connections to public addresses only: which those are, and that a name is checked where it leads."""

from __future__ import annotations

import httpx
import pytest

from coinwatch.errors import Fatal, Retryable
from sources.budgets import LocalBudget
from sources.exchanges.base import RateLimit, RestRequest
from sources.http import HttpSource, Patience
from sources.public_network import (
    AddressRefused,
    PublicTransport,
    is_private_host,
    is_public,
    public_addresses,
)
from tests.sources.scripted_server import answer, scripted

HASTY = Patience(connect_s=1, read_s=1, total_s=5, attempts=1)
ASK = RestRequest("/feed")


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "1.1.1.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8"]
)
def test_global_unicast_is_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.1.2.3", "192.168.0.1", "172.16.0.1", "0.1.2.3", "169.254.169.254", "100.64.0.1"),
        *(
            "192.0.0.8",
            "192.0.0.192",
            "192.0.2.1",
            "198.18.0.1",
            "198.51.100.7",
            "203.0.113.9",
            "192.88.99.1",
        ),
        *("224.0.0.1", "240.0.0.1", "255.255.255.255", "168.63.129.16"),
        *("::", "::1", "::8.8.8.8", "::127.0.0.1", "fe80::1%eth0", "fec0::1", "fd00::1", "ff02::1", "100::1"),
        *("::ffff:10.0.0.1", "::ffff:0:8.8.8.8", "64:ff9b::10.0.0.1", "64:ff9b::169.254.169.254"),
        *("64:ff9b:1::8.8.8.8", "2002:7f00:1::", "2002:808:808::", "2001:0:4136:e378:8000:63bf:3fff:fdd2"),
        *("2001:db8::1", "3fff::1", "2001:10::1", "2001:2::1", "5f00::1", "4000::1"),
    ],
)
def test_everything_else_is_private(address: str) -> None:
    assert not is_public(address)
    assert is_private_host(address)


def test_hosts_as_written() -> None:
    assert is_private_host("localhost")
    assert is_private_host("LocalHost.")
    assert not is_private_host("8.8.8.8")
    assert not is_private_host("example.org"), "known when it is resolved"


@pytest.mark.parametrize("host", ["localhost", "0x7f000001", "2130706433", "127.1", "::1"])
async def test_names_are_checked_where_they_lead(host: str) -> None:
    with pytest.raises(AddressRefused, match="private"):
        await public_addresses(host)


async def test_a_name_without_an_address_may_have_one_later() -> None:
    with pytest.raises(httpx.ConnectError, match="has no address"):
        await public_addresses("nowhere.invalid")
    with pytest.raises(httpx.ConnectError, match="has no address"):
        await public_addresses("x" * 300)


async def test_only_the_named_private_hosts_are_connected_to() -> None:
    async with scripted(answer("there")) as server:
        url = httpx.URL(server.root)
        async with httpx.AsyncClient(transport=PublicTransport(private=[(url.host, url.port)])) as client:
            assert (await client.get(url)).text == "there"
            with pytest.raises(AddressRefused):
                await client.get(url.copy_with(port=1))
            with pytest.raises(AddressRefused):
                await client.get(url.copy_with(host="localhost"))
    assert server.requests == ["/"]


def feed(root: str) -> HttpSource:
    limit = RateLimit(capacity=100, per_second=1_000)
    return HttpSource("wire", root, LocalBudget(), limit, patience=HASTY, takes_markup=True)


@pytest.mark.parametrize(
    "target",
    [
        *("http://127.0.0.1:1/admin", "http://localhost:1/", "http://169.254.169.254/latest/meta-data/"),
        *("http://[::ffff:127.0.0.1]:1/", "http://[64:ff9b::7f00:1]/", "//10.0.0.1/", "http://2130706433/"),
    ],
)
async def test_a_redirect_to_a_private_address_is_refused(target: str) -> None:
    async with scripted(answer("", 302, location=target)) as server, feed(server.root) as http:
        with pytest.raises(Fatal, match="the address is private"):
            await http.get(ASK)
    assert server.requests == ["/feed"]


async def test_every_hop_of_a_redirect_is_checked() -> None:
    hops = [answer("", 302, location="/next"), answer("", 307, location="http://127.0.0.1:1/")]
    async with scripted(*hops) as server, feed(server.root) as http:
        with pytest.raises(Fatal, match="the address is private"):
            await http.get(ASK)
    assert server.requests == ["/feed", "/next"]


async def test_a_feed_by_a_name_that_leads_here_is_refused() -> None:
    async with scripted(answer("<rss/>")) as server, feed(server.root.replace("127.0.0.1", "127.1")) as http:
        with pytest.raises(Fatal, match="the address is private"):
            await http.get(ASK)
    assert server.requests == []


async def test_where_a_proxy_is_set_it_connects(monkeypatch: pytest.MonkeyPatch) -> None:
    """It resolves the names, so that only it can refuse them. This machine is never reached by it."""
    async with scripted(answer("<rss/>")) as server:
        monkeypatch.setenv("http_proxy", server.root)
        async with feed("http://feeds.invalid") as http:
            assert (await http.get(ASK)).body == b"<rss/>"
        async with feed("http://localhost:1") as http:
            with pytest.raises(Retryable, match="ConnectError"):
                await http.get(ASK)
    assert server.requests == ["http://feeds.invalid/feed"]
