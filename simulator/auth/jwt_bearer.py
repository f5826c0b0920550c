"""The JWT bearer grant: an assertion signed with the connected app's private key."""

import base64
import json
from functools import cached_property
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509 import load_pem_x509_certificate

from simulator.auth.credentials import UNKNOWN_CLIENT, TokenError
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

    def __init__(self, path: str) -> None:
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


def checked_subject(text: str, key: AppKey, *, client_id: str, base_url: str, now: int) -> str:
    """Return the user of a valid assertion, with `now` in milliseconds. Raises TokenError."""
    try:
        header, claims, signature = (_decoded(part) for part in text.split("."))
        described, claimed = json.loads(header), json.loads(claims)
    except ValueError:
        raise TokenError(*INVALID) from None
    if not isinstance(described, dict) or not isinstance(claimed, dict):
        raise TokenError(*INVALID)
    if claimed.get("iss") != client_id:
        raise TokenError(*UNKNOWN_CLIENT)
    if described.get("alg") != "RS256":
        raise TokenError(*INVALID)
    signed = text.rpartition(".")[0].encode()
    try:
        key.public.verify(signature, signed, padding.PKCS1v15(), hashes.SHA256())
    except InvalidSignature:
        raise TokenError(*INVALID) from None
    _check_claims(claimed, (*AUDIENCES, base_url), now)
    return str(claimed.get("sub", ""))


def _check_claims(claims: JsonObject, audiences: tuple[str, ...], now: int) -> None:
    """Check audience and lifetime. Raises TokenError."""
    audience = claims.get("aud")
    named = audience if isinstance(audience, list) else [audience]
    if not any(name in audiences for name in named):
        raise TokenError(*WRONG_AUDIENCE)
    try:
        left = _seconds_left(float(claims.get("exp", "")), now)
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


def _decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
