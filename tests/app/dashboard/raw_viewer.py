"""A viewer without a browser, who sends whatever it likes by Streamlit's protocol."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import httpx
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin, Subprotocol

LARGEST = 64_000_000


@dataclass
class RawViewer:
    """A websocket to a dashboard at ``root``, with the cookie that Streamlit gives to each browser."""

    root: str
    socket: ClientConnection
    token: str
    session_id: str = ""

    def draw(self, query: str = "", **context: str) -> str:
        """The HTML of a page, drawn for a browser that reports ``context``, such as a time zone."""
        request = BackMsg()
        request.rerun_script.query_string = query
        request.rerun_script.context_info.url = f"{self.root}/"
        for name, value in context.items():
            setattr(request.rerun_script.context_info, name, value)
        self.socket.send(request.SerializeToString())
        parts = []
        while True:
            answer = ForwardMsg()
            received = self.socket.recv(timeout=60)
            assert isinstance(received, bytes)
            answer.ParseFromString(received)
            match answer.WhichOneof("type"):
                case "new_session":
                    self.session_id = answer.new_session.initialize.session_id
                case "delta":
                    parts.append(answer.delta.new_element.html.body)
                case "script_finished":
                    return "\n".join(parts)
                case _:
                    pass


@contextmanager
def raw_viewer(root: str, host: str = "") -> Iterator[RawViewer]:
    """A connected viewer, who addresses the dashboard as ``host`` if that is given."""
    token = httpx.get(f"{root}/_stcore/health", trust_env=False).cookies["_streamlit_xsrf"]
    with connect(
        f"{root.replace('http', 'ws')}/_stcore/stream",
        origin=Origin(f"http://{host}" if host else root),
        subprotocols=[Subprotocol("streamlit"), Subprotocol(token)],
        additional_headers={"Cookie": f"_streamlit_xsrf={token}", **({"Host": host} if host else {})},
        max_size=LARGEST,
        proxy=None,
    ) as socket:
        yield RawViewer(root, socket, token)
