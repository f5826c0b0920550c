"""A REST request and its response or refusal, independent of HTTP, since a composite request has
several.

RestError: sent as a JSON list with one object, with the status of its code.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from simulator.org.org import Writer
from simulator.org.records import JsonObject

STATUSES: Mapping[str, int] = {
    "INVALID_SESSION_ID": 401,
    "NOT_FOUND": 404,
    "ENTITY_IS_DELETED": 404,
    "METHOD_NOT_ALLOWED": 405,
    "API_DISABLED_FOR_ORG": 403,
    "INSUFFICIENT_ACCESS": 403,
}
MESSAGES: Mapping[str, str] = {
    "INVALID_SESSION_ID": "Session expired or invalid",
    "NOT_FOUND": "The requested resource does not exist",
    "ENTITY_IS_DELETED": "entity is deleted",
    "API_DISABLED_FOR_ORG": "The REST API is not enabled for this Organization.",
    "INSUFFICIENT_ACCESS": "You do not have the level of access necessary to perform the operation "
    "you requested. Please contact the owner of the record or your administrator if access is "
    "necessary.",
}


class RestError(Exception):
    """A refused request. Clients read `errorCode`; `fields` names the fields at fault."""

    def __init__(
        self,
        code: str,
        message: str = "",
        fields: Iterable[str] | None = None,
        *,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.code = code
        self.headers = headers or {}
        self.message = message or MESSAGES[code]
        self.fields = None if fields is None else list(fields)
        super().__init__(f"{code}: {self.message}")

    @property
    def status(self) -> int:
        """The HTTP status of the code, 400 by default."""
        return STATUSES.get(self.code, 400)

    def body(self) -> list[JsonObject]:
        """Return the JSON of the response."""
        error: JsonObject = {"message": self.message, "errorCode": self.code}
        return [error if self.fields is None else {**error, "fields": self.fields}]

    def line(self) -> JsonObject:
        """Return the error of one record among several."""
        return {"statusCode": self.code, "message": self.message, "fields": self.fields or []}


def method_not_allowed(method: str, allowed: Iterable[str]) -> RestError:
    """Return the error for a method that a resource does not have."""
    names = ",".join(allowed)
    message = f"HTTP Method '{method}' not allowed. Allowed are {names}"
    return RestError("METHOD_NOT_ALLOWED", message, headers={"Allow": names})


@dataclass(frozen=True, slots=True)
class RestRequest:
    """A request for a resource; `path` follows the version, split and decoded."""

    method: str
    version: str
    path: tuple[str, ...]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    base_url: str

    @property
    def url(self) -> str:
        """Return the path with the version, for the Location header of the response."""
        return "/".join(("/services/data", f"v{self.version}", *self.path))

    @property
    def writer(self) -> Writer:
        """The writer, with the client named in `Sforce-Call-Options: client=X`, if any."""
        options = self.headers.get("Sforce-Call-Options", "")
        named = re.search(r"(?:^|,)\s*client\s*=\s*([^,]*)", options, re.IGNORECASE)
        client = named[1].strip() if named else ""
        return Writer(api="rest", client=client, version=self.version)

    def json(self) -> JsonObject:
        """Return the body, which must be a JSON object. Raises RestError."""
        try:
            parsed = json.loads(self.body)
        except json.JSONDecodeError as error:
            message = f"{error.msg} at [line:{error.lineno}, column:{error.colno}]"
            raise RestError("JSON_PARSER_ERROR", message) from None
        except UnicodeDecodeError as error:
            raise RestError("JSON_PARSER_ERROR", f"Invalid UTF-8: {error}") from None
        if not isinstance(parsed, dict):
            message = "Can not deserialize SObject at [line:1, column:1]"
            raise RestError("JSON_PARSER_ERROR", message)
        return parsed


@dataclass(frozen=True, slots=True)
class RestAnswer:
    """The response to a request; None is an empty body."""

    body: object = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


def objects_of(body: JsonObject, name: str) -> list[JsonObject]:
    """Return the list of objects with this name in a body. Raises RestError."""
    value = body.get(name)
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise RestError("JSON_PARSER_ERROR", f"{name} must be a list of objects")
    return value


def texts_of(body: JsonObject, name: str) -> list[str]:
    """Return the list of strings with this name in a body. Raises RestError."""
    value = body.get(name)
    if not isinstance(value, list):
        raise RestError("JSON_PARSER_ERROR", f"{name} must be a list")
    return [str(item) for item in value]
