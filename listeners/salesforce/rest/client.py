"""A read-only REST client: API versions, limits, descriptions, queries and records."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any
from urllib.parse import quote, urlencode

import requests

from listeners.salesforce.channel import change_event_of
from listeners.salesforce.errors import AnswerTooLarge, RestRefused, TransportFailed
from listeners.salesforce.http.answer_limits import ORG, RECORDS, AnswerLimit
from listeners.salesforce.http.request import Answer, Timeout
from listeners.salesforce.rest.answers import (
    CLOCK_ERROR,
    failure_of,
    is_about_records,
    is_rollup,
    known_until,
    query_page,
    second_of,
    typed,
)
from listeners.salesforce.rest.org_requests import OrgRequests
from listeners.salesforce.rest.records import RecordsRead, by_id
from listeners.salesforce.tokens.tokens import Tokens

DEFAULT_VERSION = "67.0"
#: The number of records that Salesforce reads in one request.
MAX_IDS = 2_000
#: After this many unreadable records and no readable one, the entity itself must be unreadable.
_GIVE_UP = 20
_ANY = "SELECT Id FROM {entity} LIMIT 1"
#: Salesforce's codes for a record that does not exist; some servers answer 404 without a code.
_BAD_ID = frozenset({"MALFORMED_ID", "INVALID_ID_FIELD"})
_ABSENT = frozenset({"NOT_FOUND", "ENTITY_IS_DELETED", ""})


class RestClient(OrgRequests):
    """Sends read requests to ``{instance}/services/data``, and replaces a refused token once.

    Each method may raise ``LoginRefused``, ``LoginUnavailable``, ``TransportFailed`` or
    ``RestRefused``. ``number`` is the type of numbers in records that are not whole: a float does
    not have all of their digits.
    """

    def __init__(
        self,
        tokens: Tokens,
        api_version: str = DEFAULT_VERSION,
        timeout: Timeout = (10.0, 30.0),
        *,
        http: requests.Session | None = None,
        number: type[float | Decimal] = float,
    ) -> None:
        super().__init__(tokens, timeout, http)
        self._number = number
        self._base = f"/services/data/v{api_version}"
        self._setup = f"/services/data/v{max(api_version, '56.0', key=float)}"
        self._fields: dict[str, list[str]] = {}

    def versions(self) -> list[dict[str, Any]]:
        """Return the instance's API versions: ``[{"label", "url", "version"}, …]``."""
        return typed(self._get("/services/data/", limit=ORG), list)

    def limits(self) -> dict[str, Any]:
        """Return the limits: ``{"DailyDeliveredPlatformEvents": {"Max", "Remaining"}, …}``."""
        return typed(self._get(f"{self._base}/limits/", limit=ORG), dict)

    def sobjects(self) -> list[dict[str, Any]]:
        """Return all objects that the user may see, each with `name`, `label` and more."""
        match typed(self._get(f"{self._base}/sobjects/"), dict):
            case {"sobjects": list(objects)}:
                return [description for description in objects if isinstance(description, dict)]
        raise TransportFailed("HTTP 200, but not with a list of objects")

    def record(self, entity: str, record_id: str) -> dict[str, Any] | None:
        """Return the record's fields; None if it does not exist or the user may not see it."""
        path = f"{self._base}/sobjects/{quote(entity, safe='')}/{quote(record_id, safe='')}"
        try:
            return typed(self._get(path), dict, self._number)
        except RestRefused as refusal:
            if refusal.status == 404 and refusal.error_code in _ABSENT:
                return None
            raise

    def uncarried_fields(self, entity: str, *, rollups: bool = True) -> set[str]:
        """Return the REST names of the entity's fields whose values change events do not carry.

        These are formulas and roll-up summaries, encrypted texts (whose values differ by user), and
        fields that are missing from the change event. With `rollups` false, roll-up summaries count
        like any other field: the update of their record has them.
        """
        fields = self._described(entity)
        found = {
            str(field["name"])
            for field in fields
            if (field.get("calculated") is True and (rollups or not is_rollup(field)))
            or field.get("type") == "encryptedstring"
        }
        carried = self._carried_fields(entity)
        if carried is None:
            return found
        # A compound field's own compoundFieldName is itself or empty; its parts may be missing.
        compounds = {
            str(field["name"]): str(field.get("compoundFieldName") or field["name"])
            for field in fields
        }
        carried |= {compounds[name] for name in carried & compounds.keys()}
        return found | {
            name
            for name, compound in compounds.items()
            if not carried.intersection((name, compound))
        }

    def updated(self, entity: str, start: datetime, end: datetime) -> tuple[list[str], object]:
        """Return the ids of the records changed between two times, and the time until which they
        are complete, as Salesforce writes it, or None; seconds are ignored."""
        match typed(self._get(self._replication(entity, "updated", start, end)), dict):
            case {"ids": list(ids), **others}:
                return [str(record_id) for record_id in ids], others.get("latestDateCovered")
        raise TransportFailed("HTTP 200, but not with a list of ids")

    def _carried_fields(self, entity: str) -> set[str] | None:
        """Return the fields of the entity's change event; None if Salesforce does not list them."""
        try:
            carried = {str(field["name"]) for field in self._described(change_event_of(entity))}
        except RestRefused as refusal:
            if not is_about_records(refusal):
                raise
            return None
        return carried if "LastModifiedDate" in carried else None

    def describe(self, name: str) -> dict[str, Any]:
        """Return the description of an object, with its `fields`; RestRefused if it is unknown."""
        path = f"{self._base}/sobjects/{quote(name, safe='')}/describe"
        description = typed(self._get(path), dict)
        if not isinstance(description.get("fields"), list):
            raise TransportFailed("HTTP 200, but not with a description of an object")
        return description

    def _described(self, name: str) -> list[dict[str, Any]]:
        fields = self.describe(name)["fields"]
        return [field for field in fields if isinstance(field, dict) and "name" in field]

    def query(self, soql: str, *, deleted: bool = False) -> Iterator[list[dict[str, Any]]]:
        """Yield the rows of a query by page; with `deleted`, including the Recycle Bin."""
        for _, rows in self._answers("queryAll" if deleted else "query", soql):
            yield rows

    def read_pages(
        self, soql: str, *, deleted: bool = False
    ) -> Iterator[tuple[int, list[dict[str, Any]]]]:
        """Yield the pages of a query like `query`, each with the time of its read.

        The time is in ms since 1970, on Salesforce's clock: the rows include what was committed
        before. It is that of the first page, since the later ones may be read with it.
        """
        read_at = None
        for answer, rows in self._answers("queryAll" if deleted else "query", soql):
            read_at = known_until(*answer) if read_at is None else read_at
            yield read_at, rows

    def deleted_ids(self, entity: str, start: datetime, end: datetime) -> list[str]:
        """Return the ids of records that were deleted in a window of at most 15 days.

        Seconds are ignored. They may have been restored since.
        """
        match typed(self._get(self._replication(entity, "deleted", start, end)), dict):
            case {"deletedRecords": list(rows)}:
                return [str(row["id"]) for row in rows if isinstance(row, dict) and "id" in row]
        raise TransportFailed("HTTP 200, but not with a list of deleted records")

    def _replication(self, entity: str, resource: str, start: datetime, end: datetime) -> str:
        window = {"start": second_of(start), "end": second_of(end)}
        return f"{self._base}/sobjects/{quote(entity, safe='')}/{resource}/?{urlencode(window)}"

    def query_setup(self, soql: str) -> list[dict[str, Any]]:
        """Return the rows of a Tooling API query, in version 56 or later: earlier ones lack
        fields."""
        answers = self._answers("tooling/query", soql, self._setup)
        return [row for _, rows in answers for row in rows]

    def _answers(
        self, resource: str, soql: str, base: str = ""
    ) -> Iterator[tuple[tuple[Answer, float], list[dict[str, Any]]]]:
        """Yield each page's answer, the time of its request, and its rows."""
        path = f"{base or self._base}/{resource}?q={quote(soql, safe='')}"
        while path:
            begun = time.monotonic()
            try:
                answer = self._get(path)
            except RestRefused as refusal:
                if refusal.error_code == "INVALID_QUERY_LOCATOR":  # the query itself is valid
                    raise TransportFailed("Salesforce closed the query before its end") from None
                raise
            rows, path = query_page(answer, self._number)
            yield (answer, begun), rows

    def read_many(self, entity: str, ids: Sequence[str]) -> RecordsRead:
        """Read at most MAX_IDS records of an entity, with all fields that the user may see.

        One request, and one or two more while the entity's fields are unknown. If Salesforce
        refuses to read the records together, they are read one by one; records that it refuses
        individually are in `refused`.
        """
        if len(ids) > MAX_IDS:
            raise ValueError(f"{len(ids)} records requested at once; the maximum is {MAX_IDS}")
        try:
            if entity not in self._fields:
                self._learn_fields(entity, ids)
            fields = self._fields.get(entity)
            read = self._composite(entity, ids, fields or ["Id"])
            if read.records and not fields:
                raise TransportFailed(f"records of {entity} were restored while they were read")
            return read
        except RestRefused as refusal:
            if not is_about_records(refusal):
                raise
            self._fields.pop(entity, None)
            return self._one_by_one(entity, ids, refusal)

    def absent(self, entity: str, ids: Sequence[str]) -> set[str]:
        """Return those of the ids (at most MAX_IDS) whose records do not exist or are deleted.

        One request. If Salesforce refuses one of the ids, they are requested in halves; a refused
        id is not in the result.
        """
        if not ids:
            return set()
        try:
            return set(ids) - self._composite(entity, ids, ["Id"]).records.keys()
        except RestRefused as refusal:
            if refusal.error_code not in _BAD_ID:
                raise
            if len(ids) == 1:
                return set()
        half = len(ids) // 2
        return self.absent(entity, ids[:half]) | self.absent(entity, ids[half:])

    def _learn_fields(self, entity: str, ids: Sequence[str]) -> None:
        """Store the entity's field names, from the first of the records that exists, if any."""
        record = self.record(entity, ids[0])
        if record is None:
            existing = self._composite(entity, ids, ["Id"]).records
            record = next(filter(None, (self.record(entity, key) for key in existing)), None)
        if record is not None:
            self._fields[entity] = [name for name in {"Id": None, **record} if name != "attributes"]

    def _composite(self, entity: str, ids: Sequence[str], fields: Sequence[str]) -> RecordsRead:
        """Read records, in halves if the answer would be too large."""
        path = f"{self._base}/composite/sobjects/{quote(entity, safe='')}"
        begun = time.monotonic()
        try:
            answer = self._get(path, {"ids": list(ids), "fields": list(fields)})
        except AnswerTooLarge:
            if len(ids) == 1:
                raise
        else:
            return RecordsRead(
                known_until(answer, begun), by_id(ids, typed(answer, list, self._number))
            )
        half = len(ids) // 2
        first = self._composite(entity, ids[:half], fields)
        last = self._composite(entity, ids[half:], fields)
        return RecordsRead(min(first.read_at, last.read_at), first.records | last.records)

    def _one_by_one(self, entity: str, ids: Sequence[str], refusal: RestRefused) -> RecordsRead:
        read = RecordsRead(round(time.time() * 1000) - CLOCK_ERROR)
        for count, record_id in enumerate(ids, 1):
            try:
                record = self.record(entity, record_id)
            except RestRefused as refused:
                if not is_about_records(refused):
                    raise
                read.refused[record_id] = refused
            else:
                read.records |= {} if record is None else {record_id: record}
            if not read.records and count in (_GIVE_UP, len(ids)):
                self._refuse_unreadable(entity, read, refusal)
        return read

    def _refuse_unreadable(self, entity: str, read: RecordsRead, refusal: RestRefused) -> None:
        """Raise `refusal`, or that of a query of the entity, unless records are merely missing."""
        if read.refused:
            raise refusal
        next(self.query(_ANY.format(entity=entity)))

    def _get(
        self, path: str, body: dict[str, Any] | None = None, *, limit: AnswerLimit = RECORDS
    ) -> Answer:
        """Send a GET request, or a POST request with `body`, which also only reads."""
        answer = self._request("GET" if body is None else "POST", path, body, limit)
        if answer.status == 200:
            return answer
        raise failure_of(answer)
