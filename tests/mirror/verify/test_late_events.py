"""A difference whose event arrives after the verification is explained, and its incident closes."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from consumer.ingest.transaction import ingest
from mirror import rounds
from tests.mirror.verify.verifying import Mirrored
from tests.sample_data import change, lease_of, received

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("broker")]
MINUTE = timedelta(minutes=1)


@pytest.fixture
def mirrored(org, account):
    """A mirror whose verification found and repaired a difference a minute ago."""
    mirrored = Mirrored(org)
    org.update("Account", account, Phone="2", BillingAddress={"City": "Graz"})
    mirrored.rows.filter(pk=account).update(phone="1", billing_city=None)
    mirrored.verify("full")
    return mirrored


def reasons(mirrored):
    return {one.field: one.reason for one in mirrored.differences()}


def run_repairs():
    for repair in rounds.REPAIRS:
        repair(timezone.now())


def arrive(mirrored, account, *, committed=-MINUTE, entity="Account", data=None):
    """Record a change of the account that was committed some time after the difference was
    found."""
    at = mirrored.differences()[0].found_at + committed
    fields = data or {"Phone": "2", "BillingAddress": {"City": "Graz"}}
    fields |= {"LastModifiedDate": f"{at:%Y-%m-%dT%H:%M:%S}.000Z"}
    committed_at = round(at.timestamp() * 1000)
    message = change("UPDATE", [account], entity=entity, data=fields, commitTimestamp=committed_at)
    listener = mirrored.mirror.listener
    messages = received(message)
    # The database's clock, by which the difference was found, may be a little ahead.
    messages[0].received_at += MINUTE
    assert ingest(listener, lease_of(listener), messages)
    run_repairs()


def test_a_change_that_was_committed_before_explains_the_difference(mirrored, account):
    assert reasons(mirrored)["Phone"] == "unexplained"
    assert mirrored.incident() is not None
    run_repairs()
    assert mirrored.incident() is not None, "no event yet"
    incident = mirrored.incident()

    arrive(mirrored, account)

    assert {*reasons(mirrored).values()} == {"late_event"}
    assert mirrored.incident() is None
    incident.refresh_from_db()
    assert "arrived after the verification" in incident.note


@pytest.mark.parametrize(
    "other",
    [
        {"committed": MINUTE},
        {"entity": "Contact"},
        {"data": {"Name": "Other"}},
    ],
    ids=str,
)
def test_another_change_does_not(mirrored, account, other):
    arrive(mirrored, account, **other)

    assert reasons(mirrored)["Phone"] == "unexplained"
    assert mirrored.incident() is not None


def test_one_difference_without_an_explanation_keeps_the_incident_open(mirrored, account):
    arrive(mirrored, account, data={"Phone": "2"})

    found = reasons(mirrored)
    assert (found["Phone"], found["BillingCity"]) == ("late_event", "unexplained")
    assert mirrored.incident() is not None
