"""A REST request and its answer, apart from HTTP: a composite request has many of them."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from simulator.org import Writer
from simulator.records import JsonObject
from simulator.rest_errors import RestError


@dataclass(frozen=True, slots=True)
class RestRequest:
    """A request for a resource; `path` is what follows the version, split and decoded."""

    method: str
    version: str
    path: tuple[str, ...]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    base_url: str

    @property
    def url(self) -> str:
        """The path with the version, as the answer's Location header needs it."""
        return "/".join(("/services/data", f"v{self.version}", *self.path))

    @property
    def writer(self) -> Writer:
        """The client that `Sforce-Call-Options: client=X` names, if any."""
        options = self.headers.get("Sforce-Call-Options", "")
        named = re.search(r"(?:^|,)\s*client\s*=\s*([^,]*)", options, re.IGNORECASE)
        client = named[1].strip() if named else ""
        return Writer(api="rest", client=client, version=self.version)

    def json(self) -> JsonObject:
        """The body, which must be a JSON object; raises RestError."""
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
    """The answer to a request; None is no body at all."""

    body: object = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


def objects_of(body: JsonObject, name: str) -> list[JsonObject]:
    """The list of objects with this name in a body; raises RestError."""
    value = body.get(name)
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise RestError("JSON_PARSER_ERROR", f"{name} must be a list of objects")
    return value


def texts_of(body: JsonObject, name: str) -> list[str]:
    """The list of texts with this name in a body; raises RestError."""
    value = body.get(name)
    if not isinstance(value, list):
        raise RestError("JSON_PARSER_ERROR", f"{name} must be a list")
    return [str(item) for item in value]
