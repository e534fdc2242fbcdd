"""Requests that no page makes: refused before their bodies are read, by a real server."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import suppress
from urllib.parse import urlsplit

import httpx
import pytest
from sqlalchemy import URL
from websockets.exceptions import ConnectionClosed, InvalidStatus

from coinwatch.times import now_us
from tests.app.dashboard.dashboard_server import DashboardProcess, dashboard_process
from tests.app.dashboard.raw_viewer import RawViewer, raw_viewer
from tests.app.dashboard.stock import PRICES, Stock

MB = 1_000_000
TOO_BIG = 1009
"""The code with which a websocket is closed for the size of a message."""
GROWTH_MB = 40


@pytest.fixture(scope="module")
def server(module_database: URL, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DashboardProcess]:
    """A dashboard without a sign-in, whose first page was drawn."""
    stock = Stock.open(module_database, now_us())
    stock.day(PRICES)
    stock.close()
    url = module_database.set(drivername="postgresql").render_as_string(hide_password=False)
    settings = {"COINWATCH_DATABASE_URL": url, "COINWATCH_MARKETS": ",".join(PRICES)}
    with dashboard_process(tmp_path_factory.mktemp("dashboard"), settings) as server:
        with raw_viewer(server.root) as viewer:
            assert "cw-price" in viewer.draw()
        yield server


def connected(server: DashboardProcess) -> socket.socket:
    """A connection without a request."""
    address = urlsplit(server.root)
    return socket.create_connection((address.hostname, address.port), timeout=20)


def send_until_closed(raw: socket.socket, part: bytes, most: int) -> int:
    """How many times ``part`` could be sent, ``most`` at most."""
    for number in range(most):
        try:
            raw.sendall(part)
        except (BrokenPipeError, ConnectionResetError):
            return number
    return most


def closed_after(viewer: RawViewer) -> bool:
    """Whether the server ends the connection; what it sends before that is skipped."""
    with suppress(ConnectionClosed, BrokenPipeError, ConnectionResetError):
        while viewer.socket.recv(timeout=20):
            pass
    return viewer.socket.close_code is not None


def exchange(server: DashboardProcess, head: str, body_mb: int = 0) -> tuple[str, int]:
    """The status line of the answer to a request, and how many MB of a body were accepted before it."""
    with connected(server) as raw:
        raw.sendall(f"{head}\r\nHost: {urlsplit(server.root).netloc}\r\n\r\n".encode())
        sent = send_until_closed(raw, bytes(MB), body_mb)
        received = b""
        with suppress(ConnectionResetError):
            while part := raw.recv(65_536):
                received += part
    return received.split(b"\r\n")[0].decode(), sent


def test_uploads_are_refused_and_kept_nowhere(server: DashboardProcess) -> None:
    with raw_viewer(server.root) as viewer:
        viewer.draw()
        before_mb = server.resident_mb()
        address = f"{server.root}/_stcore/upload_file/{viewer.session_id}"
        headers = {"X-Xsrftoken": viewer.token, "Cookie": f"_streamlit_xsrf={viewer.token}"}
        for number in range(4):
            with suppress(httpx.WriteError, httpx.ReadError):  # refused while it is sent
                answer = httpx.put(
                    f"{address}/file{number}",
                    files={"file": bytes(60 * MB)},
                    headers=headers,
                    trust_env=False,
                )
                assert answer.status_code == 403
        small = httpx.put(f"{address}/x", files={"file": b"x"}, headers=headers, trust_env=False)
        assert small.status_code == 403
        assert httpx.options(f"{address}/x", trust_env=False).status_code == 403
        assert server.resident_mb() < before_mb + GROWTH_MB


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        ("PUT /_stcore/upload_file/a/b HTTP/1.1", 403),
        ("DELETE /_stcore/upload_file/a/b HTTP/1.1", 403),
        ("PUT /any/base/_stcore/upload_file/a/b HTTP/1.1", 403),
        ("PUT /_stcore/%75pload_file/a/b HTTP/1.1", 403),
        ("POST /_stcore/agent/interact HTTP/1.1", 403),
        ("GET /_stcore/agent/openapi.json HTTP/1.1", 403),
        ("POST / HTTP/1.1", 405),
        ("POST /media/x HTTP/1.1", 405),
        ("PUT /component/x HTTP/1.1", 405),
        ("PATCH /_stcore/bidi-components/x HTTP/1.1", 405),
        ("TRACE / HTTP/1.1", 405),
        ("GET / HTTP/1.1", 413),
        ("GET /oauth2callback HTTP/1.1", 413),
        ("HEAD /_stcore/health HTTP/1.1", 413),
    ],
)
@pytest.mark.parametrize("length", ["Content-Length: 900000000", "Transfer-Encoding: chunked"])
def test_a_body_is_refused_unread(
    server: DashboardProcess, request_line: str, status: int, length: str
) -> None:
    answer, _ = exchange(server, f"{request_line}\r\n{length}")
    assert answer.startswith(f"HTTP/1.1 {status} ")


def test_a_body_that_is_sent_all_the_same_is_not_received(server: DashboardProcess) -> None:
    before_mb = server.resident_mb()
    _, sent_mb = exchange(server, "POST / HTTP/1.1\r\nContent-Length: 900000000", body_mb=900)
    assert sent_mb < 100
    assert server.resident_mb() < before_mb + GROWTH_MB


@pytest.mark.parametrize(
    ("start", "part"),
    [
        (b"GET /?", b"x" * MB),
        (b"GET / HTTP/1.1\r\nX: ", b"x" * MB),
        (b"GET / HTTP/1.1\r\n", b"X: y\r\n" * 100_000),
    ],
    ids=["address", "header", "headers"],
)
def test_an_endless_head_ends_the_connection(server: DashboardProcess, start: bytes, part: bytes) -> None:
    before_mb = server.resident_mb()
    with connected(server) as raw:
        raw.sendall(start)
        assert send_until_closed(raw, part, 100) < 20
    assert server.resident_mb() < before_mb + GROWTH_MB


def test_a_message_larger_than_any_of_a_page_ends_the_connection(server: DashboardProcess) -> None:
    with raw_viewer(server.root) as viewer:
        viewer.draw()
        viewer.socket.send(bytes(2 * MB))
        assert closed_after(viewer)
        assert viewer.socket.close_code == TOO_BIG
    with raw_viewer(server.root) as viewer:
        viewer.draw()
        with suppress(ConnectionClosed):
            viewer.socket.send(bytes(40 * MB))
        assert closed_after(viewer)


def test_invalid_frames_write_a_line_a_burst(server: DashboardProcess) -> None:
    written = len(server.log().splitlines())
    for number in range(40):
        with raw_viewer(server.root) as viewer:
            viewer.socket.send(b"\xff\xff" if number % 2 else "text")
            assert closed_after(viewer)
    lines = server.log().splitlines()[written:]
    assert len([line for line in lines if "Traceback" in line]) <= 3
    assert len(lines) < 100


def test_another_name_of_this_machine_is_refused(server: DashboardProcess) -> None:
    page = httpx.get(server.root, headers={"Host": "rebound.example:8501"}, trust_env=False)
    assert page.status_code == 403
    assert "COINWATCH_DASHBOARD_LOGIN=off" in page.text
    with pytest.raises(InvalidStatus) as caught, raw_viewer(server.root, "rebound.example:8501"):
        pass
    assert caught.value.response.status_code == 403
    assert httpx.get(server.root, trust_env=False).status_code == 200


def test_pages_may_load_nothing_from_other_hosts(server: DashboardProcess) -> None:
    policy = httpx.get(server.root, trust_env=False).headers["content-security-policy"]
    assert policy.startswith("default-src 'self' ")
    assert "http" not in policy
    assert "frame-ancestors 'self'" in policy
