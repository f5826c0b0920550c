"""Which errors of a handler are the same but for what they tell of: numbers, ids, quoted values."""

from __future__ import annotations

import re
from collections import defaultdict

from django.db import transaction
from django.utils.crypto import salted_hmac

from audit.sight import MASKED
from handlers.models import Delivery
from handlers.models.delivery_queryset import DeliveryQuerySet

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


def sort_new(limit: int = 5000) -> int:
    """Give a group to what failed before there were groups, or in an older process; how many.

    Never inside a transaction.
    """
    failed = Delivery.objects.filter(
        state__in=(Delivery.State.DEAD, Delivery.State.RETRYING), error_group=""
    )
    by_group: dict[str, list[int]] = defaultdict(list)
    for delivery in failed.select_related("entry__listener").order_by()[:limit]:
        by_group[group_of(delivery, delivery.error)].append(delivery.pk)
    return sum(_sort(failed.filter(pk__in=ids), group) for group, ids in by_group.items())


def _sort(rows: DeliveryQuerySet, group: str) -> int:
    """What somebody has locked is met again: waited for in no order, many could meet in a
    deadlock."""
    with transaction.atomic(durable=True):
        free = list(rows.select_for_update(skip_locked=True).values_list("pk", flat=True))
        return Delivery.objects.filter(pk__in=free).update(error_group=group)
