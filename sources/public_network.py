"""Connections to public addresses only, for URLs that people or other servers choose.

A name is resolved once for each request, every address it has is checked, and the connection is made to an
address that was checked: what the name resolves to later does not matter. Redirects are requests of their
own, so that each is checked too.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import httpx

TRIED_ADDRESSES = 3
"""Of a name with several addresses, so many are tried."""

_MAPPED = (ipaddress.IPv6Network("::ffff:0:0/96"), ipaddress.IPv6Network("64:ff9b::/96"))
"""IPv6 addresses that lead to the IPv4 address in their last 32 bits: mapped ones, and those of NAT64."""
_UNICAST = ipaddress.IPv6Network("2000::/3")
"""All global unicast addresses of IPv6 are here; everything outside is local, reserved or obsolete."""
_RESERVED_IPV4 = tuple(
    map(
        ipaddress.IPv4Network,
        (
            *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
            *("192.0.0.0/24", "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24"),
            *("192.168.0.0/16", "192.175.48.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24"),
            *("224.0.0.0/4", "240.0.0.0/4"),
            "168.63.129.16/32",  # by which Azure serves its virtual machines
        ),
    )
)
"""IANA IPv4 Special-Purpose Address Registry, multicast and reserved space."""
_RESERVED_IPV6 = tuple(
    map(
        ipaddress.IPv6Network,
        # Protocol assignments with Teredo, documentation, 6to4, documentation, and AS112.
        ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20", "2620:4f:8000::/48"),
    )
)
"""IANA IPv6 Special-Purpose Address Registry, inside of ``_UNICAST``."""

# Names of others may take long to resolve. The loop's own threads also resolve the host of Postgres.
_resolvers = ThreadPoolExecutor(max_workers=8, thread_name_prefix="resolve")


class AddressRefused(httpx.TransportError):
    """No connection is made to this host. The message is why, without the URL."""


def is_public(address: str) -> bool:
    """Whether an IP address is a global unicast address. Raises ValueError when it is no IP address."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        if not any(ip in mapped for mapped in _MAPPED):
            return ip in _UNICAST and not any(ip in reserved for reserved in _RESERVED_IPV6)
        ip = ipaddress.IPv4Address(int(ip) & 0xFFFF_FFFF)
    return not any(ip in reserved for reserved in _RESERVED_IPV4)


def is_private_host(host: str) -> bool:
    """Whether a host, as written in a URL, is certainly not public; names must be resolved to know."""
    try:
        return host.lower().rstrip(".") == "localhost" or not is_public(host)
    except ValueError:
        return False


async def public_addresses(host: str) -> list[str]:
    """The addresses of ``host``.

    Raises:
        AddressRefused: One of them is not public.
        httpx.ConnectError: It has none.
    """
    look_up = partial(socket.getaddrinfo, host, None, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
    try:
        resolved = await asyncio.get_running_loop().run_in_executor(_resolvers, look_up)
    except (OSError, UnicodeError):
        raise httpx.ConnectError("the host name has no address") from None
    addresses = list(dict.fromkeys(str(address[0]) for *_, address in resolved))
    if not all(map(is_public, addresses)):
        raise AddressRefused("the address is private")
    return addresses


class PublicTransport(httpx.AsyncBaseTransport):
    """Sends requests of an ``httpx.AsyncClient`` to public hosts, and raises AddressRefused for others."""

    def __init__(
        self, tls: ssl.SSLContext | bool = True, private: Collection[tuple[str, int | None]] = ()
    ) -> None:
        """Prepare the transport.

        Args:
            tls: The context to verify certificates by.
            private: Hosts and ports, as in URLs, to which requests are sent although they are private.
        """
        # A connection is not used again: it was opened for one name, and another may have its address.
        self._inner = httpx.AsyncHTTPTransport(
            verify=tls, trust_env=False, limits=httpx.Limits(max_keepalive_connections=0)
        )
        self._private = frozenset(private)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request to an address of its host. Raises httpx.TransportError."""
        url = request.url
        if (url.host, url.port) in self._private:
            return await self._inner.handle_async_request(request)
        host = url.raw_host.decode("ascii")
        failed: httpx.TransportError = httpx.ConnectError("the host name has no address")
        for address in (await public_addresses(host))[:TRIED_ADDRESSES]:
            pinned = httpx.Request(
                request.method,
                url.copy_with(host=address),
                headers=request.headers,
                stream=request.stream,
                extensions={**request.extensions, "sni_hostname": host},
            )
            try:
                return await self._inner.handle_async_request(pinned)
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                failed = error
        raise failed

    async def aclose(self) -> None:
        """Close all connections."""
        await self._inner.aclose()
