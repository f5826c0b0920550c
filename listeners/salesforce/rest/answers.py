"""Interprets answers of the REST API."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Protocol, TypeVar

from listeners.salesforce.errors import (
    Reaction,
    RestRefused,
    SalesforceError,
    TransportFailed,
    status_reaction,
)
from listeners.salesforce.http.request import Answer

Kind = TypeVar("Kind")
#: The possible errors of times, in ms: the server's Date header has whole seconds.
_DATE_ERROR = 1_000
CLOCK_ERROR = 10_000  # of this machine
_USAGE = re.compile(r"\bapi-usage=(\d{1,18})/(\d{1,18})\b")


def typed(answer: Answer, kind: type[Kind], number: type[float | Decimal] = float) -> Kind:
    """Return the JSON of the answer, which must be of this type. Raises ``TransportFailed``."""
    body = answer.json_or_none(number)
    if isinstance(body, kind):
        return body
    raise TransportFailed("HTTP 200, but not with a REST response", status=200)


def query_page(
    answer: Answer, number: type[float | Decimal] = float
) -> tuple[list[dict[str, Any]], str]:
    """Return the rows of a page of a query, and the path of the next page, empty after the last.

    Raises ``TransportFailed``. Only a path is returned, so that the token is sent to no other host.
    """
    match typed(answer, dict, number):
        case {"records": list(rows), "nextRecordsUrl": str(path)} if path[:1] == "/":
            return rows, path
        case {"records": list(rows), **page} if page.get("done", True) is True and not page.get(
            "nextRecordsUrl"
        ):
            return rows, ""
    raise TransportFailed("HTTP 200, but not with a query result")


def failure_of(answer: Answer) -> SalesforceError:
    """Return the error for an answer with another status than 200."""
    if answer.is_unavailable:
        return answer.unavailable()
    body = answer.json_or_none()
    match body:
        case [{"errorCode": str(code), "message": str(message)}, *_]:
            pass
        case _:
            code, message = "", "without an error message from Salesforce"
    reaction = status_reaction(answer.status, [code])
    if reaction is Reaction.NEW_TOKEN:  # it was just replaced
        reaction = Reaction.BACK_OFF_LONG
    return RestRefused(answer.status, code, message, reaction)


def is_about_records(refusal: RestRefused) -> bool:
    """Return whether other records, or the same ones in another request, may still be readable."""
    return refusal.status in (400, 404, 405) or refusal.error_code.startswith("INSUFFICIENT_ACCESS")


class HasHeaders(Protocol):
    @property
    def headers(self) -> Mapping[str, str]: ...


def usage_of(answer: HasHeaders) -> tuple[int, int] | None:
    """Return the org's used and allowed daily requests, if the answer has them."""
    found = _USAGE.search(answer.headers.get("Sforce-Limit-Info", ""))
    return None if found is None else (int(found[1]), int(found[2]))


def known_until(answer: Answer, begun: float) -> int:
    """Return the time, in ms since 1970, up to which commits are certainly part of the answer."""
    elapsed = round((time.monotonic() - begun) * 1000)
    date = answer.date()
    if date is None:
        return round(time.time() * 1000) - elapsed - CLOCK_ERROR
    return round(date.timestamp() * 1000) - elapsed - _DATE_ERROR


def is_rollup(field: Mapping[str, Any]) -> bool:
    """Return whether a calculated field is a roll-up summary, which has no formula."""
    return field.get("calculatedFormula", "") is None


def second_of(moment: datetime) -> str:
    """Return a time as a parameter of a request, without fractions of a second."""
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S}+00:00"
