"""Report tokens: each is bound to one outcome of one attempt of one delivery.

A worker returns the token of the outcome that its task had. Nobody without the SECRET_KEY can make
one; but whoever reads a token in a queue can use it.
"""

from __future__ import annotations

import hashlib
import hmac
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from enum import StrEnum
from functools import cache

from django.core.signing import BadSignature, Signer
from django.utils.encoding import force_bytes

_SALT = "handlers.tracking.report"
#: A token is longer only if it is forged.
MAX_LENGTH = 200


class Reported(StrEnum):
    """How a task ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Token:
    delivery_id: int
    attempt: int
    outcome: Reported


class InvalidToken(Exception):
    """A token that this installation did not issue. Find out who can write to the queue."""


@cache
def _signer() -> Signer:
    return Signer(salt=_SALT)


@cache
def _key() -> bytes:
    """Return the key that the signer derives from its salt for each signature."""
    signer = _signer()
    return hashlib.sha256(f"{_SALT}signer".encode() + force_bytes(signer.key)).digest()


def issue(delivery_id: int, attempt: int, outcome: Reported) -> str:
    """Return the token as `Signer.sign` does, in a tenth of its time: each task has two."""
    value = f"{delivery_id}:{attempt}:{outcome.value}"
    signature = urlsafe_b64encode(hmac.digest(_key(), value.encode(), "sha256")).strip(b"=")
    return f"{value}:{signature.decode()}"


def read(text: object) -> Token:
    """Return the token's content. Raises InvalidToken."""
    if not isinstance(text, str) or len(text) > MAX_LENGTH:
        raise InvalidToken
    try:
        delivery_id, attempt, outcome = _signer().unsign(text).split(":")
        return Token(int(delivery_id), int(attempt), Reported(outcome))
    except (BadSignature, ValueError):
        raise InvalidToken from None
