"""Group a handler's errors that differ only in numbers, ids and quoted values."""

from __future__ import annotations

import re

from django.utils.crypto import salted_hmac

from audit.log.masking import MASKED
from handlers.models import Delivery

#: The placeholder for varying parts.
ANY = "…"
#: Characters of the first line that tell errors apart.
_LONGEST = 200
_VARYING = re.compile(
    r"""
      (?<!\w) (?: '(?:[^'\\]|\\.)*' | "(?:[^"\\]|\\.)*" ) (?!\w)       # quoted
    | [\w.+-]+ @ [\w-]+ (?: \. [\w-]+ )+                               # an address
    | \b [0-9a-fA-F]{8} (?: - [0-9a-fA-F]{4} ){3} - [0-9a-fA-F]{12} \b # a UUID
    | \b (?=[a-zA-Z0-9]*\d) [a-zA-Z0-9]{15} (?: [a-zA-Z0-9]{3} )? \b   # a Salesforce ID
    | \b 0x [0-9a-fA-F]+ \b
    | \b (?=[a-f]*\d) [0-9a-f]{8,} \b                                  # a digest
    | \d+ (?: [.,:/T-] \d+ )* Z?                                       # numbers, dates, times
    """,
    re.VERBOSE,
)
_SEVERAL = re.compile(rf"{ANY}(?:[\s,:;]*{ANY})+")


def folded(error: str) -> str:
    """Return the first line of an error, with a placeholder for each varying part."""
    first = error.strip().partition("\n")[0][: 2 * _LONGEST]
    return _SEVERAL.sub(ANY, _VARYING.sub(ANY, first))[:_LONGEST]


def group_of(delivery: Delivery, error: str) -> str:
    """Return the name of the error's group. The delivery's entry and listener should be loaded.

    Values of sensitive fields are masked first, so that groups do not depend on them. The digest is
    keyed with SECRET_KEY, since a short text can be guessed from a plain digest.
    """
    shown = folded(MASKED.text(error, delivery.entry))
    salt = "handlers.dead_letters"
    digest = salted_hmac(salt, f"{delivery.handler}\0{shown}", algorithm="sha256")
    return digest.hexdigest()[:16]
