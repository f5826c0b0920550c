from __future__ import annotations

from typing import Any

import pytest

from listeners.salesforce.cometd.answers import classify
from listeners.salesforce.errors import Reaction

AUTH = "401::Authentication invalid"
BUSY = "503::Server is too busy.  Please try your request again later."
DENIED = "403::Handshake denied"
DOS = (
    "403::To protect all customers from excessive use and Denial of Service attacks, we limit "
    "the number of simultaneous connections per server.  Your request has been denied because "
    "this limit has been exceeded.  Please try your request again later."
)
INVALID = (
    "400::The replayId {123} you provided was invalid.  Please provide a valid ID, -2 to replay "
    "all events, or -1 to replay only new events."
)
NOT_IN_MAP = (
    "400::The replayId for channel {/topic/X} wasn't found using the provided replay ID map {{}}. "
    "Ensure that the channel name you provided in the replay map is valid and matches the channel "
    "name used for subscribing."
)
NONE = {"reconnect": "none", "interval": 0}
HANDSHAKE = {"reconnect": "handshake", "interval": 0}
RETRY = {"reconnect": "retry"}


@pytest.mark.parametrize(
    ("failure_reason", "error", "advice", "reaction"),
    [
        (None, AUTH, NONE, Reaction.NEW_TOKEN),
        (AUTH, DENIED, NONE, Reaction.NEW_TOKEN),
        ("401::Request requires authentication", DENIED, NONE, Reaction.NEW_TOKEN),
        (BUSY, AUTH, NONE, Reaction.BACK_OFF_LONG),
        (None, "403::Unknown client", HANDSHAKE, Reaction.REHANDSHAKE),
        (None, "403::Unknown client", NONE, Reaction.REHANDSHAKE),
        (None, "403::Unknown client", None, Reaction.REHANDSHAKE),
        (None, "402::Unknown client", RETRY, Reaction.REHANDSHAKE),
        (None, "402::", NONE, Reaction.REHANDSHAKE),
        (DOS, DENIED, NONE, Reaction.BACK_OFF_LONG),
        (None, INVALID, None, Reaction.REPLAY_LOST),
        (None, INVALID.replace("  ", " "), RETRY, Reaction.REPLAY_LOST),
        (
            None,
            "403::Organization concurrent user limit exceeded",
            None,
            Reaction.BACK_OFF_LONG,
        ),
        (None, "403::Organization total events daily limit exceeded", NONE, Reaction.QUOTA),
        (
            None,
            "403::User not allowed to subscribe CDC without View All Data permissions",
            None,
            Reaction.CONFIGURATION,
        ),
        (None, "403::Restricted channel", NONE, Reaction.CONFIGURATION),
        (None, "403::Cannot create channel {/data/X}", HANDSHAKE, Reaction.CONFIGURATION),
        (
            None,
            "400::The channel you requested to subscribe to doesn't exist {/data/X}",
            None,
            Reaction.CONFIGURATION,
        ),
        (None, "403::Subscription limit exceeded for this topic", None, Reaction.CONFIGURATION),
        (None, NOT_IN_MAP, None, Reaction.CONFIGURATION),
        (None, "400::Channel name not specified", None, Reaction.CONFIGURATION),
        (
            None,
            "400::Channel subscriptions must start with a leading '/'",
            None,
            Reaction.CONFIGURATION,
        ),
        (
            None,
            "400::API version in the URI is mandatory. URI format: '/cometd/67.0'",
            None,
            Reaction.CONFIGURATION,
        ),
        (None, "400::Invalid connection type {x}", None, Reaction.CONFIGURATION),
        (None, "404::Unknown channel", None, Reaction.CONFIGURATION),
        (None, "413 Maximum Request Size Exceeded", None, Reaction.CONFIGURATION),
        (None, "403::Client has not completed handshake", NONE, Reaction.REHANDSHAKE),
        (
            None,
            "400::Client x has established a session, but no BAYEUX_BROWSER cookie present",
            NONE,
            Reaction.REHANDSHAKE,
        ),
        (
            None,
            "400::Authenticated user id does not match the session's user id",
            NONE,
            Reaction.REHANDSHAKE,
        ),
        (None, "500::Internal error", NONE, Reaction.RETRY),
        ("500::Internal error", AUTH, NONE, Reaction.RETRY),
    ],
)
def test_each_known_refusal_has_its_reaction(
    failure_reason: str | None,
    error: str | None,
    advice: dict[str, Any] | None,
    reaction: Reaction,
) -> None:
    assert classify(failure_reason, error, advice) is reaction


@pytest.mark.parametrize(
    ("error", "advice", "reaction"),
    [
        (DENIED, NONE, Reaction.BACK_OFF_LONG),
        (DENIED, HANDSHAKE, Reaction.REHANDSHAKE),
        (DENIED, RETRY, Reaction.RETRY),
        (DENIED, None, Reaction.BACK_OFF_LONG),
        (None, None, Reaction.RETRY),
        (None, HANDSHAKE, Reaction.REHANDSHAKE),
        ("", NONE, Reaction.BACK_OFF_LONG),
        ("no code at all", {"reconnect": 7}, Reaction.BACK_OFF_LONG),
    ],
)
def test_an_unknown_refusal_follows_the_advice(
    error: str | None, advice: dict[str, Any] | None, reaction: Reaction
) -> None:
    assert classify(None, error, advice) is reaction


def test_the_failure_reason_outranks_the_error_and_the_error_the_advice() -> None:
    assert classify(BUSY, "403::Unknown client", HANDSHAKE) is Reaction.BACK_OFF_LONG
    assert classify("418::new words", "403::Unknown client", NONE) is Reaction.REHANDSHAKE


@pytest.mark.parametrize(
    ("name", "reaction"),
    [
        ("subscribe_replay_invalid", Reaction.REPLAY_LOST),
        ("connect_401", Reaction.NEW_TOKEN),
        ("handshake_401", Reaction.NEW_TOKEN),
        ("handshake_dos_limit", Reaction.BACK_OFF_LONG),
        ("unknown_client", Reaction.REHANDSHAKE),
        ("server_busy_503", Reaction.BACK_OFF_LONG),
    ],
)
def test_real_refusals_are_understood(sample: Any, name: str, reaction: Reaction) -> None:
    [message] = sample("meta_messages.json")[name]
    reason = message.get("ext", {}).get("sfdc", {}).get("failureReason")

    assert classify(reason, message["error"], message.get("advice")) is reaction


def test_every_other_documented_error_is_known_without_any_advice(sample: Any) -> None:
    errors = sample("meta_messages.json")["other_error_strings"]

    # An unknown error means BACK_OFF_LONG with this advice and RETRY with the other.
    unknown = [
        error for error in errors if classify(None, error, NONE) is not classify(None, error, RETRY)
    ]

    assert unknown == []
