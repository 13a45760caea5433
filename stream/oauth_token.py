"""Tokens of the OAuth 2 client-credentials grant, for the evaluator's Kafka client.

librdkafka fetches its own (``sasl.oauthbearer.method: oidc``); Faust's client must be given them. Both are
driven by the same properties of the ``kafka`` section.
"""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.client import HTTPException
from typing import Any, Final

from aiokafka.abc import AbstractTokenProvider  # type: ignore[import-untyped]

from stream.errors import DependencyError

TIMEOUT_S: Final = 10.0
LIFETIME_USED: Final = 0.8
"""Share of its lifetime after which a token is fetched anew, as librdkafka does."""
_MOST_BYTES: Final = 2**20


@dataclass(frozen=True)
class TokenRequest:
    """Who asks whom for tokens.

    Parameters
    ----------
    endpoint
        ``https://`` address of the token endpoint; anything but HTTP is refused with the settings.
    ca
        File with the authority of the endpoint; None = those of the system.
    """

    endpoint: str
    client_id: str
    client_secret: str = field(repr=False)
    scope: str | None = None
    ca: str | None = None

    def fetch(self) -> tuple[str, float]:
        """Return a token and its lifetime in seconds.

        Raises
        ------
        DependencyError
            The endpoint cannot be reached, refuses, or answers something else.
        """
        form = {"grant_type": "client_credentials"} | ({"scope": self.scope} if self.scope else {})
        pair = f"{self.client_id}:{self.client_secret}".encode()
        request = urllib.request.Request(
            self.endpoint,
            data=urllib.parse.urlencode(form).encode(),
            headers={
                "Authorization": f"Basic {base64.b64encode(pair).decode()}",
                "Accept": "application/json",
            },
        )
        try:
            context = ssl.create_default_context(cafile=self.ca)
            # The scheme is http or https: the settings refuse any other.
            with urllib.request.urlopen(request, timeout=TIMEOUT_S, context=context) as answer:  # nosec B310
                return _token(json.loads(answer.read(_MOST_BYTES)))
        except urllib.error.HTTPError as exc:
            with exc:
                raise self._failed(f"HTTP {exc.code} {exc.reason}") from exc
        except urllib.error.URLError as exc:
            raise self._failed(str(exc.reason)) from exc
        except (OSError, HTTPException, ValueError) as exc:
            raise self._failed(str(exc) or type(exc).__name__) from exc

    def _failed(self, reason: str) -> DependencyError:
        return DependencyError(
            f"no token from {self.endpoint}: {reason}; mend kafka.sasl.oauthbearer.token.endpoint.url, "
            "client.id and client.secret"
        )


def _token(answer: Any) -> tuple[str, float]:
    token = answer.get("access_token") if isinstance(answer, Mapping) else None
    if not isinstance(token, str) or not token:
        raise ValueError("the answer holds no access_token")
    lifetime = answer.get("expires_in", 300)
    return token, float(lifetime) if isinstance(lifetime, int | float) else 300.0


class OauthTokens(AbstractTokenProvider):  # type: ignore[misc]
    """Gives Faust's client a token that is good for a while yet; fetches one when it must."""

    def __init__(self, request: TokenRequest) -> None:
        self._request = request
        self._held, self._good_until = "", float("-inf")
        self._lock = asyncio.Lock()

    async def token(self) -> str:
        """Return a token; DependencyError when there is none to be had."""
        async with self._lock:
            asked = time.monotonic()
            if asked >= self._good_until:
                self._held, lifetime_s = await asyncio.to_thread(self._request.fetch)
                self._good_until = asked + LIFETIME_USED * lifetime_s
            return self._held
