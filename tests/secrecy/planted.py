"""Unmistakable secret values: finding one anywhere, in any encoding, is a leak."""

from __future__ import annotations

import base64
import re
import secrets
import string
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

#: Characters that XML, HTML, JSON, URLs, YAML and `repr` each escape differently.
SPECIAL = "&<>\"'+%=é/\\ #"
#: Letters and digits in a row that every escaping leaves alone, long enough to be no accident.
_LENGTH = 12
_RUN = re.compile(rf"[A-Za-z0-9]{{{_LENGTH},}}")
#: The characters of all encodings.
_WORD = re.compile(rf"[A-Za-z0-9+/=_-]{{{_LENGTH},}}")
_BASE64 = (base64.b64encode, base64.urlsafe_b64encode)


def plain(label: str) -> str:
    """Return a secret that can stand in a header."""
    return label + "".join(secrets.choice(string.ascii_letters) for _ in range(16))


def special(label: str) -> str:
    """Return a secret that most formats have to escape, between two halves that none escapes."""
    return f"{plain(label)}{SPECIAL}{plain('')}"


def disguises(value: str) -> Iterator[str]:
    """Yield recognizable parts of a value in each encoding, at each offset in a longer text, also
    of a truncated value. Raises ValueError for a value that could be any other text."""
    runs = _RUN.findall(value) or _WORD.findall(value)
    if not runs:
        raise ValueError("it has no run of letters and digits to know it by")
    for word in {end for run in runs for end in (run[:_LENGTH], run[-_LENGTH:])}:
        raw = word.encode()
        yield word
        yield raw.hex()
        yield raw.hex().upper()
        for encode in _BASE64:
            for offset in range(3):
                whole = encode(bytes(offset) + raw).decode()
                yield whole[(0, 2, 3)[offset] : 8 * (offset + len(raw)) // 6]


@dataclass
class Planted:
    """The secrets of a test, by their labels."""

    _labels: dict[str, str] = field(default_factory=dict)
    #: By how they begin: there are many, and much to search.
    _beginnings: dict[str, set[str]] = field(default_factory=dict)

    def plain(self, label: str) -> str:
        return self.add(label, plain(label))

    def special(self, label: str) -> str:
        return self.add(label, special(label))

    def add(self, label: str, value: str) -> str:
        """Add a secret, such as one made elsewhere, and return it."""
        for disguise in disguises(value) if value else ():
            self._labels.setdefault(disguise, label)
            self._beginnings.setdefault(disguise[:_LENGTH], set()).add(disguise)
        return value

    def add_key(self, label: str, pem: str) -> str:
        """Add each line of a key but its first and last ones."""
        for number, line in enumerate(pem.strip().splitlines()[1:-2], 1):
            self.add(f"line {number} of {label}", line)
        return pem

    def add_token(self, label: str, token: str) -> str:
        """Add an access token without its first part, which names the org and is no secret."""
        self.add(label, token.rpartition("!")[2])
        return token

    def leaks(self, places: Mapping[str, str]) -> list[str]:
        """Return each secret found in a place, with the text around it."""
        found: dict[tuple[str, str], str] = {}
        for place, text in places.items():
            for needle in self._needles_in(text):
                at = text.find(needle)
                around = text[max(0, at - 80) : at + len(needle) + 40]
                found.setdefault((self._labels[needle], place), around)
        return [f"{label} in {place}: …{found[label, place]!r}…" for label, place in sorted(found)]

    def _needles_in(self, text: str) -> Iterator[str]:
        for word in set(_WORD.findall(text)):
            for start in range(len(word) - _LENGTH + 1):
                needles = self._beginnings.get(word[start : start + _LENGTH], ())
                yield from (needle for needle in needles if word.startswith(needle, start))
