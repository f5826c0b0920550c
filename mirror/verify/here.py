"""The mirror's side of a comparison: counts, ids and values of the stored rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from django.db import connections, models, transaction
from django.db.models import Case, Count, F, Max, Q, Value, When
from django.db.models.functions import Collate

from mirror.apply.guard import read_time
from mirror.apply.upsert import IDS
from mirror.schema.columns import Columns
from mirror.verify import buckets
from mirror.verify.buckets import Bucket

CREATED = "CreatedDate"
#: Ids in one query: a database that sorts in another order than bytes sorts the table for each.
_FETCHED = 200_000
#: Ids in one answer of the database, where the order does not matter.
_AT_ONCE = 10_000
_BYTE_ORDER = {"postgresql": "C", "sqlite": "BINARY"}
#: What a comparison reads of every row beside the fields' columns.
OWN = ("salesforce_id", "is_deleted", "is_complete", "synced_at", "version", "raw")


class Here:
    """The rows of a mirrored model in one database."""

    def __init__(self, columns: Columns, alias: str) -> None:
        self.columns = columns
        self._rows = columns.model._base_manager.using(alias)
        self._alias = alias

    @property
    def live(self) -> models.QuerySet[Any]:
        """The rows that stand for existing records."""
        return self._rows.filter(is_deleted=False, is_complete=True)

    @property
    def created(self) -> str | None:
        """The column with the creation time; None if the model has none."""
        field = self.columns.fields.get(CREATED)
        return field.attname if isinstance(field, models.DateTimeField) else None

    def total(self) -> buckets.Count:
        found = self.live.aggregate(rows=Count("*"), newest=Max("version"))
        return buckets.Count(found["rows"], found["newest"])

    def counts(self, wanted: Sequence[Bucket]) -> dict[Bucket, buckets.Count]:
        """Count the buckets in one pass over the rows; without a column with the creation time,
        there is only one, of all rows."""
        created = self.created
        if created is None:
            return dict.fromkeys(wanted, self.total())
        whens = [
            When(_within(created, bucket), then=Value(number))
            for number, bucket in enumerate(wanted)
        ]
        if len(wanted) == 1:
            rows = self.live.filter(_within(created, wanted[0]))
        else:
            rows = self.live.filter(_within(created, _span(wanted)))
        numbered = rows.order_by().annotate(
            bucket=Case(*whens, default=Value(-1), output_field=models.IntegerField())
        )
        found = numbered.values("bucket").annotate(rows=Count("*"), newest=Max("version"))
        counted = {row["bucket"]: buckets.Count(row["rows"], row["newest"]) for row in found}
        return {b: counted.get(n, buckets.Count(0)) for n, b in enumerate(wanted)}

    def versions(self, bucket: Bucket) -> dict[str, datetime | None]:
        """Return the live rows of a bucket with their versions. Needs few rows."""
        rows = self.live
        if self.created is not None:
            rows = rows.filter(_within(self.created, bucket))
        return dict(rows.values_list("salesforce_id", "version"))

    def ids(self, after: str) -> Iterator[str]:
        """Yield the ids of the live rows behind `after`, by the order of bytes.

        In separate queries: an open cursor would keep writes of SQLite out.
        """
        order = _BYTE_ORDER[connections[self._alias].vendor]
        rows = self.live.annotate(key=Collate(F("salesforce_id"), order)).order_by("key")
        while found := list(rows.filter(key__gt=after).values_list("key", flat=True)[:_FETCHED]):
            yield from found
            after = found[-1]

    def every_id(self) -> Iterator[str]:
        """Yield the ids of all live rows, in any order."""
        if connections[self._alias].vendor == "postgresql":
            yield from self.live.values_list("salesforce_id", flat=True).iterator(_AT_ONCE)
        else:
            yield from self.ids("")

    def live_among(self, ids: Sequence[str]) -> list[str]:
        """Return those of the ids that have a live row."""
        found: list[str] = []
        for start in range(0, len(ids), IDS):
            rows = self.live.filter(salesforce_id__in=ids[start : start + IDS])
            found += rows.values_list("salesforce_id", flat=True)
        return found

    def some_ids(self, number: int) -> list[str]:
        """Return the ids of a random sample of the live rows."""
        return list(self.live.order_by("?").values_list("salesforce_id", flat=True)[:number])

    def rows(self, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Return rows by id, with their own columns and those of the object's fields."""
        names = [*OWN, *(field.attname for field in self.columns.fields.values())]
        found = self._rows.filter(salesforce_id__in=ids).values(*names)
        return {row["salesforce_id"]: row for row in found}

    def update(self, values: Mapping[str, Mapping[str, Any]], read_at: int) -> int:
        """Update columns of rows, such as formulas, from a read begun at `read_at`; return how
        many rows were updated.

        A row that has later changes keeps its values: the read may lack those changes.
        """
        rows = self._rows.filter(synced_at__lte=read_time(read_at))
        with transaction.atomic(using=self._alias):
            return sum(rows.filter(pk=key).update(**values[key]) for key in sorted(values))


def _within(created: str, bucket: Bucket) -> Q:
    found = Q()
    if bucket.start is not None:
        found &= Q(**{f"{created}__gte": bucket.start})
    if bucket.end is not None:
        found &= Q(**{f"{created}__lt": bucket.end})
    return found


def _span(wanted: Sequence[Bucket]) -> Bucket:
    """Return a bucket that includes the others."""
    starts, ends = [bucket.start for bucket in wanted], [bucket.end for bucket in wanted]
    return Bucket(
        None if None in starts else min(filter(None, starts)),
        None if None in ends else max(filter(None, ends)),
    )
