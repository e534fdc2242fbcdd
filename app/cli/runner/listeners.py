"""What the stack listens on: addresses, ports, and which other machines may use without a login."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterable

import msgspec

from coinwatch.errors import SettingsError
from coinwatch.settings import Settings
from coinwatch.settings.addresses import is_loopback


class Listener(msgspec.Struct, frozen=True, kw_only=True):
    """A port of a part of the stack, and the settings that move it."""

    part: str
    host: str
    port: int
    host_setting: str
    port_setting: str
    offers: str
    """What a client gets there."""
    has_login: bool

    @property
    def is_open(self) -> bool:
        """Whether other machines may use it without a login."""
        return not self.has_login and not is_loopback(self.host)


def listeners(settings: Settings, *, demo: bool) -> list[Listener]:
    """Every port of the stack, in the order of its parts. Pure: no I/O."""

    def listener(part: str, host: str, port: str, offers: str, *, has_login: bool = False) -> Listener:
        return Listener(
            part=part,
            host=settings.alerts_host if host == "host" else getattr(settings, host),
            port=getattr(settings, port),
            host_setting=f"COINWATCH_{host.upper()}",
            port_setting=f"COINWATCH_{port.upper()}",
            offers=offers,
            has_login=has_login,
        )

    ports = [
        listener("ingest", "metrics_host", "ingest_port", "metrics and health"),
        listener(
            "alerts",
            "host",
            "alerts_port",
            "prices and alerts",
            has_login=bool(settings.alerts_tokens),
        ),
        listener(
            "dashboard",
            "dashboard_host",
            "dashboard_port",
            "all pages",
            # Unless it is off, the dashboard does not start beyond the loopback address without a sign-in.
            has_login=settings.dashboard_login != "off",
        ),
        listener(
            "dagster",
            "dagster_host",
            "dagster_port",
            "all pipelines",
            has_login=settings.dagster_token is not None,
        ),
    ]
    if demo:
        ports += [
            listener("simulator", "simulator_host", f"simulator_{kind}_port", "simulated exchanges")
            for kind in ("ws", "rest")
        ]
    return ports


def open_ports(wanted: Iterable[Listener]) -> list[tuple[str, str]]:
    """Part and sentence for each port that other machines may use without a login. Pure: no I/O."""
    return [
        (
            port.part,
            f"listens on {port.host}, port {port.port}, without a login ({port.host_setting}): "
            f"any machine that reaches it has {port.offers}",
        )
        for port in wanted
        if port.is_open
    ]


def check_ports(wanted: Iterable[Listener]) -> None:
    """Check that every port can be listened on.

    Raises:
        SettingsError: Some cannot; the message names each with its settings.
    """
    problems = [problem for port in wanted if (problem := _problem(port))]
    if problems:
        raise SettingsError("; ".join(problems))


def _problem(port: Listener) -> str | None:
    with socket.socket(socket.AF_INET6 if ":" in port.host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((port.host, port.port))
        except OSError as error:
            match error.errno:
                case errno.EADDRINUSE:
                    return (
                        f"port {port.port} is in use ({port.port_setting}): "
                        "stop the program that uses it, or set another port"
                    )
                case errno.EACCES:
                    return (
                        f"port {port.port} on {port.host} requires more privileges ({port.port_setting}): "
                        "choose a port above 1023"
                    )
                case _:
                    return (
                        f"cannot listen on {port.host} ({port.host_setting}): {error.strerror}; "
                        "set an address of this machine"
                    )
    return None
