"""The pytest plugin delivers changes to handlers in the same way as the product."""

from unittest.mock import Mock

import pytest
from django.core.exceptions import ValidationError
from django.db import connection

from handlers import Skipped, salesforce_client
from handlers.models import HandlerMapping
from tests.pytest_cdc.handlers import CALLS, as_told, batch_as_told, call_others, groups, write


def test_a_handler_that_returns_has_succeeded(cdc_event, cdc_deliver):
    event = cdc_event("Account", "update", changed={"Name": "New"})

    delivery = cdc_deliver(event, to=as_told, options={"a": 1})

    assert (delivery.state, delivery.error) == ("succeeded", "")
    [got] = CALLS
    assert (got.id, got.changed_data, got.attempt) == (event.id, event.changed_data, 1)
    assert got.options == {"a": 1}


def test_one_that_has_nothing_to_do_says_why(cdc_event, cdc_deliver):
    delivery = cdc_deliver(cdc_event("Account", changed={"Do": "skip"}), to=as_told)

    assert (delivery.state, delivery.error) == ("skipped", "nothing to do")


def test_a_retry_waits_until_the_test_says_so(cdc_event, cdc_deliver):
    delivery = cdc_deliver(cdc_event("Account", changed={"Do": "retry"}), to=as_told.name)

    assert (delivery.state, delivery.error) == ("retrying", "not yet")
    cdc_deliver.again()
    delivery.refresh_from_db()
    assert delivery.state == "succeeded"
    assert [call.attempt for call in CALLS] == [1, 2]


def test_a_failure_is_tried_until_it_is_dead(cdc_event, cdc_deliver):
    event = cdc_event("Account", changed={"Do": "fail"})

    delivery = cdc_deliver(event, to=as_told, max_attempts=2)

    assert (delivery.state, delivery.error) == ("retrying", "ValueError: no such account")
    cdc_deliver.again()
    cdc_deliver.again()
    delivery.refresh_from_db()
    assert (delivery.state, len(CALLS)) == ("dead", 2)


@pytest.mark.parametrize("at_once", [True, False])
def test_the_next_change_of_a_record_waits_for_the_one_before_it(cdc_event, cdc_deliver, at_once):
    created = cdc_event("Account", changed={"Do": "retry"})
    updated = cdc_event(
        "Account", "update", record_id=created.metadata.record_id, changed={"Name": "New"}
    )

    if at_once:
        first, second = cdc_deliver([created, updated], to=as_told)
    else:
        first, second = (cdc_deliver(event, to=as_told) for event in (created, updated))

    assert (first.state, second.state) == ("retrying", "blocked")
    cdc_deliver.again()
    second.refresh_from_db()
    assert second.state == "succeeded"
    assert [call.metadata.change_type for call in CALLS] == ["CREATE", "CREATE", "UPDATE"]


def test_a_batch_handler_gets_a_list_and_fails_for_some(cdc_event, cdc_deliver):
    events = [cdc_event("Account", changed={"Do": "fail" if n == 1 else ""}) for n in range(4)]

    deliveries = cdc_deliver(events, to=batch_as_told)

    states = [delivery.state for delivery in deliveries]
    assert states == ["succeeded", "retrying", "succeeded", "succeeded"]
    assert [len(batch) for batch in CALLS] == [3, 1]
    cdc_deliver.again()
    deliveries[1].refresh_from_db()
    assert deliveries[1].state == "dead"


def test_a_gap_event_itself_is_delivered(cdc_event, cdc_deliver):
    assert cdc_deliver(cdc_event("Account", "GAP_UPDATE"), to=as_told).state == "succeeded"
    assert CALLS[0].metadata.change_type == "GAP_UPDATE"


@pytest.mark.parametrize(
    "real", [False, pytest.param(True, marks=pytest.mark.django_db(transaction=True))]
)
class TestAtomic:
    def test_a_failed_attempts_writes_are_undone(self, cdc_event, cdc_deliver, real):
        delivery = cdc_deliver(cdc_event("Account", changed={"Name": "-a", "Twice": True}), write)

        assert delivery.error.startswith("IntegrityError")
        assert (groups(), CALLS) == ([], [])
        assert connection.in_atomic_block is not real

    def test_a_success_keeps_its_writes(self, cdc_event, cdc_deliver, real):
        delivery = cdc_deliver(cdc_event("Account", changed={"Name": "-a"}), to=write)

        assert delivery.state == "succeeded"
        assert (groups(), CALLS) == (["-a"], ["committed"])


def test_a_change_that_the_mapping_does_not_get_has_no_delivery(cdc_event, cdc_deliver):
    event = cdc_event("Account", changed={"Name": "A"})

    assert cdc_deliver(event, to=as_told, condition={"field": "Name", "equals": "B"}) is None
    assert not CALLS


def test_an_echo_is_skipped_with_the_reason(cdc_event, cdc_deliver):
    event = cdc_event("Account", changeOrigin="com/salesforce/api/rest/67.0;client=my-app")

    delivery = cdc_deliver(event, to=as_told, ignore_origins=["my-app"])

    assert delivery.state == "skipped"
    assert delivery.error == "written by client my-app, which this mapping leaves out"


def test_an_unregistered_handler_is_refused(cdc_event, cdc_deliver):
    with pytest.raises(LookupError, match=r"No handler is registered under the name 'crm\.gone'"):
        cdc_deliver(cdc_event("Account"), to="crm.gone")


def test_a_mapping_that_the_console_would_refuse_is_refused(cdc_event, cdc_deliver):
    with pytest.raises(ValidationError, match="Only updates have changed fields"):
        cdc_deliver(cdc_event("Account"), to=as_told, changed_fields=["Name"])
    with pytest.raises(ValueError, match="url is needed"):
        cdc_deliver(cdc_event("Account"), to="handlers.post_to_url", options={})

    assert not HandlerMapping.objects.exists()


def test_event_salesforce_is_the_stand_in(cdc_event, cdc_deliver, cdc_salesforce):
    org = Mock()
    org.Account.get.return_value = {"Name": "Acme"}
    cdc_salesforce(org)

    assert cdc_deliver(cdc_event("Account"), to=call_others).state == "succeeded"
    assert CALLS == [{"Name": "Acme"}]
    assert salesforce_client("prod") is org


def test_without_a_stand_in_a_call_says_what_is_missing(cdc_event, cdc_deliver):
    delivery = cdc_deliver(cdc_event("Account"), to=call_others)

    assert "cdc_salesforce(stand_in)" in delivery.error
    with pytest.raises(RuntimeError, match="without a stand-in"):
        salesforce_client("prod")


def test_a_handler_can_be_called_like_a_function(cdc_event):
    assert as_told(cdc_event("Account", changed={"Do": "skip"})) == Skipped("nothing to do")
