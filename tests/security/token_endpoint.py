"""A small OAuth 2 server: client credentials in, a signed token out, and the key to check it with."""

from __future__ import annotations

import base64
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs

from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256

from tests.security.identities import Identity, base64url, compact_json


@dataclass
class TokenEndpoint:
    """Gives tokens whose subject is the client; counts them by client."""

    client_id: str
    secret: str
    lifetime_s: int = 60
    port: int = 0
    given: int = 0
    refused: int = 0
    key: rsa.RSAPrivateKey = field(default_factory=lambda: rsa.generate_private_key(65537, 2048))

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}/token"

    def jwks(self) -> bytes:
        """The public key, as the broker reads it."""
        numbers = self.key.public_key().public_numbers()
        modulus, exponent = (
            base64url(value.to_bytes((value.bit_length() + 7) // 8, "big"))
            for value in (numbers.n, numbers.e)
        )
        key = {"kty": "RSA", "kid": "k", "use": "sig", "alg": "RS256", "n": modulus, "e": exponent}
        return compact_json({"keys": [key]})

    def token(self, subject: str) -> str:
        now = int(time.time())
        head = compact_json({"alg": "RS256", "kid": "k", "typ": "JWT"})
        body = compact_json(
            {"sub": subject, "aud": "kafka", "iss": "test", "iat": now, "exp": now + self.lifetime_s}
        )
        signed = f"{base64url(head)}.{base64url(body)}"
        return f"{signed}.{base64url(self.key.sign(signed.encode(), padding.PKCS1v15(), SHA256()))}"

    def answer(self, authorization: str, body: str) -> tuple[int, bytes]:
        pair = base64.b64encode(f"{self.client_id}:{self.secret}".encode()).decode()
        if authorization != f"Basic {pair}" or parse_qs(body).get("grant_type") != ["client_credentials"]:
            self.refused += 1
            return 401, compact_json({"error": "invalid_client"})
        self.given += 1
        answer = {"access_token": self.token(self.client_id), "token_type": "Bearer"}
        return 200, compact_json({**answer, "expires_in": self.lifetime_s})


@contextmanager
def serving(endpoint: TokenEndpoint, identity: Identity, jwks: Path) -> Iterator[TokenEndpoint]:
    """Serve over TLS on a free port until the context ends; the public key is written to ``jwks``."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
            status, answer = endpoint.answer(self.headers.get("Authorization", ""), body)
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(identity.chain, identity.key)
    jwks.write_bytes(endpoint.jwks())
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        server.handle_error = lambda *_: None  # type: ignore[method-assign]
        endpoint.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield endpoint
        finally:
            server.shutdown()
            thread.join()
