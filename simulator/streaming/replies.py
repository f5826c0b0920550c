"""The Bayeux messages that the server answers with."""

from simulator.org.records import JsonObject

EXTENSIONS: JsonObject = {"replay": True, "payload.format": True}
NO_RECONNECT: JsonObject = {"reconnect": "none", "interval": 0}
AUTHENTICATION_INVALID = "401::Authentication invalid"
AUTHENTICATION_REQUIRED = "401::Request requires authentication"
HANDSHAKE_DENIED = "403::Handshake denied"
UNKNOWN_CLIENT = "403::Unknown client"
VERSION_MANDATORY = "400::API version in the URI is mandatory. URI format: '/cometd/67.0'"
NO_COOKIE = "400::Client {} has established a session, but no BAYEUX_BROWSER cookie present"


def answer(message: JsonObject, **fields: object) -> JsonObject:
    """A successful answer to a message."""
    reply: JsonObject = dict(fields)
    for name in ("clientId", "id", "subscription"):
        if message.get(name) is not None:
            reply.setdefault(name, message[name])
    return {**reply, "channel": message.get("channel"), "successful": True}


def refusal(message: JsonObject, error: str, **fields: object) -> JsonObject:
    """An unsuccessful answer to a message."""
    return {**answer(message, **fields), "error": error, "successful": False}


def unknown_client(message: JsonObject, error: str = UNKNOWN_CLIENT) -> JsonObject:
    """The answer to a client that has no session here."""
    reply = refusal(message, error, advice={"interval": 0, "reconnect": "handshake"})
    reply.pop("clientId", None)
    return reply


def unauthenticated(message: JsonObject) -> JsonObject:
    """The answer to a request without a good token, in a session."""
    return refusal(message, AUTHENTICATION_INVALID, advice=NO_RECONNECT)


def handshake_denied(message: JsonObject, failure_reason: str) -> JsonObject:
    """The answer to a handshake that is not let in."""
    return refusal(
        message,
        HANDSHAKE_DENIED,
        ext={"sfdc": {"failureReason": failure_reason}, **EXTENSIONS},
        advice={"reconnect": "none"},
    )


def faulty(message: JsonObject, kind: str, options: JsonObject) -> JsonObject:
    """The answer that a fault asks for: an error, and what it says in its extension and advice."""
    if kind == "connection_limit":
        return handshake_denied(message, options["failure_reason"])
    reason, reconnect = options.get("failure_reason"), options.get("reconnect")
    fields: JsonObject = {}
    if reason:
        fields["ext"] = {"sfdc": {"failureReason": reason}}
    if reconnect:
        fields["advice"] = {"reconnect": reconnect, "interval": 0}
    return refusal(message, options["error"], **fields)
