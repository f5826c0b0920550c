from __future__ import annotations

import pytest

from listeners.salesforce.errors import Reaction, RestRefused, TransportFailed
from listeners.salesforce.rest.client import RestClient
from tests.listeners.salesforce.scripted import TOKEN_PATH, Reply, ScriptedOrg, of_json, plain_http

LIMITS = "/services/data/v67.0/limits/"
EXPIRED = [{"message": "Session expired or invalid", "errorCode": "INVALID_SESSION_ID"}]


def client(org: ScriptedOrg) -> RestClient:
    return RestClient(org.tokens(), "67.0", (60, 60), http=plain_http())


def test_limits_are_read_with_the_token(org: ScriptedOrg) -> None:
    org.tell(LIMITS, {"DailyDeliveredPlatformEvents": {"Max": 25000, "Remaining": 24999}})

    limits = client(org).limits()

    assert limits["DailyDeliveredPlatformEvents"]["Remaining"] == 24999
    assert org.asked(LIMITS)[0].headers["Authorization"] == "Bearer token-1"


def test_versions_are_a_list(org: ScriptedOrg) -> None:
    org.tell("/services/data/", [{"label": "x", "url": "/services/data/v67.0", "version": "67.0"}])

    assert client(org).versions()[0]["version"] == "67.0"


def test_a_record_is_read_by_entity_and_id(org: ScriptedOrg) -> None:
    org.tell("/services/data/v67.0/sobjects/Account/001%2Fx", of_json({"Id": "001/x"}))

    assert client(org).record("Account", "001/x") == {"Id": "001/x"}


def test_a_record_that_does_not_exist_is_none(org: ScriptedOrg) -> None:
    body = [{"message": "The requested resource does not exist", "errorCode": "NOT_FOUND"}]
    org.tell("/services/data/v67.0/sobjects/Account/001", of_json(body, 404))

    assert client(org).record("Account", "001") is None


def test_a_refused_token_is_replaced_once(org: ScriptedOrg) -> None:
    org.tell(LIMITS, of_json(EXPIRED, 401), of_json({"ok": 1}))

    assert client(org).limits() == {"ok": 1}
    assert len(org.asked(TOKEN_PATH)) == 2


def test_a_token_refused_twice_is_not_tried_a_third_time(org: ScriptedOrg) -> None:
    org.tell(LIMITS, of_json(EXPIRED, 401), of_json(EXPIRED, 401))

    with pytest.raises(RestRefused, match="INVALID_SESSION_ID") as refusal:
        client(org).limits()

    assert refusal.value.reaction is Reaction.BACK_OFF_LONG
    assert len(org.asked(TOKEN_PATH)) == 2


@pytest.mark.parametrize("status", [406, 420])
def test_an_edge_that_cannot_answer_now_is_no_refusal(org: ScriptedOrg, status: int) -> None:
    org.tell(LIMITS, Reply(b"", status))

    with pytest.raises(TransportFailed) as failure:
        client(org).limits()

    assert (failure.value.status, failure.value.reaction) == (status, Reaction.RETRY)


@pytest.mark.parametrize(
    ("status", "code", "reaction"),
    [
        (403, "REQUEST_LIMIT_EXCEEDED", Reaction.QUOTA),
        (403, "API_DISABLED_FOR_ORG", Reaction.BACK_OFF_LONG),
        (404, "NOT_FOUND", Reaction.CONFIGURATION),
        (400, "INVALID_TYPE", Reaction.CONFIGURATION),
    ],
)
def test_a_refusal_carries_its_code(
    org: ScriptedOrg, status: int, code: str, reaction: Reaction
) -> None:
    org.tell(LIMITS, of_json([{"errorCode": code, "message": "no"}], status))

    with pytest.raises(RestRefused) as refusal:
        client(org).limits()

    assert (refusal.value.status, refusal.value.error_code) == (status, code)
    assert refusal.value.reaction is reaction


def test_a_server_error_is_a_failed_transport(org: ScriptedOrg) -> None:
    org.tell(LIMITS, Reply(b"", 503, (("Retry-After", "5"),)))

    with pytest.raises(TransportFailed) as failure:
        client(org).limits()

    assert (failure.value.status, failure.value.retry_after) == (503, 5.0)


@pytest.mark.parametrize("body", [b"<html>", b"[]"])
def test_a_page_that_is_no_answer_is_a_failed_transport(org: ScriptedOrg, body: bytes) -> None:
    org.tell(LIMITS, Reply(body))

    with pytest.raises(TransportFailed, match="not with a REST response"):
        client(org).limits()


def test_a_refusal_without_an_explanation_says_so(org: ScriptedOrg) -> None:
    org.tell(LIMITS, Reply(b"<html>", 403))

    with pytest.raises(RestRefused, match="without an error message from Salesforce"):
        client(org).limits()


def test_an_instance_that_does_not_answer_is_a_failed_transport() -> None:
    with ScriptedOrg() as gone:
        tokens = gone.tokens()
        tokens.get()

    with pytest.raises(TransportFailed, match="cannot be reached"):
        RestClient(tokens, http=plain_http()).limits()


def test_an_entity_that_does_not_exist_is_no_absent_record(org: ScriptedOrg) -> None:
    body = [{"message": "no such type", "errorCode": "INVALID_TYPE"}]
    org.tell("/services/data/v67.0/sobjects/Acount/001", of_json(body, 404))

    with pytest.raises(RestRefused, match="INVALID_TYPE"):
        client(org).record("Acount", "001")
