"""The identifiers that Salesforce issues."""

import base64
import hashlib
import random
import string
import uuid
from collections.abc import Iterator

CHECKSUM_ALPHABET = string.ascii_uppercase + "012345"
BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase
POD = "5g0"


def with_checksum(id15: str) -> str:
    """Return the 18-character form: each suffix character encodes the case of five characters."""
    chunks = (id15[start : start + 5] for start in (0, 5, 10))
    return id15 + "".join(
        CHECKSUM_ALPHABET[sum(1 << bit for bit, char in enumerate(chunk) if char in BASE62[10:36])]
        for chunk in chunks
    )


ORG_ID = with_checksum("00D5g000004QxWv")
USER_ID = with_checksum("0055g000009mLcT")


def long_id(text: str) -> str:
    """Return an id in its 18-character form; text without 15 characters is returned unchanged."""
    return with_checksum(text) if len(text) == 15 else text


def base62(number: int, width: int) -> str:
    """Return the number in Salesforce's digits, padded with zeros."""
    digits = ""
    while number:
        number, digit = divmod(number, 62)
        digits = BASE62[digit] + digits
    return digits.rjust(width, "0")


def schema_id(schema: str) -> str:
    """Return 22 characters, stable for a schema's text, like the schema ids of a real org."""
    digest = hashlib.sha256(schema.encode()).digest()[:16]
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


class RecordIds:
    """Record ids, increasing within a key prefix."""

    def __init__(self, rng: random.Random) -> None:
        self._next = rng.randrange(62**4, 62**5)

    def next(self, prefix: str) -> str:
        """Return a new 18-character id with this key prefix."""
        self._next += 1
        return with_checksum(prefix + POD + base62(self._next, 9))


class OpaqueIds:
    """Opaque keys that never repeat, even after a restart of the simulator."""

    def __init__(self, entropy: random.Random) -> None:
        self._entropy = entropy

    def transaction_key(self) -> str:
        """Return a transactionKey: a UUID's shape, with the leading zeros of real ones."""
        digits = f"000{self._entropy.getrandbits(116):029x}"
        return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))

    def event_uuid(self) -> str:
        return str(uuid.UUID(int=self._entropy.getrandbits(128), version=4))

    def client_id(self) -> str:
        alphabet = string.ascii_lowercase + string.digits
        return "".join(self._entropy.choice(alphabet) for _ in range(29))

    def browser(self) -> str:
        """Return a BAYEUX_BROWSER cookie."""
        return f"{self._entropy.getrandbits(128):032x}"

    def affinity(self) -> str:
        """Return a load balancer's cookie, with characters that a client must not re-encode."""
        token = base64.b64encode(self._entropy.randbytes(40)).decode()
        return f"!{token}+/=="

    def secret(self, size: int) -> str:
        """Return letters and digits for a token."""
        return "".join(self._entropy.choice(BASE62 + "._") for _ in range(size))

    def replay_steps(self) -> Iterator[int]:
        """Yield distances between replay ids: mostly 1, sometimes a larger gap for other topics."""
        while True:
            yield 1 if self._entropy.random() < 0.6 else self._entropy.randint(2, 90)

    def commit_step(self) -> int:
        """Return the distance between two commit numbers."""
        return self._entropy.randint(200, 500_000)
