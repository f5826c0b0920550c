"""RestError: a refused REST request, sent as a JSON list with one object."""

from collections.abc import Iterable, Mapping

from simulator.org.records import JsonObject

STATUSES: Mapping[str, int] = {
    "INVALID_SESSION_ID": 401,
    "NOT_FOUND": 404,
    "ENTITY_IS_DELETED": 404,
    "METHOD_NOT_ALLOWED": 405,
    "API_DISABLED_FOR_ORG": 403,
    "REQUEST_LIMIT_EXCEEDED": 403,
    "API_VERSION_MISMATCH": 409,
    "INSUFFICIENT_ACCESS": 403,
}
MESSAGES: Mapping[str, str] = {
    "INVALID_SESSION_ID": "Session expired or invalid",
    "NOT_FOUND": "The requested resource does not exist",
    "INVALIDENTITY": "Entity is not supported by the Bulk API.",
    "LIMIT_EXCEEDED": "Max bulk v2 query jobs (10000) per 24 hrs has been reached",
    "QUERY_TIMEOUT": "Your query request was running for too long.",
    "REQUEST_LIMIT_EXCEEDED": "TotalRequests Limit exceeded.",
    "TXN_SECURITY_METERING_ERROR": "The transaction security policy could not be evaluated.",
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
        self.message = message or MESSAGES.get(code, code)
        self.fields = None if fields is None else list(fields)
        super().__init__(f"{code}: {self.message}")

    @property
    def status(self) -> int:
        """The HTTP status of the code, 400 by default."""
        return STATUSES.get(self.code, 400)

    def body(self) -> list[JsonObject]:
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
