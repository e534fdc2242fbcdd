"""Free ports."""

from __future__ import annotations

import socket

from warehouse.embedded.ports import free_port, free_ports, is_free


def test_a_free_port_can_be_listened_on() -> None:
    port = free_port()
    assert is_free(port)
    with socket.create_server(("127.0.0.1", port)):
        assert not is_free(port)


def test_free_ports_are_different() -> None:
    assert len(set(free_ports(50))) == 50
