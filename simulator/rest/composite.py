"""Several requests in one (`/composite`, `/composite/batch`), and several records
(`/composite/tree`).

Subrequests of a composite request can refer to the responses of earlier ones.
"""

import json
import re
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from multidict import CIMultiDict

from simulator.org.records import JsonObject
from simulator.rest.errors import RestError
from simulator.rest.records import changed_id
from simulator.rest.request import RestAnswer, RestRequest, objects_of

MAX_SUBREQUESTS = 25
MAX_RECORDS = 200
REFERENCE = re.compile(r"@\{(\w+)((?:\.\w+|\[\d+\])*)\}")
STEP = re.compile(r"\.(\w+)|\[(\d+)\]")
RESOURCE = re.compile(r"(?:/services/data/)?v?([\d.]+)/(.*)")
ROLLED_BACK = (
    "The transaction was rolled back since another operation in the same transaction failed."
)
HALTED = "Batch processing halted per request"


class _RolledBack(Exception):
    """A part of the request failed, and undoes the others."""


@dataclass(frozen=True, slots=True)
class Composite:
    """Several subrequests; `answer` returns the response to one, or raises RestError."""

    answer: Callable[[RestRequest], RestAnswer]

    def composite(self, request: RestRequest) -> RestAnswer:
        """`POST …/composite`: subrequests that may refer to each other's responses."""
        body = request.json()
        parts = _checked(objects_of(body, "compositeRequest"))
        all_or_none = body.get("allOrNone") is True
        lines: list[JsonObject] = []
        try:
            with request.all_or_none() if all_or_none else nullcontext():
                self._run(request, parts, lines)
                if all_or_none and any(line["httpStatusCode"] >= 400 for line in lines):
                    raise _RolledBack
        except _RolledBack:
            lines = [_undone(line) for line in lines]
        return RestAnswer({"compositeResponse": lines})

    def batch(self, request: RestRequest) -> RestAnswer:
        """`POST …/composite/batch`: independent subrequests."""
        body = request.json()
        results: list[JsonObject] = []
        has_errors = False
        for part in _checked(objects_of(body, "batchRequests")):
            if has_errors and body.get("haltOnError") is True:
                halted = {"errorCode": "BATCH_PROCESSING_HALTED", "message": HALTED}
                results.append({"statusCode": 412, "result": [halted]})
                continue
            answer = self._answered(_subrequest(request, part, part.get("richInput")))
            results.append({"statusCode": answer.status, "result": answer.body})
            has_errors = has_errors or answer.status >= 400
        return RestAnswer({"hasErrors": has_errors, "results": results})

    def _run(self, request: RestRequest, parts: list[JsonObject], lines: list[JsonObject]) -> None:
        answers: dict[str, Any] = {}
        for part in parts:
            reference = str(part.get("referenceId"))
            try:
                filled = _filled({**part, "referenceId": reference}, answers)
                answer = self._answered(_subrequest(request, filled, filled.get("body")))
            except RestError as refused:
                answer = RestAnswer(refused.body(), refused.status)
            if answer.status < 400:
                answers[reference] = answer.body
            lines.append(
                {
                    "body": answer.body,
                    "httpHeaders": dict(answer.headers),
                    "httpStatusCode": answer.status,
                    "referenceId": reference,
                }
            )

    def _answered(self, request: RestRequest) -> RestAnswer:
        try:
            if request.path[:1] == ("composite",) and request.path[1:2] != ("sobjects",):
                raise RestError("INVALID_INPUT", "composite requests cannot be nested")
            return self.answer(request)
        except RestError as refused:
            return RestAnswer(refused.body(), refused.status)


def _filled(value: Any, answers: Mapping[str, Any]) -> Any:
    """Return the value with each `@{reference.field}` replaced. Raises RestError."""
    match value:
        case str():
            if whole := REFERENCE.fullmatch(value):
                return _found(whole, answers)
            return REFERENCE.sub(lambda match: str(_found(match, answers)), value)
        case dict():
            return {name: _filled(part, answers) for name, part in value.items()}
        case list():
            return [_filled(part, answers) for part in value]
        case _:
            return value


def _found(match: "re.Match[str]", answers: Mapping[str, Any]) -> Any:
    try:
        found = answers[match[1]]
        for name, index in STEP.findall(match[2]):
            found = found[name] if name else found[int(index)]
    except (LookupError, TypeError):
        path = match[2].lstrip(".")
        message = f"Invalid reference specified. No value for {match[1]}.{path} found"
        raise RestError("PROCESSING_HALTED", message) from None
    return found


def _checked(parts: list[JsonObject]) -> list[JsonObject]:
    if not 0 < len(parts) <= MAX_SUBREQUESTS:
        raise RestError("LIMIT_EXCEEDED", f"a request has 1 to {MAX_SUBREQUESTS} subrequests")
    return parts


def _subrequest(request: RestRequest, part: JsonObject, body: object) -> RestRequest:
    """Return the subrequest as a request. Raises RestError."""
    url = urlsplit(str(part.get("url", "")))
    match = RESOURCE.fullmatch(url.path)
    if match is None:
        raise RestError("NOT_FOUND")
    own: Mapping[str, str] = part.get("httpHeaders") or {}
    return replace(
        request,
        method=str(part.get("method", "")).upper(),
        version=match[1],
        path=tuple(unquote(part) for part in match[2].strip("/").split("/")),
        query=dict(parse_qsl(url.query, keep_blank_values=True)),
        headers=CIMultiDict({**request.headers, **own}),
        body=b"" if body is None else json.dumps(body).encode(),
    )


def _undone(line: JsonObject) -> JsonObject:
    if line["httpStatusCode"] >= 400:
        return line
    body = [{"errorCode": "PROCESSING_HALTED", "message": ROLLED_BACK}]
    return {**line, "body": body, "httpHeaders": {}, "httpStatusCode": 400}


def tree(request: RestRequest) -> RestAnswer:
    """`POST …/composite/tree/{Entity}`."""
    records = objects_of(request.json(), "records")
    if not 0 < len(records) <= MAX_RECORDS:
        raise RestError("LIMIT_EXCEEDED", f"a tree has 1 to {MAX_RECORDS} records at its top")
    made: list[JsonObject] = []
    refused: list[JsonObject] = []
    try:
        with request.all_or_none():
            for record in records:
                _grow(request, record, {}, made, refused)
            if refused:
                raise _RolledBack
    except _RolledBack:
        return RestAnswer({"hasErrors": True, "results": refused}, 400)
    return RestAnswer({"hasErrors": False, "results": made}, 201)


def _grow(
    request: RestRequest,
    record: JsonObject,
    parent: JsonObject,
    made: list[JsonObject],
    refused: list[JsonObject],
) -> None:
    """Create a record of a tree, and then its children."""
    attributes = record.get("attributes")
    described = attributes if isinstance(attributes, dict) else {}
    entity, reference = str(described.get("type", "")), str(described.get("referenceId", ""))
    fields = {name: value for name, value in record.items() if not _has_children(value)}
    try:
        change = request.records.creation(entity, {**fields, **parent})
    except RestError as error:
        refused.append({"referenceId": reference, "errors": [error.line()]})
        return
    request.commit(change)
    made.append({"referenceId": reference, "id": changed_id(change)})
    for children in filter(_has_children, record.values()):
        for child in objects_of(children, "records"):
            _grow(request, child, {f"{entity}Id": changed_id(change)}, made, refused)


def _has_children(value: object) -> bool:
    return isinstance(value, dict) and "records" in value
