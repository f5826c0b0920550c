"""A text that was sent as a diff is unknown in the state of a record that the log gives."""

import pytest

from consumer.ingest.transaction import ingest
from consumer.reconciliation.logged_state import logged_states
from tests.sample_data import change, lease_of, received

pytestmark = pytest.mark.django_db(transaction=True)
RECORD = "001000000000001AAA"
DIFF = {"diff": "--- 6f1\n+++ 9a2\n@@ -1,1 +1,1 @@\n-old\n+new"}
ON_COMETD: dict[str, list[str]] = {}
ON_PUBSUB = {"nulledFields": [], "diffFields": ["Description"]}


def state_after(listener, update, **header):
    created = change(data={"Name": "Acme", "Description": "old"})
    updated = change("UPDATE", data=update, changedFields=list(update), **header)
    ingest(listener, lease_of(listener), received(created, updated), [])
    return logged_states(listener, "Account", [RECORD])[RECORD]


@pytest.mark.parametrize("lists", [ON_COMETD, ON_PUBSUB], ids=["cometd", "pubsub"])
def test_a_diff_leaves_the_value_of_its_field_open(listener, lists):
    known = state_after(listener, {"Description": DIFF}, **lists)

    assert known.open_fields == {"Description"}
    assert known.values == {"Name": "Acme", "Description": "old"}


def test_a_part_of_a_compound_field_is_no_diff(listener):
    known = state_after(listener, {"BillingAddress": {"City": "Bonn"}})

    assert known.values["BillingAddress"] == {"City": "Bonn"}
    assert known.open_fields == set()
