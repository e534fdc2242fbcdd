"""An OpenID Connect provider on this machine that lets everybody in as one person."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import RSAKey

CLIENT = "coinwatch"
EMAIL = "ada@example.org"
AUTH = {
    "redirect_uri": "https://coinwatch.example/oauth2callback",
    "cookie_secret": "0123456789abcdef",
    "client_id": CLIENT,
    "client_secret": "shared",
    "server_metadata_url": "https://provider.example/.well-known/openid-configuration",
}
"""A complete section for a provider that no test asks."""


@contextmanager
def provider() -> Iterator[str]:
    """Its address."""
    key = RSAKey.generate_key(2048, {"kid": "1", "use": "sig", "alg": "RS256"})
    nonces: dict[str, str] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            place = urlsplit(self.path)
            asked = {name: values[0] for name, values in parse_qs(place.query).items()}
            if place.path == "/.well-known/openid-configuration":
                self._answer(
                    {
                        "issuer": root,
                        "authorization_endpoint": f"{root}/authorize",
                        "token_endpoint": f"{root}/token",
                        "jwks_uri": f"{root}/keys",
                        "response_types_supported": ["code"],
                        "subject_types_supported": ["public"],
                        "id_token_signing_alg_values_supported": ["RS256"],
                    }
                )
            elif place.path == "/keys":
                self._answer({"keys": [key.as_dict(private=False)]})
            else:
                nonces["code"] = asked["nonce"]
                self.send_response(302)
                back = urlencode({"code": "code", "state": asked["state"]})
                self.send_header("Location", f"{asked['redirect_uri']}?{back}")
                self.end_headers()

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            at_s = int(time.time())
            claims = {
                "iss": root,
                "aud": CLIENT,
                "sub": "1",
                "email": EMAIL,
                "nonce": nonces["code"],
                "iat": at_s,
                "exp": at_s + 3_600,
            }
            token = jwt.encode({"alg": "RS256", "kid": "1"}, claims, key)
            self._answer(
                {"access_token": "x", "token_type": "Bearer", "expires_in": 3_600, "id_token": token}
            )

        def _answer(self, answer: object) -> None:
            body = json.dumps(answer).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    root = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield root
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
