"""The examples of docs/handlers.md work as the page says."""

import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from audit.models import AuditLogEntry
from handlers import EventData, Retry, Skipped
from handlers.cdc_handlers import _signed
from tests.consumer.hearing import begin_now, hear
from tests.docs.examples import DOCS, defined
from tests.sample_data import connection_to, listener_of
from tests.simulator.process import SimulatorProcess


@pytest.fixture
def page(crm):
    """The names that the page's examples define."""
    return defined(DOCS / "handlers.md")


@pytest.fixture
def accounts(crm):
    return crm.Account.objects.order_by("id")


def test_an_update_without_a_name_is_skipped(page, accounts, cdc_event, cdc_deliver):
    created = cdc_event("Account", changed={"Name": "Acme"})
    record_id = created.metadata.record_id
    updated = cdc_event("Account", "update", record_id=record_id, changed={"Phone": "1"})

    first, second = cdc_deliver([created, updated], to=page["sync_account"])

    assert (first.state, second.state) == ("succeeded", "skipped")
    assert list(accounts.values_list("salesforce_id", "name")) == [(record_id, "Acme")]


def test_a_busy_service_is_called_again_after_a_minute(page, cdc_event, cdc_deliver, monkeypatch):
    answers = [429, 429, 200]

    class Busy(BaseHTTPRequestHandler):
        def do_POST(self):
            self.send_response(answers.pop(0))
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Busy) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        monkeypatch.setenv("SALES_URL", f"http://127.0.0.1:{server.server_port}")
        try:
            event = cdc_event("Account")
            with pytest.raises(Retry) as refused:
                page["notify_sales"](event)
            assert refused.value.after == 60
            delivery = cdc_deliver(event, to=page["notify_sales"])
            assert delivery.state == "retrying"
            cdc_deliver.again()
            delivery.refresh_from_db()
            assert delivery.state == "succeeded"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def running_org():
    with SimulatorProcess("--connect-timeout", "5") as org:
        yield org


def contact_created(org, **fields) -> EventData:
    """Return the event of a new contact, from a listener that began after its account was
    created."""
    listener = listener_of(org)
    begin_now(org, listener)
    org.create("Contact", Name={"LastName": "Ann"}, **fields)
    hear(org, listener)
    return EventData.of(AuditLogEntry.objects.select_related("listener").get())


@pytest.mark.django_db(transaction=True)
def test_an_account_older_than_the_listener_is_read(page, crm, running_org, broker):
    [account_id] = running_org.create("Account", Name="Acme")
    event = contact_created(running_org, AccountId=account_id)

    assert page["add_contact"](event) is None

    assert crm.Account.objects.get().name == "Acme"
    assert crm.Contact.objects.get().account_id == account_id


@pytest.mark.django_db(transaction=True)
def test_a_contact_of_a_deleted_account_is_skipped(page, crm, running_org, broker):
    [account_id] = running_org.create("Account", Name="Acme")
    event = contact_created(running_org, AccountId=account_id)
    running_org.delete("Account", account_id)

    assert page["add_contact"](event) == Skipped("its account was deleted")
    assert not crm.Contact.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_task_without_an_event_has_the_client_of_a_connection(page, running_org):
    connection_to(running_org.url, running_org.credentials, name="prod")
    running_org.create("Account", Name="Acme", Type="Customer")

    assert page["count_customers"].apply().get() == 1


def test_the_bulk_upsert_writes_what_changed_and_nothing_else(
    page, accounts, cdc_event, cdc_deliver
):
    created = [{"Name": "A", "Phone": "1"}, {"Name": "B", "Phone": "2"}, {"Name": "C"}]
    changed = [{"Phone": "3"}, {"Phone": None}, {"Name": "D"}]
    handler = page["sync_accounts"]

    events = [cdc_event("Account", changed=data) for data in created]
    deliveries = cdc_deliver(events, to=handler)
    for event, data in zip(events, changed, strict=True):
        record_id = event.metadata.record_id
        update = cdc_event("Account", "update", record_id=record_id, changed=data)
        handler([update])
        once = list(accounts.values())
        handler([update])
        assert list(accounts.values()) == once

    assert {delivery.state for delivery in deliveries} == {"succeeded"}
    assert list(accounts.values_list("name", "phone")) == [("A", "3"), ("B", ""), ("D", "")]


def test_a_contact_that_is_wrong_takes_no_other_along(page, crm, cdc_event, cdc_deliver):
    emails = ["ann@example.com", "nobody", "bob@example.com"]
    events = [cdc_event("Contact", changed={"Email": email}) for email in emails]

    states = [one.state for one in cdc_deliver(events, to=page["add_contacts"])]

    assert states == ["succeeded", "retrying", "succeeded"]
    assert {one.email for one in crm.Contact.objects.all()} == {
        "ann@example.com",
        "bob@example.com",
    }


def test_the_check_of_a_signature_takes_ours_and_no_other(page, cdc_event, monkeypatch):
    monkeypatch.setenv("SECRET", "the secret")
    event = cdc_event("Account")
    object.__setattr__(event, "options", {"secret": "env:SECRET"})
    headers = _signed(event, b"{}")
    old = {**headers, "Cdc-Timestamp": str(int(time.time()) - 3600)}

    is_genuine = page["is_genuine"]

    assert is_genuine(headers, b"{}", b"the secret")
    assert not is_genuine(headers, b"[]", b"the secret")
    assert not is_genuine(headers, b"{}", b"another")
    assert not is_genuine(old, b"{}", b"the secret")


def test_an_account_without_a_rating_gets_one(page, cdc_event, cdc_deliver, cdc_salesforce):
    ratings = {}

    class Account:
        get = staticmethod(lambda _: {"Rating": None})
        update = staticmethod(ratings.__setitem__)

    class Org:
        pass

    Org.Account = Account
    cdc_salesforce(Org)
    event = cdc_event("Account")

    assert cdc_deliver(event, to=page["rate_account"]).state == "succeeded"
    assert ratings == {event.metadata.record_id: {"Rating": "Hot"}}
