"""The JWT bearer grant: an assertion signed with the connected app's private key."""

import base64
import binascii
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509 import load_pem_x509_certificate

from simulator.auth.token_errors import UNKNOWN_CLIENT, TokenError
from simulator.org.records import JsonObject

GRANT_TYPE = "urn:ietf:params:oauth:grant-type:jwt-bearer"
AUDIENCES = ("https://login.salesforce.com", "https://test.salesforce.com")
#: Longest lifetime. Salesforce documents three minutes, but real orgs accept five from clients.
LONGEST_SECONDS = 300
SKEW_SECONDS = 10
#: An expiry time above this is in milliseconds, as @salesforce/core sends it.
MILLISECONDS_FROM = 10**11
INVALID = ("invalid_grant", "invalid assertion")
WRONG_AUDIENCE = ("invalid_grant", "audience is invalid")
NOT_APPROVED = ("invalid_grant", "user hasn't approved this consumer")
TOO_LATE = ("invalid_grant", "expired authorization code")


class AppKey:
    """The connected app's public key: from a file, or of a key pair created when first needed."""

    def __init__(self, path: str = "") -> None:
        """Load the key. Raises ValueError for a file without an RSA key."""
        self._given = _read(path) if path else None

    @property
    def public(self) -> rsa.RSAPublicKey:
        """The key that signatures are checked with."""
        return self._given or self._pair.public_key()

    @property
    def private_pem(self) -> str:
        """The private key of the created pair; empty if the public key came from a file."""
        if self._given:
            return ""
        return self._pair.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ).decode()

    @cached_property
    def _pair(self) -> rsa.RSAPrivateKey:
        return rsa.generate_private_key(public_exponent=65_537, key_size=2_048)


def _read(path: str) -> rsa.RSAPublicKey:
    try:
        pem = Path(path).read_bytes()
        is_certificate = b"BEGIN CERTIFICATE" in pem
        key = (
            load_pem_x509_certificate(pem).public_key()
            if is_certificate
            else serialization.load_pem_public_key(pem)
        )
    except (OSError, ValueError) as error:
        raise ValueError(f"--jwt-public-key {path}: {error}") from error
    match key:
        case rsa.RSAPublicKey():
            return key
        case _:
            raise ValueError(f"--jwt-public-key {path}: not an RSA key")


@dataclass(frozen=True, slots=True)
class Assertion:
    """A parsed JWT, not yet checked."""

    header: JsonObject
    claims: JsonObject
    signed: bytes
    signature: bytes

    @classmethod
    def parse(cls, text: str) -> "Assertion":
        """Parse the text. Raises TokenError if it is not a JWT."""
        try:
            header, claims, signature = (_decoded(part) for part in text.split("."))
            parsed = (json.loads(header), json.loads(claims))
        except (ValueError, binascii.Error):
            raise TokenError(*INVALID) from None
        if not all(isinstance(part, dict) for part in parsed):
            raise TokenError(*INVALID)
        return cls(*parsed, text.rpartition(".")[0].encode(), signature)

    def check_signature(self, key: rsa.RSAPublicKey) -> None:
        """Check the RS256 signature. Raises TokenError."""
        if self.header.get("alg") != "RS256":
            raise TokenError(*INVALID)
        try:
            key.verify(self.signature, self.signed, padding.PKCS1v15(), hashes.SHA256())
        except InvalidSignature:
            raise TokenError(*INVALID) from None

    def check_claims(self, audiences: tuple[str, ...], now: int) -> None:
        """Check audience and lifetime, with `now` in milliseconds. Raises TokenError."""
        audience = self.claims.get("aud")
        if not any(
            name in audiences for name in (audience if isinstance(audience, list) else [audience])
        ):
            raise TokenError(*WRONG_AUDIENCE)
        try:
            left = _seconds_left(float(self.claims.get("exp", "")), now)
        except (TypeError, ValueError):
            raise TokenError(*INVALID) from None
        if not left > 0:
            raise TokenError(*TOO_LATE)
        if left > LONGEST_SECONDS + SKEW_SECONDS:
            raise TokenError(*INVALID)


def _seconds_left(expires_at: float, now: int) -> float:
    """Return the seconds until the assertion expires; a time in milliseconds gets a grace period.

    @salesforce/core sends the present time in milliseconds plus 300, which real orgs accept.
    """
    if expires_at < MILLISECONDS_FROM:
        return expires_at - now / 1000
    return (expires_at - now) / 1000 + SKEW_SECONDS


def checked_subject(text: str, key: AppKey, *, client_id: str, base_url: str, now: int) -> str:
    """Return the user of a valid assertion. Raises TokenError."""
    assertion = Assertion.parse(text)
    if assertion.claims.get("iss") != client_id:
        raise TokenError(*UNKNOWN_CLIENT)
    assertion.check_signature(key.public)
    assertion.check_claims((*AUDIENCES, base_url), now)
    return str(assertion.claims.get("sub", ""))


def _decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
