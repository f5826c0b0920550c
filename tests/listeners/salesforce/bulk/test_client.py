"""The client creates and polls query jobs, and reports refused requests."""

from __future__ import annotations

import json

import pytest

from listeners.salesforce.bulk.errors import BulkLimit, BulkUnsupported, ResultsExpired
from listeners.salesforce.errors import Reaction, RestRefused, TransportFailed
from tests.listeners.salesforce.bulk.asking import (
    JOB,
    JOB_ID,
    JOBS,
    RESULTS,
    client,
    error,
    job,
    page,
    read,
)
from tests.listeners.salesforce.scripted import TOKEN_PATH, Reply, ScriptedOrg, of_json

SOQL = "SELECT Id FROM Account"
HTML = b"<html>busy</html>"


def test_a_job_is_created_and_followed(org: ScriptedOrg) -> None:
    org.tell(JOBS, job())
    org.tell(JOB, job("InProgress"), job("JobComplete", numberRecordsProcessed=7))
    bulk = client(org)

    created = bulk.create(SOQL, deleted=True)
    states = [bulk.job(created.id), bulk.job(created.id)]

    assert json.loads(org.asked(JOBS)[0].body) == {
        "operation": "queryAll",
        "query": SOQL,
        "contentType": "CSV",
        "columnDelimiter": "COMMA",
        "lineEnding": "LF",
    }
    assert (created.id, created.created_at, created.is_running) == (JOB_ID, 1795867200000, True)
    assert [state.is_complete for state in states] == [False, True]
    assert states[1].records == 7


@pytest.mark.parametrize("status", [406, 409, 420, 429, 500, 503])
@pytest.mark.parametrize("body", [b"", HTML], ids=["empty", "html"])
def test_a_busy_server_is_asked_again(org: ScriptedOrg, status: int, body: bytes) -> None:
    org.tell(JOB, Reply(body, status), Reply(body, status), of_json(job("InProgress")))
    org.tell(RESULTS, Reply(body, status), page('"Id","Name"\n', 0))

    assert client(org).job(JOB_ID).is_running
    assert read(client(org)) == []


def test_a_server_that_stays_busy_is_an_error(org: ScriptedOrg) -> None:
    org.tell(RESULTS, *[Reply(HTML, 420)] * 4)

    with pytest.raises(TransportFailed) as raised:
        read(client(org))

    assert raised.value.status == 420
    assert len(org.asked(RESULTS)) == 4


def test_a_long_retry_after_is_left_to_the_caller(org: ScriptedOrg) -> None:
    org.tell(JOB, Reply(HTML, 503, (("Retry-After", "120"),)))

    with pytest.raises(TransportFailed) as raised:
        client(org).job(JOB_ID)

    assert raised.value.retry_after == 120
    assert len(org.asked(JOB)) == 1


def test_a_job_is_not_created_twice_when_the_connection_is_cut(org: ScriptedOrg) -> None:
    org.tell(JOBS, of_json(job(), missing=10), of_json(job()))

    with pytest.raises(TransportFailed):
        client(org).create(SOQL)

    assert len(org.asked(JOBS)) == 1


def test_a_refused_token_is_replaced_once(org: ScriptedOrg) -> None:
    expired = error(401, "INVALID_SESSION_ID")
    org.tell(JOB, expired, of_json(job()))
    org.tell(RESULTS, expired, page('"Id","Name"\n', 0))
    bulk = client(org)

    bulk.job(JOB_ID)
    read(bulk)

    assert len(org.asked(TOKEN_PATH)) == 3


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (error(400, "INVALIDENTITY", "X is not supported by the Bulk API"), BulkUnsupported),
        (
            error(400, "API_ERROR", "Selecting compound data not supported in Bulk Query"),
            BulkUnsupported,
        ),
        (error(400, "API_ERROR", "Implementation restriction: View All Data"), BulkUnsupported),
        (error(400, "API_ERROR", "CaseStatus does not support query"), BulkUnsupported),
        (error(403, "FEATURENOTENABLED", "The Bulk API is not enabled"), BulkUnsupported),
        (error(400, "LIMIT_EXCEEDED", "Max bulk v2 query jobs (10000) per 24 hrs"), BulkLimit),
        (error(400, "API_ERROR", "Max bulk v2 query result size stored (1 kb)"), BulkLimit),
    ],
)
def test_a_refusal_of_bulk_api_says_to_use_rest(
    org: ScriptedOrg, reply: Reply, kind: type[RestRefused]
) -> None:
    org.tell(JOBS, reply)

    with pytest.raises(kind):
        client(org).create(SOQL)


def test_the_daily_limit_of_all_calls_is_no_reason_for_rest(org: ScriptedOrg) -> None:
    org.tell(JOBS, error(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded."))

    with pytest.raises(RestRefused) as raised:
        client(org).create(SOQL)

    assert type(raised.value) is RestRefused
    assert raised.value.reaction is Reaction.QUOTA


def test_results_that_no_longer_exist_are_expired(org: ScriptedOrg) -> None:
    org.tell(RESULTS, error(404, "NOT_FOUND", "The requested resource does not exist"))

    with pytest.raises(ResultsExpired):
        read(client(org))


def test_an_unknown_field_is_refused_as_such(org: ScriptedOrg) -> None:
    org.tell(JOBS, error(400, "INVALID_FIELD", "No such column 'X'"))

    with pytest.raises(RestRefused, match="No such column"):
        client(org).create(SOQL)


def test_the_use_of_the_daily_calls_is_known(org: ScriptedOrg) -> None:
    org.tell(JOB, of_json(job(), 200, ("Sforce-Limit-Info", "api-usage=18/5000")))
    bulk = client(org)

    bulk.job(JOB_ID)

    assert bulk.usage == (18, 5000)
