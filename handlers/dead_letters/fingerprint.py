"""Which errors of a handler are the same but for what they tell of: numbers, ids, quoted values."""

from __future__ import annotations

import re

from django.utils.crypto import salted_hmac

from audit.log.masking import MASKED
from handlers.models import Delivery

#: What stands for whatever differs.
ANY = "…"
#: Of the first line; what comes after it tells one error from another no more.
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
    """Its first line, with a mark in place of what varies."""
    first = error.strip().partition("\n")[0][: 2 * _LONGEST]
    return _SEVERAL.sub(ANY, _VARYING.sub(ANY, first))[:_LONGEST]


def group_of(delivery: Delivery, error: str) -> str:
    """The group's name. The delivery's entry and listener should be loaded.

    Values of sensitive fields are masked before, so that errors are not told apart by them; and
    keyed with the SECRET_KEY, since a short text can be guessed from its digest.
    """
    shown = folded(MASKED.text(error, delivery.entry))
    salt = "handlers.dead_letters"
    digest = salted_hmac(salt, f"{delivery.handler}\0{shown}", algorithm="sha256")
    return digest.hexdigest()[:16]
