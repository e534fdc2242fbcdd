"""Addresses that servers listen on: which are loopback, and the URLs of a server that listens there."""

from __future__ import annotations

from ipaddress import ip_address


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a server that listens on ``host``."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def loopback_like(host: str) -> str:
    """The loopback address of the same family as ``host``."""
    return "::1" if ":" in host else "127.0.0.1"


def local_url(scheme: str, host: str, port: int, path: str = "") -> str:
    """The URL at which programs on this machine reach a server that listens on ``host``."""
    return _url(scheme, loopback_like(host) if _is_any(host) else host, port, path)


def browser_url(host: str, port: int, reached_at: str) -> str:
    """The URL of a server for the browser of a viewer.

    Args:
        host: The address that the server listens on.
        port: Its port.
        reached_at: The name or address by which the browser reaches this machine.

    Returns:
        The URL, empty when that browser cannot reach the server.
    """
    if is_loopback(host) and not is_loopback(reached_at):
        return ""
    return _url("http", reached_at if is_loopback(host) or _is_any(host) else host, port, "")


def _is_any(host: str) -> bool:
    try:
        return ip_address(host).is_unspecified
    except ValueError:
        return False


def _url(scheme: str, host: str, port: int, path: str) -> str:
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}{path}"
