"""Check whether a listener may subscribe to its channel, by subscribing once from the tip."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from consumer.diagnostics.findings import Finding, Step
from listeners.connections import listener_warnings
from listeners.connections.create_stream import stream_for
from listeners.models import Listener
from listeners.salesforce.errors import (
    LoginRefused,
    LoginUnavailable,
    Reaction,
    SalesforceError,
    StreamRefused,
)
from listeners.salesforce.protocol import EventStream
from listeners.salesforce.tokens.tokens import Tokens

TIP = "-1"
REFUSAL_SECONDS = 2.0

#: Error code of a managed subscription that another client uses; only one client may.
_IN_USE = "managed.subscription.already.active"
#: The requests that subscribe: of the Streaming API and of the Pub/Sub API.
_SUBSCRIBING = ("/meta/subscribe", "GetTopic", "Subscribe", "ManagedSubscribe")


def check_channel(tokens: Tokens, served: Sequence[str], listener: Listener) -> Iterator[Finding]:
    """Yield the findings for one listener.

    served   the org's API versions, oldest first; empty if unknown
    """
    prefix = f"listener {listener.name}" + ("" if listener.enabled else " (disabled)")
    for _, warning in listener_warnings.warnings(listener):
        yield Finding(f"note: {prefix}: {warning}")
    if served and listener.api_version not in served:
        text = (
            f"{prefix}: the org does not serve API version {listener.api_version}; set api_version "
            f"to one from {served[0]} to {served[-1]}"
        )
        yield Finding(text, is_failure=True, step=Step.CHANNEL)
        return
    prefix = f"{prefix}: {_subscription(listener)}"
    try:
        _subscribe(tokens, listener)
    except (LoginRefused, LoginUnavailable):
        raise
    except SalesforceError as error:
        if isinstance(error, StreamRefused) and error.code.endswith(_IN_USE):
            text = f"{prefix}: in use, by its process or another client"
            yield Finding(text, step=Step.CHANNEL)
        else:
            text = f"{prefix}: {error}{_advice(error, listener)}"
            yield Finding(text, is_failure=True, step=Step.CHANNEL)
    else:
        yield Finding(f"{prefix}: permitted", step=Step.CHANNEL)


def _subscription(listener: Listener) -> str:
    if listener.transport == Listener.Transport.COMETD:
        return f"channel {listener.channel}"
    managed = f", managed subscription {listener.subscription}" if listener.subscription else ""
    return f"topic {listener.channel} at {listener.pubsub_endpoint}{managed}"


def _subscribe(tokens: Tokens, listener: Listener) -> None:
    """Subscribe from the tip: nothing is delivered, and no position changes. (The waiting events of
    a managed subscription are delivered, and delivered again later.)"""
    stream = stream_for(listener, tokens)
    try:
        stream.open(TIP)
        if listener.transport == Listener.Transport.PUBSUB:
            _await_refusal(stream)
    finally:
        stream.close()


def _await_refusal(stream: EventStream) -> None:
    """Wait for a refusal over gRPC, which may arrive shortly after the stream has opened."""
    deadline = time.monotonic() + REFUSAL_SECONDS
    while not stream.has_result_ready and time.monotonic() < deadline:
        time.sleep(0.05)
    if stream.has_result_ready:
        stream.poll()


def _advice(error: SalesforceError, listener: Listener) -> str:
    refused = isinstance(error, StreamRefused) and error.what in _SUBSCRIBING
    if not refused or error.reaction is not Reaction.CONFIGURATION:
        return ""
    managed = (
        " Also check that the managed event subscription has this developer name, has this channel "
        "as its topic, and is running."
    )
    return (
        " Check the channel's name, that its entities are selected in Setup under Change Data "
        "Capture, and that the login's user has permission to view all of their records."
        + (managed if listener.subscription else "")
    )
