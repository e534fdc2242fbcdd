"""The settings of the embedded server."""

from __future__ import annotations

from collections.abc import Mapping

SETTINGS: Mapping[str, str] = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_permissions": "0700",
    "max_connections": "200",
    "max_locks_per_transaction": "128",  # a query over years of daily partitions locks each of them
    "shared_buffers": "256MB",
    "work_mem": "8MB",
    "maintenance_work_mem": "128MB",
    "effective_cache_size": "1GB",
    "max_wal_size": "2GB",
    "min_wal_size": "512MB",  # a commit that has to make a new WAL file takes 50 ms
    "fsync": "on",
    "synchronous_commit": "on",
    "random_page_cost": "1.1",
    "jit": "off",  # our connections set it on every server; Dagster's do not
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %q%a ",
}
"""For a laptop or a small server: two cores, little memory, an SSD."""


def configuration(settings: Mapping[str, str]) -> str:
    """The text of postgresql.conf with ``settings``."""
    lines = [f"{name} = '{value.replace(chr(39), chr(39) * 2)}'\n" for name, value in settings.items()]
    return "# Written by Coinwatch at each start.\n" + "".join(lines)
