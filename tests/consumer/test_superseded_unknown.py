"""When the audit log does not know a field's present value, the record is read from Salesforce."""

from datetime import timedelta

import pytest
from django.utils import timezone

from consumer.gaps.complete import complete
from handlers.models import Delivery, HandlerMapping
from handlers.models.delivery_queryset import SENDING
from handlers.outbox import publish
from handlers.redelivery.request import RedeliveryRequest
from listeners.models import Listener
from tests.consumer.gapped import composites
from tests.consumer.hearing import hear
from tests.handlers.test_dispatch import messages_in
from tests.redelivering import redeliver
from tests.running import run_delivery
from tests.sample_data import ANN
from tests.sample_handlers import read_journal

pytestmark = [
    pytest.mark.slow,
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("broker", "journal"),
]

RECORD_ONLY = Listener.GapPolicy.RECORD


@pytest.fixture
def copied(heard):
    HandlerMapping.objects.update(handler="tests.note_fields", max_attempts=1)
    return heard


def run_all():
    while ready := Delivery.objects.filter(state__in=("ready", "queued")).order_by("id").first():
        run_delivery(ready.pk)


def heard_and_run(org, listener):
    hear(org, listener)
    run_all()


@pytest.fixture
def dead(org, copied, account):
    """The delivery of an update that failed for good."""
    Listener.objects.update(gap_policy=RECORD_ONLY)
    copied.refresh_from_db()
    org.update("Account", account, Phone="ext17", Industry="Energy", Description="Old " * 500)
    hear(org, copied)
    Delivery.objects.update(state="dead", attempts=1)
    return Delivery.objects.get()


def again(delivery):
    redeliver(RedeliveryRequest(ANN, Delivery.objects.filter(pk=delivery.pk)), timezone.now())
    run_all()
    delivery.refresh_from_db()
    return read_journal()[-1] if read_journal() else None


def test_after_a_gap_event(org, copied, account, dead):
    org.gap("GAP_UPDATE", "Account", account, apply=True, Phone="42", Industry=None)
    heard_and_run(org, copied)

    line = again(dead)

    assert (line["data"]["Phone"], line["data"]["Industry"]) == ("42", None)
    assert {"Phone", "Industry"} <= set(line["superseded"])
    assert "Website" not in line["data"]
    assert len(composites(org)) == 1


def test_a_record_that_was_deleted_after_the_gap_event_is_not_read(org, copied, account, dead):
    org.gap("GAP_UPDATE", "Account", account, apply=True, Phone="42")
    org.delete("Account", account)
    heard_and_run(org, copied)

    again(dead)

    assert dead.state == "skipped"
    assert not composites(org)


def test_what_was_changed_after_the_gap_event_is_known(org, copied, account, dead):
    org.gap("GAP_UPDATE", "Account", account, apply=True, Phone="42")
    org.update("Account", account, Phone="43", Industry="Banking", Description="New")
    heard_and_run(org, copied)

    line = again(dead)

    assert (line["data"]["Phone"], line["data"]["Industry"]) == ("43", "Banking")
    assert composites(org) == []


def test_a_gap_event_that_was_completed_is_known(org, copied, account, dead):
    Listener.objects.update(gap_policy=Listener.GapPolicy.FETCH)
    copied.refresh_from_db()
    org.gap("GAP_UPDATE", "Account", account, apply=True, Phone="42")
    hear(org, copied)
    complete(copied.pk)
    run_all()
    org.forget_requests()

    line = again(dead)

    assert (line["data"]["Phone"], line["data"]["Industry"]) == ("42", "Energy")
    assert org.api_requests() == []


def test_what_came_before_a_completed_gap_event_is_in_what_was_read(org, copied, account, dead):
    """This holds although the gap event's entry is older than that of the reading."""
    Listener.objects.update(gap_policy=Listener.GapPolicy.FETCH)
    copied.refresh_from_db()
    org.gap("GAP_UPDATE", "Account", account, apply=True, Phone="42")
    org.delete("Account", account)
    org.undelete("Account", account)
    hear(org, copied)
    complete(copied.pk)
    run_all()
    restored = Delivery.objects.get(entry__change_type="UNDELETE")

    again(restored)

    assert restored.state in ("succeeded", "skipped")
    assert "deleted since" not in restored.error


def test_a_text_that_came_as_a_difference_is_read(org, copied, account, dead):
    change = {"op": "update", "entity": "Account", "record_ids": [account]}
    fields = {"Description": "Old " * 499 + "New"}
    org.change({**change, "fields": fields, "diff_fields": ["Description"]})
    heard_and_run(org, copied)

    line = again(dead)

    assert line["data"]["Description"] == fields["Description"]
    assert line["data"]["Phone"] == "ext17"
    assert "Description" in line["superseded"]


def test_a_wildcard_has_every_field_read(org, copied, account, dead):
    org.wildcard("Account")
    heard_and_run(org, copied)

    line = again(dead)

    assert line["data"]["Phone"] == "ext17"
    assert len(composites(org)) == 1


def test_a_record_that_is_not_found_any_more_is_skipped(org, copied, account, dead):
    org.gap("GAP_UPDATE", "Account", account, apply=True, Phone="42")
    heard_and_run(org, copied)
    org.delete("Account", account)
    before = len(read_journal())

    again(dead)

    assert (dead.state, dead.error) == (
        "skipped",
        "the record no longer exists in Salesforce",
    )
    assert len(read_journal()) == before


def test_what_cannot_be_read_fails_the_attempt_and_is_tried_again(
    org, copied, account, dead, settings
):
    settings.CDC_RETRY_CAP_SECONDS = 0.0
    HandlerMapping.objects.update(max_attempts=5)
    org.gap("GAP_UPDATE", "Account", account, apply=True, Phone="42")
    heard_and_run(org, copied)
    org.fault("http_status", target="rest", status=503, times=1)

    again(dead)

    assert dead.state == "retrying"
    assert dead.error.startswith(
        f"a later change of Account {account} was recorded without its values, and the record "
        "could not be read from Salesforce: "
    )
    org.clear_faults()
    run_delivery(dead.pk)
    dead.refresh_from_db()
    assert dead.state == "succeeded"
    assert read_journal()[-1]["data"]["Phone"] == "42"


def test_a_delete_that_a_gap_event_undid_is_skipped(org, copied, account):
    Listener.objects.update(gap_policy=RECORD_ONLY)
    copied.refresh_from_db()
    org.delete("Account", account)
    org.gap("GAP_UNDELETE", "Account", account, apply=True)
    hear(org, copied)
    deletion = Delivery.objects.get(entry__change_type="DELETE")
    Delivery.objects.update(state="dead", attempts=1)

    again(deletion)

    assert deletion.state == "skipped"
    assert deletion.error.startswith("the record has since been restored (entry ")


def test_a_task_elsewhere_whose_record_cannot_be_read_is_tried_again_after_a_while(
    org, copied, account, dead
):
    """The relay looks for ready deliveries each second, and must not query Salesforce as often."""
    HandlerMapping.objects.update(handler="", task="shop.sync", track=False, queue="shop")
    org.gap("GAP_UPDATE", "Account", account, apply=True, Phone="42")
    hear(org, copied)
    org.fault("http_status", target="rest", status=503, times=1)
    redeliver(RedeliveryRequest(ANN, Delivery.objects.filter(pk=dead.pk)), timezone.now())
    publish.publish([dead.pk], timezone.now())
    dead.refresh_from_db()
    assert dead.state == "ready"
    org.clear_faults()
    org.forget_requests()

    publish.publish([dead.pk], timezone.now() + timedelta(seconds=1))
    assert org.api_requests() == []

    publish.publish([dead.pk], timezone.now() + SENDING + timedelta(seconds=1))
    [event] = [message["kwargs"]["event"] for message in messages_in("shop")]
    assert event["changedData"]["Phone"] == "42"
