"""The faults of the simulated org."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tests.chaos.transports import BOTH, COMETD, PUBSUB

Told = tuple[str, Mapping[str, object]]


def _fault(kind: str, **options: object) -> Told:
    return "faults", {"kind": kind, **options}


def _refusal(code: str, method: str = "Subscribe", **options: object) -> Told:
    return _fault("grpc_status", code=code, method=method, **options)


#: The request to the org's control API for each kind of fault: a route and a body.
ASKED: Mapping[str, Told] = {
    "revoke the tokens": _fault("revoke_tokens"),
    "drop the sessions": _fault("drop_sessions"),
    "answer with 503": _fault("http_status", times=3),
    "refuse a token with 503": _fault("http_status", target="token", times=2),
    "refuse a login": _fault("refuse_login", times=1),
    "lose an answer": _fault("close", events_only=True, times=2),
    "garble an answer": _fault("malformed", events_only=True, times=2),
    "stall an answer": _fault("stall", seconds=3.0, times=2),
    "be too busy": _fault("too_busy", times=2),
    "limit connections": _fault("connection_limit", times=1),
    "refuse a poll": _fault(
        "meta_error", channel="/meta/connect", error="403::Unknown client", times=1
    ),
    "end a stream": _refusal("", after_events=0),
    "end a stream between events": _refusal("service.unavailable", after_events=37, times=2),
    "refuse a stream": _refusal("service.unavailable", times=2),
    "refuse a topic": _refusal("topic.api.unavailable", method="GetTopic", times=2),
    "refuse a schema": _refusal("schema.api.unavailable", method="GetSchema", times=2),
    "refuse a position": _refusal("subscription.fetch.replayid.validation.failed"),
    "limit clients": _refusal("concurrent.client.limit.exceeded"),
    "limit events": _refusal("subscription.limit.exceeded", after_events=0),
    "stall a stream": _fault("grpc_stall", seconds=3.0, times=2),
    "answer a topic late": _fault("grpc_stall", method="GetTopic", seconds=3.0),
    "restart the Pub/Sub API": ("pubsub-restart", {"seconds": 1.0}),
}
_ONLY_COMETD = {
    *("drop the sessions", "answer with 503", "lose an answer", "garble an answer"),
    *("stall an answer", "be too busy", "limit connections", "refuse a poll"),
}
_ONLY_PUBSUB = {
    *("end a stream", "end a stream between events", "refuse a stream", "refuse a topic"),
    *("refuse a schema", "refuse a position", "limit clients", "limit events", "stall a stream"),
    *("answer a topic late", "restart the Pub/Sub API", "cut off the Pub/Sub API"),
}
_LEFT_OUT = {COMETD: _ONLY_PUBSUB, PUBSUB: _ONLY_COMETD, BOTH: set[str]()}


def that_can_be(kinds: Sequence[str], transport: str) -> list[str]:
    """Return the kinds of faults that can affect a transport's listeners."""
    return [kind for kind in kinds if kind not in _LEFT_OUT[transport]]
