"""The Bayeux response messages of the server."""

from simulator.org.records import JsonObject

EXTENSIONS: JsonObject = {"replay": True, "payload.format": True}
NO_RECONNECT: JsonObject = {"reconnect": "none", "interval": 0}
AUTHENTICATION_INVALID = "401::Authentication invalid"
AUTHENTICATION_REQUIRED = "401::Request requires authentication"
HANDSHAKE_DENIED = "403::Handshake denied"
UNKNOWN_CLIENT = "403::Unknown client"
CONNECTION_LIMIT = (
    "403::To protect all customers from excessive use and Denial of Service attacks, we limit the "
    "number of simultaneous connections per server.  Your request has been denied because this "
    "limit has been exceeded.  Please try your request again later."
)
TOO_BUSY = "503::Server is too busy.  Please try your request again later."
VERSION_MANDATORY = "400::API version in the URI is mandatory. URI format: '/cometd/67.0'"
NO_COOKIE = "400::Client {} has established a session, but no BAYEUX_BROWSER cookie present"


def answer(message: JsonObject, **fields: object) -> JsonObject:
    """Return a successful response to a message."""
    reply: JsonObject = dict(fields)
    for name in ("clientId", "id", "subscription"):
        if message.get(name) is not None:
            reply.setdefault(name, message[name])
    return {**reply, "channel": message.get("channel"), "successful": True}


def refusal(message: JsonObject, error: str, **fields: object) -> JsonObject:
    """Return an unsuccessful response to a message."""
    return {**answer(message, **fields), "error": error, "successful": False}


def unknown_client(message: JsonObject, error: str) -> JsonObject:
    """Return the response to a client without a session here."""
    reply = refusal(message, error, advice={"interval": 0, "reconnect": "handshake"})
    reply.pop("clientId", None)
    return reply


def unauthenticated(message: JsonObject) -> JsonObject:
    """Return the response to a request without a valid token, in a session."""
    return refusal(message, AUTHENTICATION_INVALID, advice=NO_RECONNECT)


def handshake_denied(message: JsonObject, failure_reason: str) -> JsonObject:
    """Return the response to a refused handshake."""
    return refusal(
        message,
        HANDSHAKE_DENIED,
        ext={"sfdc": {"failureReason": failure_reason}, **EXTENSIONS},
        advice={"reconnect": "none"},
    )


def faulty(message: JsonObject, kind: str, options: JsonObject) -> JsonObject:
    """Return the response of a fault: its error, extension and advice."""
    match kind:
        case "connection_limit":
            return handshake_denied(message, CONNECTION_LIMIT)
        case "too_busy":
            error, reason, reconnect = AUTHENTICATION_INVALID, TOO_BUSY, "none"
        case _:
            names = ("error", "failure_reason", "reconnect")
            error, reason, reconnect = (options.get(name, "") for name in names)
    fields: JsonObject = {}
    if reason:
        fields["ext"] = {"sfdc": {"failureReason": reason}}
    if reconnect:
        fields["advice"] = {"reconnect": reconnect, "interval": 0}
    return refusal(message, error, **fields)
