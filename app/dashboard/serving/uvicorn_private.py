"""Undocumented parts of uvicorn that we change. No other module imports them.

Streamlit starts uvicorn without a limit on the line and the headers of a request: while they arrive, they
are kept in memory, whatever their size.
"""

from __future__ import annotations

from weakref import WeakKeyDictionary

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


def limit_heads(most_bytes: int) -> None:
    """Refuse requests to this process whose line and headers are larger, and close their connections.

    The size is checked each time data arrives, 256 kB at most, so that much more is accepted.
    """
    receive = HttpToolsProtocol.data_received
    begin = HttpToolsProtocol.on_message_begin
    complete = HttpToolsProtocol.on_headers_complete
    unfinished: WeakKeyDictionary[HttpToolsProtocol, int] = WeakKeyDictionary()

    def data_received(self: HttpToolsProtocol, data: bytes) -> None:
        if self in unfinished:
            unfinished[self] += len(data)
            if unfinished[self] > most_bytes:
                del unfinished[self]
                self.send_400_response("The head of the request is too large.")
                return
        receive(self, data)

    def on_message_begin(self: HttpToolsProtocol) -> None:
        unfinished[self] = 0
        begin(self)

    def on_headers_complete(self: HttpToolsProtocol) -> None:
        unfinished.pop(self, None)
        complete(self)

    HttpToolsProtocol.data_received = data_received  # type: ignore[method-assign]
    HttpToolsProtocol.on_message_begin = on_message_begin  # type: ignore[method-assign]
    HttpToolsProtocol.on_headers_complete = on_headers_complete  # type: ignore[method-assign]
