"""Failed deliveries grouped by handler and error, where numbers, ids and quotes make no difference.

A group has its number, times and an example.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import connection
from django.db.models import Count, Max, Min, Q, QuerySet
from django.utils.crypto import salted_hmac

from audit.log.masking import MASKED, Sight
from handlers.models import Delivery

State = Delivery.State
#: The states of failed deliveries: dead, or waiting for a retry.
STATES = (State.DEAD, State.RETRYING)
#: Groups on a page.
PAGE = 25
#: The number of newest deliveries whose entities are listed for a group.
NEWEST = 20

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


@dataclass(frozen=True)
class Group:
    """Deliveries of one handler that failed with the same kind of error."""

    name: str
    state: str
    count: int
    halting: int
    first_at: datetime | None
    last_at: datetime | None
    #: The newest delivery.
    example: Delivery
    #: The common part of the errors, and the example's error, masked for the reader.
    error: str
    example_error: str
    #: The entities of the newest deliveries.
    entities: list[str] = field(default_factory=list)

    @property
    def handler(self) -> str:
        return str(self.example.handler)

    @property
    def error_class(self) -> str:
        """Return the exception class at the start of the error, or an empty text."""
        before, colon, _ = self.error.partition(":")
        return before if colon and before.isidentifier() else ""

    @property
    def message(self) -> str:
        return self.error.removeprefix(f"{self.error_class}:").strip()


@dataclass(frozen=True)
class Page:
    groups: list[Group]
    number: int
    has_more: bool


def page_of(state: str, number: int, see: Sight) -> Page:
    """Return a page of groups, the largest first. Four queries; an index answers the counts."""
    rows = (
        Delivery.objects.filter(state=state)
        .order_by()
        .values("error_group")
        .annotate(
            count=Count("id"),
            halting=Count("id", filter=Q(halts=True)),
            first_at=Min("started_at"),
            last_at=Max("started_at"),
            newest=Max("id"),
        )
        .order_by("-count", "error_group")
    )
    start = (number - 1) * PAGE
    found = list(rows[start : start + PAGE + 1])
    shown = found[:PAGE]
    entities = _entities(state, [row["error_group"] for row in shown])
    newest = Delivery.objects.select_related("entry__listener", "mapping")
    examples = newest.in_bulk([row["newest"] for row in shown])
    groups = []
    for row in shown:
        example = examples.get(row["newest"])
        if example is not None:  # else it was pruned between the queries
            groups.append(_group(row, state, example, see, entities))
    return Page(groups, number, has_more=len(found) > PAGE)


def deliveries_of(state: str, group: str) -> QuerySet[Delivery]:
    return Delivery.objects.filter(state=state, error_group=group)


def summary_of_group(state: str, group: str) -> dict[str, str]:
    """Return a group's handler and error, to be recorded after the group is gone."""
    found = deliveries_of(state, group).select_related("entry__listener").order_by("-id").first()
    if found is None:
        return {"group": group}
    return {"handler": found.handler, "error": folded(MASKED.text(found.error, found.entry))}


def _group(
    row: dict[str, Any],
    state: str,
    example: Delivery,
    see: Sight,
    entities: dict[str, list[str]],
) -> Group:
    name = row["error_group"]
    error = see.text(example.error, example.entry)
    return Group(
        name=name,
        state=state,
        count=row["count"],
        halting=row["halting"],
        first_at=row["first_at"],
        last_at=row["last_at"],
        example=example,
        error=folded(error),
        example_error=error.strip().partition("\n")[0],
        entities=entities.get(name, []),
    )


def _entities(state: str, names: Collection[str]) -> dict[str, list[str]]:
    pairs = Delivery.objects.filter(pk__in=_newest(state, names)).order_by("entry__entity_name")
    found: dict[str, list[str]] = defaultdict(list)
    for name, entity in pairs.values_list("error_group", "entry__entity_name").distinct():
        found[name].append(entity)
    return found


def _newest(state: str, names: Collection[str]) -> list[int]:
    """Return the ids of the newest deliveries of each group.

    One query with a part for each group: ranking all groups at once would sort all failures.
    """
    parts: list[str] = []
    values: list[Any] = []
    for name in names:
        # A range of one value, so that the index on state and group serves the ordering.
        group = Delivery.objects.filter(state=state, error_group__gte=name, error_group__lte=name)
        newest = group.order_by("-error_group", "-id").values("pk")[:NEWEST]
        inner, given = newest.query.sql_with_params()
        parts.append("SELECT * FROM (:rows) AS newest".replace(":rows", inner))
        values += given
    if not parts:
        return []
    with connection.cursor() as cursor:
        cursor.execute(" UNION ALL ".join(parts), values)
        return [int(pk) for (pk,) in cursor.fetchall()]


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
