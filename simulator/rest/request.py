"""A REST request and its response, independent of HTTP, since a composite request has several."""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from simulator.org.changes import Change
from simulator.org.org import Writer
from simulator.org.records import JsonObject
from simulator.rest.errors import RestError
from simulator.rest.records import Records
from simulator.simulator import Simulator


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
    sim: Simulator

    @property
    def records(self) -> Records:
        """The org's records in the request's version."""
        return Records(self.sim.org, self.version)

    @property
    def url(self) -> str:
        """The path with the version, for the Location header of the response."""
        return "/".join(("/services/data", f"v{self.version}", *self.path))

    @property
    def writer(self) -> Writer:
        """The writer, with the client named in `Sforce-Call-Options: client=X`, if any."""
        options = self.headers.get("Sforce-Call-Options", "")
        named = re.search(r"(?:^|,)\s*client\s*=\s*([^,]*)", options, re.IGNORECASE)
        client = named[1].strip() if named else ""
        return Writer(api="rest", client=client, version=self.version)

    def commit(self, *changes: Change) -> None:
        self.sim.org.commit(changes, now=self.sim.clock.now(), writer=self.writer)

    def all_or_none(self) -> AbstractContextManager[None]:
        """Run several commits as one transaction, which an exception undoes."""
        return self.sim.org.all_or_none(now=self.sim.clock.now(), writer=self.writer)

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
    """The response to a request; None is an empty body.

    `csv` is a body that is sent in parts, which may be compressed with gzip.
    """

    body: object = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    csv: Iterator[bytes] | None = None
    is_compressed: bool = False


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
