"""REST reads: the org's versions and limits, and records, one or many at once."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar
from urllib.parse import quote

import requests

from listeners.salesforce.channel import change_event_of
from listeners.salesforce.cometd.parse import status_reaction
from listeners.salesforce.errors import (
    AnswerTooLarge,
    Reaction,
    RestRefused,
    SalesforceError,
    TransportFailed,
)
from listeners.salesforce.http.answer_limits import ORG, RECORDS, AnswerLimit
from listeners.salesforce.http.request import Answer, BearerAuth, Timeout, Unanswered, exchange
from listeners.salesforce.rest.records import RecordsRead, by_id
from listeners.salesforce.tokens.tokens import Token, Tokens

Kind = TypeVar("Kind")
DEFAULT_VERSION = "67.0"
#: As many records does Salesforce read in one request.
MAX_IDS = 2_000
#: Milliseconds that a time of the server's may be off: its Date header has whole seconds.
_DATE_ERROR = 1_000
_OUR_CLOCK_ERROR = 10_000
#: So many records that cannot be read, and none that can: it is the entity.
_GIVE_UP = 20
_USAGE = re.compile(r"\bapi-usage=(\d{1,18})/(\d{1,18})\b")
_ANY = "SELECT Id FROM {entity} LIMIT 1"
#: Salesforce's codes for a record that is not there; a server that says none may mean the same.
_BAD_ID = frozenset({"MALFORMED_ID", "INVALID_ID_FIELD"})
_ABSENT = frozenset({"NOT_FOUND", "ENTITY_IS_DELETED", ""})


class RestClient:
    """Reads under ``{instance}/services/data``. A refused token is replaced once.

    Each method raises ``LoginRefused``, ``LoginUnavailable``, ``TransportFailed`` or
    ``RestRefused``.
    """

    def __init__(
        self,
        tokens: Tokens,
        api_version: str = DEFAULT_VERSION,
        timeout: Timeout = (10.0, 30.0),
        *,
        http: requests.Session | None = None,
    ) -> None:
        self._tokens = tokens
        self._base = f"/services/data/v{api_version}"
        self._timeout = timeout
        self._http = http or requests.Session()
        self._fields: dict[str, list[str]] = {}
        #: Used and allowed requests of the org's day, as the last answer said.
        self.usage: tuple[int, int] | None = None

    def versions(self) -> list[dict[str, Any]]:
        """The API versions the instance offers: ``[{"label", "url", "version"}, …]``."""
        return _typed(self._get("/services/data/", limit=ORG), list)

    def limits(self) -> dict[str, Any]:
        """``{"DailyDeliveredPlatformEvents": {"Max", "Remaining"}, …}``."""
        return _typed(self._get(f"{self._base}/limits/", limit=ORG), dict)

    def sobjects(self) -> list[dict[str, Any]]:
        """All objects that the user may see, each with `name` and `label` and so on."""
        match _typed(self._get(f"{self._base}/sobjects/"), dict):
            case {"sobjects": list(objects)}:
                return [one for one in objects if isinstance(one, dict)]
        raise TransportFailed("HTTP 200 with a page that is no list of objects")

    def record(self, entity: str, record_id: str) -> dict[str, Any] | None:
        """The record's fields, or None if it does not exist (or may not be seen)."""
        path = f"{self._base}/sobjects/{quote(entity, safe='')}/{quote(record_id, safe='')}"
        try:
            return _typed(self._get(path), dict)
        except RestRefused as refusal:
            if refusal.status == 404 and refusal.error_code in _ABSENT:
                return None
            raise

    def uncarried_fields(self, entity: str) -> set[str]:
        """Return the entity's fields, by their names in REST, whose values change events do not
        tell: formulas and roll-up summaries, encrypted texts, which each user sees in another way,
        and those that its change event does not have.
        """
        fields = self._described(entity)
        found = {str(one["name"]) for one in fields if _is_calculated(one) or _is_encrypted(one)}
        carried = self._carried_fields(entity)
        if carried is None:
            return found
        # A compound field has itself as its compound, or none; its parts may be described or not.
        compounds = {
            str(one["name"]): str(one.get("compoundFieldName") or one["name"]) for one in fields
        }
        carried |= {compounds[name] for name in carried & compounds.keys()}
        return found | {
            name
            for name, compound in compounds.items()
            if not carried.intersection((name, compound))
        }

    def _carried_fields(self, entity: str) -> set[str] | None:
        """Return the fields of the entity's change event; None where Salesforce does not say."""
        try:
            carried = {str(one["name"]) for one in self._described(change_event_of(entity))}
        except RestRefused as refusal:
            if not _is_about_records(refusal):
                raise
            return None
        return carried if "LastModifiedDate" in carried else None

    def _described(self, name: str) -> list[dict[str, Any]]:
        path = f"{self._base}/sobjects/{quote(name, safe='')}/describe"
        match _typed(self._get(path), dict):
            case {"fields": list(fields)}:
                return [one for one in fields if isinstance(one, dict) and "name" in one]
        raise TransportFailed("HTTP 200 with a page that is no description of an object")

    def query(self, soql: str, *, deleted: bool = False) -> Iterator[list[dict[str, Any]]]:
        """The rows of a query, a page at a time; with `deleted`, those in the Recycle Bin too."""
        yield from self._rows("queryAll" if deleted else "query", soql)

    def query_setup(self, soql: str) -> list[dict[str, Any]]:
        """The rows of a query about what is configured in Setup (the Tooling API's)."""
        return [row for page in self._rows("tooling/query", soql) for row in page]

    def _rows(self, resource: str, soql: str) -> Iterator[list[dict[str, Any]]]:
        path = f"{self._base}/{resource}?q={quote(soql, safe='')}"
        while path:
            match _typed(self._page(path), dict):
                # The token goes to the instance alone, whatever address an answer names.
                case {"records": list(rows), "nextRecordsUrl": str(path)} if path[:1] == "/":
                    pass
                case {"records": list(rows), **page} if _is_last(page):
                    path = ""
                case _:
                    raise TransportFailed("HTTP 200 with a page that is no query answer")
            yield rows

    def _page(self, path: str) -> Answer:
        try:
            return self._get(path)
        except RestRefused as refusal:
            if refusal.error_code == "INVALID_QUERY_LOCATOR":  # the query itself is good
                raise TransportFailed("Salesforce has closed the query meanwhile") from None
            raise

    def read_many(self, entity: str, ids: Sequence[str]) -> RecordsRead:
        """Records with all the fields that may be seen, at most MAX_IDS of one entity.

        In one request, and one or two more where the entity's fields are not known yet; one by one
        where Salesforce refuses to read them together. A record that it refuses by itself is in
        `refused`.
        """
        if len(ids) > MAX_IDS:
            raise ValueError(f"{len(ids)} records were asked for at once; {MAX_IDS} are possible")
        try:
            if entity not in self._fields:
                self._learn_fields(entity, ids)
            fields = self._fields.get(entity)
            read = self._composite(entity, ids, fields or ["Id"])
            if read.records and not fields:
                raise TransportFailed(f"records of {entity} came back while they were read")
            return read
        except RestRefused as refusal:
            if not _is_about_records(refusal):
                raise
            self._fields.pop(entity, None)
            return self._one_by_one(entity, ids, refusal)

    def absent(self, entity: str, ids: Sequence[str]) -> set[str]:
        """Return those of the ids, at most MAX_IDS, for which there is no living record.

        One request. Where Salesforce refuses one of the ids, they are asked for in halves; the
        refused id is not in the answer.
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
        """From the first of the records that exists; nothing is learnt where none does."""
        record = self.record(entity, ids[0])
        if record is None:
            there = self._composite(entity, ids, ["Id"]).records
            record = next(filter(None, (self.record(entity, one) for one in there)), None)
        if record is not None:
            self._fields[entity] = [name for name in {"Id": None, **record} if name != "attributes"]

    def _composite(self, entity: str, ids: Sequence[str], fields: Sequence[str]) -> RecordsRead:
        """In two halves where the records are too large to be read at once."""
        try:
            return self._composite_at_once(entity, ids, fields)
        except AnswerTooLarge:
            if len(ids) == 1:
                raise
        half = len(ids) // 2
        first = self._composite(entity, ids[:half], fields)
        last = self._composite(entity, ids[half:], fields)
        return RecordsRead(min(first.read_at, last.read_at), first.records | last.records)

    def _composite_at_once(
        self, entity: str, ids: Sequence[str], fields: Sequence[str]
    ) -> RecordsRead:
        path = f"{self._base}/composite/sobjects/{quote(entity, safe='')}"
        begun = time.monotonic()
        answer = self._get(path, {"ids": list(ids), "fields": list(fields)})
        records = by_id(ids, _typed(answer, list))
        return RecordsRead(_known_until(answer, begun), records)

    def _one_by_one(self, entity: str, ids: Sequence[str], refusal: RestRefused) -> RecordsRead:
        read = RecordsRead(round(time.time() * 1000) - _OUR_CLOCK_ERROR)
        for count, record_id in enumerate(ids, 1):
            try:
                record = self.record(entity, record_id)
            except RestRefused as refused:
                if not _is_about_records(refused):
                    raise
                read.refused[record_id] = refused
            else:
                read.records |= {} if record is None else {record_id: record}
            if not read.records and count in (_GIVE_UP, len(ids)):
                self._refuse_unreadable(entity, read, refusal)
        return read

    def _refuse_unreadable(self, entity: str, read: RecordsRead, refusal: RestRefused) -> None:
        """No record was read. That they do not exist is believed where the entity can be queried.

        Raises `refusal`, or that of the query.
        """
        if read.refused:
            raise refusal
        next(self.query(_ANY.format(entity=entity)))

    def _get(
        self, path: str, body: dict[str, Any] | None = None, *, limit: AnswerLimit = RECORDS
    ) -> Answer:
        """A body is posted: it asks, too, and changes nothing."""
        token = self._tokens.get()
        answer = self._send(token, path, body, limit)
        if answer.status == 401:
            self._tokens.invalidate(token)
            answer = self._send(self._tokens.get(), path, body, limit)
        self.usage = _usage(answer) or self.usage
        if answer.status == 200:
            return answer
        raise _failure(answer)

    def _send(
        self, token: Token, path: str, body: dict[str, Any] | None, limit: AnswerLimit
    ) -> Answer:
        json_type = {} if body is None else {"Content-Type": "application/json"}
        answer = exchange(
            self._http,
            "GET" if body is None else "POST",
            f"{token.instance_url}{path}",
            auth=BearerAuth(token.access_token),
            timeout=self._timeout,
            limit=limit,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Accept": "application/json", **json_type},
        )
        if isinstance(answer, Unanswered):
            raise answer.error()
        return answer


def _usage(answer: Answer) -> tuple[int, int] | None:
    found = _USAGE.search(answer.headers.get("Sforce-Limit-Info", ""))
    return None if found is None else (int(found[1]), int(found[2]))


def _known_until(answer: Answer, begun: float) -> int:
    """What was committed before this moment, in ms, is in an answer to a request begun then."""
    elapsed = round((time.monotonic() - begun) * 1000)
    date = answer.date()
    if date is None:
        return round(time.time() * 1000) - elapsed - _OUR_CLOCK_ERROR
    return round(date.timestamp() * 1000) - elapsed - _DATE_ERROR


def _is_calculated(field: dict[str, Any]) -> bool:
    return field.get("calculated") is True


def _is_encrypted(field: dict[str, Any]) -> bool:
    return field.get("type") == "encryptedstring"


def _is_last(page: dict[str, Any]) -> bool:
    """Of a page that names none to go on with."""
    return page.get("done", True) is True and not page.get("nextRecordsUrl")


def _is_about_records(refusal: RestRefused) -> bool:
    """Whether others, or the same ones asked for in another way, may be read all the same."""
    return refusal.status in (400, 404, 405) or refusal.error_code.startswith("INSUFFICIENT_ACCESS")


def _failure(answer: Answer) -> SalesforceError:
    if answer.status >= 500 or answer.status in {408, 429}:
        return TransportFailed(
            f"HTTP {answer.status}", status=answer.status, retry_after=answer.retry_after()
        )
    try:
        body = answer.json()
    except ValueError:
        body = None
    match body:
        case [{"errorCode": str(code), "message": str(message)}, *_]:
            pass
        case _:
            code, message = "", "without Salesforce's own explanation"
    reaction = status_reaction(answer.status, [code])
    if reaction is Reaction.NEW_TOKEN:  # it was just replaced
        reaction = Reaction.BACK_OFF_LONG
    return RestRefused(answer.status, code, message, reaction)


def _typed(answer: Answer, kind: type[Kind]) -> Kind:
    try:
        body = answer.json()
    except ValueError:
        body = None
    if isinstance(body, kind):
        return body
    raise TransportFailed("HTTP 200 with a page that is no REST answer", status=200)
