"""What a handler calls, and who calls it: tasks that it sends, Salesforce, the test itself."""

import pytest

from handlers import Skipped, salesforce_client
from pytest_cdc.salesforce import NoOrg
from tests.pytest_cdc.handlers import CALLS, as_told, call_back, send


def test_what_a_handler_sends_is_kept_and_not_run(cdc_event, cdc_deliver):
    event = cdc_event("Account")

    assert cdc_deliver(event, to=send).succeeded

    [message] = cdc_deliver.sent
    assert (message.task, message.queue) == ("tests.elsewhere", "cdc")
    assert message.kwargs == {"record": event.metadata.record_id}


def test_event_salesforce_is_what_the_test_says(cdc_event, cdc_deliver, cdc_salesforce):
    class Account:
        @staticmethod
        def get(record_id: str) -> dict[str, str]:
            return {"Id": record_id}

    class Org:
        pass

    Org.Account = Account
    cdc_salesforce(Org)
    event = cdc_event("Account")

    assert cdc_deliver(event, to=call_back).succeeded
    assert [{"Id": event.metadata.record_id}] == CALLS


def test_without_a_word_of_it_a_call_back_says_what_is_missing(cdc_event, cdc_deliver):
    event = cdc_event("Account")

    assert "cdc_salesforce(stand_in)" in cdc_deliver(event, to=call_back).error
    with pytest.raises(NoOrg):
        call_back(event)


def test_an_event_can_be_given_to_the_function_itself(cdc_event):
    event = cdc_event("Account", changed={"Do": "skip"})

    assert as_told(event) == Skipped("nothing to do")


def test_salesforce_client_is_what_the_test_says(cdc_event, cdc_salesforce):
    org = object()
    cdc_salesforce(org)

    assert salesforce_client("prod") is org


def test_without_a_word_of_it_salesforce_client_says_what_is_missing(cdc_event, cdc_salesforce):
    with pytest.raises(NoOrg, match=r"salesforce_client\('prod'\): a test has no org to call"):
        salesforce_client("prod")
