"""Keys and certificates of a test: an authority, a server, clients, and an authority that nobody trusts."""

from __future__ import annotations

import base64
import json
import secrets
from dataclasses import dataclass
from pathlib import Path

import trustme
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)


@dataclass(frozen=True)
class Identity:
    """Files of one certificate: the chain, its key (PKCS#8), and both in one, as Kafka wants them."""

    chain: Path
    key: Path

    @property
    def both(self) -> Path:
        return self.chain.with_suffix(".both.pem")


@dataclass(frozen=True)
class Authority:
    """A certificate authority of the test, and its certificate as a file."""

    ca: trustme.CA
    path: Path

    @classmethod
    def made(cls, directory: Path, name: str) -> Authority:
        ca = trustme.CA()
        path = directory / f"{name}.pem"
        ca.cert_pem.write_to_path(path)
        return cls(ca, path)

    def issue(self, name: str, *hosts: str) -> Identity:
        """A certificate for hosts, or for a client whose common name is ``name``."""
        issued = self.ca.issue_cert(*(hosts or (f"{name}.invalid",)), common_name=name)
        directory = self.path.parent
        chain, key = directory / f"{name}.chain.pem", directory / f"{name}.key.pem"
        chain.write_bytes(b"".join(each.bytes() for each in issued.cert_chain_pems))
        loaded = load_pem_private_key(issued.private_key_pem.bytes(), None)
        key.write_bytes(loaded.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        identity = Identity(chain, key)
        identity.both.write_bytes(key.read_bytes() + chain.read_bytes())
        return identity


def password() -> str:
    """A password that is nowhere else, so that a test can look for it everywhere."""
    return f"planted-{secrets.token_hex(8)}"


def base64url(data: bytes) -> str:
    """Base64 as JSON web tokens write it."""
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def compact_json(value: object) -> bytes:
    """JSON without spaces."""
    return json.dumps(value, separators=(",", ":")).encode()
