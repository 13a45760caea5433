"""What must never be printed: which settings are secret, and how they look when shown."""

from __future__ import annotations

import re

from pydantic import Secret

MASK = "**********"

_SECRET_PROPERTY = re.compile(r"password|passphrase|secret|key\.pem$|oauthbearer\.config$|private\.key\.pem$")


def is_secret(name: str) -> bool:
    """Tell whether the value of a setting or librdkafka property of this name must not be shown.

    >>> is_secret("sasl.password"), is_secret("ssl.key.pem"), is_secret("ssl.ca.location")
    (True, True, False)
    """
    return _SECRET_PROPERTY.search(name) is not None


def mask_url(url: str) -> str:
    """Return an address with its password, and any secret in its query, masked.

    >>> mask_url("redis://app:pw@10.0.0.7:6379/0")
    'redis://app:**********@10.0.0.7:6379/0'
    """
    scheme, separator, rest = url.partition("://")
    userinfo, at, host = rest.rpartition("@")
    user, colon, _ = userinfo.partition(":")
    host = re.sub(r"(?i)([?&][^&=]*(?:password|secret)[^&=]*)=[^&]*", rf"\1={MASK}", host)
    host = re.sub(
        r"^([^/\[\]:]*):(?!\d*(?:[/?]|$))[^/?]*", rf"\1:{MASK}", host
    )  # a password in the port's place
    return f"{scheme}{separator}{user}{f':{MASK}' if colon else ''}{at}{host}"


class SecretUrl(Secret[str]):
    """An address whose password shows as stars in ``repr``, logs and ``config show``."""

    def _display(self) -> str:
        return mask_url(self.get_secret_value())
