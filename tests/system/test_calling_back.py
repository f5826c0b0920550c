"""A handler reads and writes Salesforce through its event, with the connection's token."""

import pytest

from handlers.models import Delivery, HandlerMapping
from handlers.sdk.events import EventData
from listeners.models import Connection
from tests.sample_data import listener_of, make_mapping
from tests.sample_handlers import read_journal
from tests.servers import wait_for


def ended() -> list[str]:
    return sorted(Delivery.objects.values_list("state", flat=True))


def test_a_handler_reads_and_writes_and_does_not_hear_itself(processes, simulator, org_listener):
    HandlerMapping.objects.filter(on="create").update(handler="tests.call_back")
    HandlerMapping.objects.filter(on="update").update(ignore_origins=["salesforce-cdc"])
    processes.worker()
    processes.listener()

    simulator.create("Account", Name="Acme")

    wait_for(lambda: ended() == ["skipped", "succeeded"], what="the echo")
    assert [line["name"] for line in read_journal()] == ["Acme"]
    echo = Delivery.objects.get(state="skipped")
    assert echo.error == "written by client salesforce-cdc, which this mapping leaves out"
    assert echo.entry.changed_data["Description"] == "Acme"
    assert len(simulator.state()["token_requests"]) == 1, "the worker used the listener's token"


@pytest.mark.parametrize("auth", ["soap", "password", "client_credentials"])
def test_a_refused_token_is_renewed_for_the_handler(transactional_db, simulator, auth):
    org_listener = listener_of(simulator, auth=auth)
    Connection.objects.update(login_url=simulator.url)
    org_listener.refresh_from_db()
    [account] = simulator.create("Account", Name="Acme")
    event = event_of(org_listener, account)
    assert event.salesforce.Account.get(account)["Name"] == "Acme"

    simulator.fault("revoke_tokens")

    assert event.salesforce.Account.get(account)["Name"] == "Acme"
    assert event.salesforce.query("SELECT Id FROM Account")["records"][0]["Id"] == account
    assert len(simulator.state()["token_requests"]) == 2


def test_an_atomic_handler_may_call_back_too(processes, simulator, org_listener):
    HandlerMapping.objects.filter(on="create").update(handler="tests.call_back_atomic")
    processes.worker()
    processes.listener()

    simulator.create("Account", Name="Acme")

    wait_for(lambda: ended() == ["succeeded"], what="the delivery")


def test_an_event_of_no_listener_says_so():
    event = EventData(1, "l", "5", {}, None)

    with pytest.raises(RuntimeError, match="no Salesforce org to call"):
        _ = event.salesforce


def event_of(listener, record_id: str) -> EventData:
    from audit.models import AuditLogEntry
    from consumer.ingest.transaction import ingest
    from tests.sample_data import change, lease_of, received

    mapping = make_mapping(listener, "update")
    ingest(listener, lease_of(listener), received(change(records=[record_id])), [mapping])
    return EventData.of(AuditLogEntry.objects.select_related("listener").get())
