"""The error codes of the Pub/Sub API, each with its gRPC status.

PubSubError: the call ends with this status, code and text.
"""

from collections.abc import Mapping

PREFIX = "sfdc.platform.eventbus.grpc."
ROUTINE = "RST_STREAM closed stream. HTTP/2 error code: NO_ERROR"

STATUSES: Mapping[str, str] = {
    # Status 13 is what clients saw with service.unavailable, not 14.
    "service.unavailable": "INTERNAL",
    "service.auth.error": "UNAUTHENTICATED",
    "service.auth.headers.invalid": "INVALID_ARGUMENT",
    "service.auth.refresh.invalid": "INVALID_ARGUMENT",
    "service.protection.triggered": "RESOURCE_EXHAUSTED",
    "service.protection.stream.limit.triggered": "RESOURCE_EXHAUSTED",
    "service.tenant.license": "PERMISSION_DENIED",
    "concurrent.client.limit.exceeded": "RESOURCE_EXHAUSTED",
    "topic.not.found": "NOT_FOUND",
    "topic.meta.permission": "PERMISSION_DENIED",
    "topic.api.unavailable": "UNAVAILABLE",
    "topic.validation.empty": "INVALID_ARGUMENT",
    "schema.meta.permission": "PERMISSION_DENIED",
    "schema.api.unavailable": "UNAVAILABLE",
    "schema.validation.failed": "INVALID_ARGUMENT",
    "subscription.fetch.replayid.corrupted": "INVALID_ARGUMENT",
    "subscription.fetch.replayid.validation.failed": "INVALID_ARGUMENT",
    "subscription.fetch.replay.repeated": "INVALID_ARGUMENT",
    "subscription.limit.exceeded": "RESOURCE_EXHAUSTED",
    "subscription.fetch.overflow": "INVALID_ARGUMENT",
    "subscription.fetch.requested.events.invalid": "INVALID_ARGUMENT",
    "subscription.fetch.topic.mismatch": "INVALID_ARGUMENT",
    "subscription.fetch.request.invalid": "INVALID_ARGUMENT",
    "subscription.topic.cannot.subscribe": "PERMISSION_DENIED",
    "subscription.internal.error": "INTERNAL",
    "publish.stream.sweeper.timeout": "ABORTED",
    "managed.subscription.already.active": "ALREADY_EXISTS",
    "managed.subscription.config.stopped": "FAILED_PRECONDITION",
    "managed.subscription.config.deleted": "NOT_FOUND",
    "managed.subscription.developer.name.not.found": "NOT_FOUND",
    "managed.subscription.subscription.id.not.found": "NOT_FOUND",
    "managed.subscription.subscription.id.invalid": "INVALID_ARGUMENT",
}
DETAILS: Mapping[str, str] = {
    "service.unavailable": "The service is unavailable. Try again later.",
    "service.auth.error": "An authentication exception occurred. Provide valid authentication via "
    "metadata headers.",
}
GRPC_STATUSES = (
    *("CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND"),
    *("ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION"),
    *("ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"),
    "UNAUTHENTICATED",
)


class PubSubError(Exception):
    """Ends a call. `code` has no prefix; without a code there is no `error-code` trailer."""

    def __init__(self, code: str, details: str = "", status: str = "") -> None:
        self.code = code
        self.status = status or STATUSES.get(code, "UNAVAILABLE")
        self.details = details or DETAILS.get(code) or (f"Refused: {code}." if code else ROUTINE)
        super().__init__(f"{self.status} {code}: {self.details}")

    @property
    def full_code(self) -> str:
        """The code as in the trailer."""
        return PREFIX + self.code if self.code else ""
