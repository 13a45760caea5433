from __future__ import annotations

import asyncio

import pytest

from stream.errors import DependencyError
from stream.oauth_token import OauthTokens, TokenRequest


def test_a_token_is_kept_for_most_of_its_lifetime_and_never_shown() -> None:
    answers = iter([("first", 0.0), ("second", 600.0)])

    class Request(TokenRequest):
        def fetch(self) -> tuple[str, float]:
            return next(answers)

    request = Request("https://login.example/token", "app", "planted")
    assert "planted" not in repr(request)

    async def asked() -> list[str]:
        tokens = OauthTokens(request)
        return [await tokens.token() for _ in range(3)]

    assert asyncio.run(asked()) == ["first", "second", "second"]


def test_an_endpoint_that_does_not_answer_is_one_line() -> None:
    request = TokenRequest("http://127.0.0.1:1/token", "app", "planted")
    with pytest.raises(
        DependencyError, match=r"no token from http://127.0.0.1:1/token: .*refused.*; mend kafka"
    ) as error:
        request.fetch()
    assert "planted" not in str(error.value)
