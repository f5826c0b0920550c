"""Archived records (of Task and Event), which only queryAll returns, are as live as others."""

from __future__ import annotations

import pytest

from tests.mirror.verify.verifying import Mirrored
from tests.simulator.rest_client import RestClient

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("broker"),
]


@pytest.fixture(scope="module", autouse=True)
def object_with_an_archive(org):
    org.entity("Account", fields={"IsArchived": "boolean"})


@pytest.fixture
def archived(org, accounts):
    for record_id in accounts[:3]:
        org.update("Account", record_id, IsArchived=True)
    return accounts[:3]


@pytest.fixture
def mirrored(org, archived):
    return Mirrored(org)


def test_a_query_leaves_out_archived_records(org, archived):
    rest = RestClient(org)
    soql = "SELECT Id FROM Account WHERE IsDeleted = FALSE"
    found = {
        way: {row["Id"] for row in rest.send("GET", way, q=soql).json()["records"]}
        for way in ("query", "queryAll")
    }

    assert found["queryAll"] - found["query"] == {*archived}


@pytest.mark.parametrize("depth", ["counts", "ids", "full"])
def test_they_are_loaded_counted_and_compared(mirrored, archived, depth):
    mirrored.rows.filter(pk=archived[0]).update(phone="wrong")

    run = mirrored.verify("full")

    assert [one.record_id for one in mirrored.differences()] == [archived[0]]
    again = mirrored.verify(depth)
    assert (again.is_right, again.report.get("differences", 0)) == (True, 0)
    assert run.report["rows"] == mirrored.rows.filter(is_deleted=False).count()


def test_one_that_is_missing_is_found(mirrored, archived):
    mirrored.rows.filter(pk=archived[0]).delete()

    mirrored.verify("full")

    assert [one.record_id for one in mirrored.differences()] == [archived[0]]
    assert mirrored.rows.filter(pk=archived[0]).exists()


def test_rest_pages_have_them_too(org, mirrored, archived):
    mirrored.rows.filter(pk=archived[0]).update(phone="wrong")
    org.fault("rest_error", target="bulk", channel="create", code="INVALIDENTITY")

    mirrored.verify("full")

    assert [one.record_id for one in mirrored.differences()] == [archived[0]]
