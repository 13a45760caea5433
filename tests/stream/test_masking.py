from __future__ import annotations

import pytest

from stream.settings.masking import SecretUrl, mask_url


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://127.0.0.1:6379/0", "redis://127.0.0.1:6379/0"),
        ("redis://:pw@h:6379/0", "redis://:**********@h:6379/0"),
        (
            "rediss://app:pw@h/0?ssl_password=pw&x=1",
            "rediss://app:**********@h/0?ssl_password=**********&x=1",
        ),
        ("redis://app:p/w@h:6379/0", "redis://app:**********@h:6379/0"),
        ("redis://app:pw@pw@h:6379/0", "redis://app:**********@h:6379/0"),
        ("redis://app:pw/0", "redis://app:**********/0"),
        ("redis://[::1]:6379/0", "redis://[::1]:6379/0"),
        ("unix:///run/redis.sock?db=1&password=pw", "unix:///run/redis.sock?db=1&password=**********"),
    ],
)
def test_a_url_shows_no_password(url: str, shown: str) -> None:
    assert mask_url(url) == shown
    assert "pw" not in repr(SecretUrl(url))
    assert SecretUrl(url).get_secret_value() == url
