"""What the REST API answers to a request that it refuses.

RestError: becomes a JSON list with one object, under the status that belongs to its code.
"""

from collections.abc import Iterable, Mapping

from simulator.records import JsonObject

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
    """Read `errorCode`; the message is for people, and `fields` names the fields at fault."""

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
        """400, unless the code has a status of its own."""
        return STATUSES.get(self.code, 400)

    def body(self) -> list[JsonObject]:
        """The JSON of the answer."""
        error: JsonObject = {"message": self.message, "errorCode": self.code}
        return [error if self.fields is None else {**error, "fields": self.fields}]

    def line(self) -> JsonObject:
        """The error of one record among several."""
        return {"statusCode": self.code, "message": self.message, "fields": self.fields or []}


def method_not_allowed(method: str, allowed: Iterable[str]) -> RestError:
    """For a method that a resource does not have."""
    names = ",".join(allowed)
    message = f"HTTP Method '{method}' not allowed. Allowed are {names}"
    return RestError("METHOD_NOT_ALLOWED", message, headers={"Allow": names})
