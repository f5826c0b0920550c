from __future__ import annotations

import pytest

from listeners.salesforce.errors import Reaction
from listeners.salesforce.pubsub.rpc_errors import classify

ALL = "sfdc.platform.eventbus.grpc."


@pytest.mark.parametrize(
    ("status", "details", "reaction"),
    [
        ("UNAVAILABLE", "", Reaction.RETRY),
        ("UNAVAILABLE", "Received RST_STREAM with error code 0 (NO_ERROR)", Reaction.RETRY),
        ("INTERNAL", "RST_STREAM closed stream. HTTP/2 error code: NO_ERROR", Reaction.RETRY),
        ("DEADLINE_EXCEEDED", "", Reaction.RETRY),
        ("UNKNOWN", "", Reaction.RETRY),
        ("ABORTED", "", Reaction.RETRY),
        ("CANCELLED", "", Reaction.RETRY),
        ("DATA_LOSS", "", Reaction.RETRY),
        ("OK", "", Reaction.RETRY),
        ("A_STATUS_OF_LATER", "", Reaction.RETRY),
        ("UNAUTHENTICATED", "", Reaction.NEW_TOKEN),
        ("RESOURCE_EXHAUSTED", "", Reaction.BACK_OFF_LONG),
        ("FAILED_PRECONDITION", "", Reaction.BACK_OFF_LONG),
        ("PERMISSION_DENIED", "", Reaction.CONFIGURATION),
        ("NOT_FOUND", "", Reaction.CONFIGURATION),
        ("INVALID_ARGUMENT", "", Reaction.CONFIGURATION),
        ("UNIMPLEMENTED", "", Reaction.CONFIGURATION),
        ("INVALID_ARGUMENT", "The Replay ID validation failed. rpcId: 1", Reaction.REPLAY_LOST),
        ("INVALID_ARGUMENT", "The replayId is corrupted.", Reaction.REPLAY_LOST),
        ("INVALID_ARGUMENT", "Topic validation failed", Reaction.CONFIGURATION),
    ],
)
def test_a_bare_status_says_what_to_do(status: str, details: str, reaction: Reaction) -> None:
    assert classify(status, None, details) is reaction
    assert classify(status, "", details) is reaction


@pytest.mark.parametrize(
    ("code", "reaction"),
    [
        ("service.unavailable", Reaction.RETRY),
        ("subscription.internal.error", Reaction.RETRY),
        ("managed.subscription.already.active", Reaction.RETRY),
        ("subscription.fetch.overflow", Reaction.REHANDSHAKE),
        ("subscription.fetch.replay.repeated", Reaction.REHANDSHAKE),
        ("service.auth.error", Reaction.NEW_TOKEN),
        ("service.protection.stream.limit.triggered", Reaction.BACK_OFF_LONG),
        ("concurrent.client.limit.exceeded", Reaction.BACK_OFF_LONG),
        ("managed.subscription.config.stopped", Reaction.BACK_OFF_LONG),
        ("subscription.limit.exceeded", Reaction.QUOTA),
        ("subscription.fetch.replayid.corrupted", Reaction.REPLAY_LOST),
        ("subscription.fetch.replayid.validation.failed", Reaction.REPLAY_LOST),
        ("service.auth.headers.invalid", Reaction.CONFIGURATION),
        ("service.tenant.license", Reaction.CONFIGURATION),
        ("topic.not.found", Reaction.CONFIGURATION),
        ("subscription.topic.cannot.subscribe", Reaction.CONFIGURATION),
        ("managed.subscription.config.deleted", Reaction.CONFIGURATION),
    ],
)
def test_a_code_decides_independently_of_the_status(code: str, reaction: Reaction) -> None:
    for status in ("UNAVAILABLE", "UNAUTHENTICATED", "INVALID_ARGUMENT", "PERMISSION_DENIED"):
        assert classify(status, ALL + code, "") is reaction
        assert classify(status, f" {(ALL + code).upper()}\n", "") is reaction
        assert classify(status, None, f"Refused: {ALL}{code}. rpcId: 1") is reaction


@pytest.mark.parametrize(
    ("status", "code", "reaction"),
    [
        ("INVALID_ARGUMENT", f"{ALL}subscription.something.new", Reaction.BACK_OFF_LONG),
        ("PERMISSION_DENIED", f"{ALL}topic.something.new", Reaction.BACK_OFF_LONG),
        ("NOT_FOUND", "another.family.altogether", Reaction.BACK_OFF_LONG),
        ("UNAVAILABLE", f"{ALL}something.new", Reaction.RETRY),
        ("UNAUTHENTICATED", f"{ALL}something.new", Reaction.NEW_TOKEN),
        ("RESOURCE_EXHAUSTED", f"{ALL}something.new", Reaction.BACK_OFF_LONG),
        ("INVALID_ARGUMENT", f"{ALL}subscription.api.unavailable", Reaction.RETRY),
        ("PERMISSION_DENIED", f"{ALL}topic.internal.error", Reaction.RETRY),
        ("UNAVAILABLE", f"{ALL}subscription.stream.limit.exceeded", Reaction.BACK_OFF_LONG),
        ("UNKNOWN", f"{ALL}subscription.fetch.replayid.expired", Reaction.REPLAY_LOST),
    ],
)
def test_a_code_of_a_later_release_never_stops_the_listener(
    status: str, code: str, reaction: Reaction
) -> None:
    assert classify(status, code, "") is reaction
