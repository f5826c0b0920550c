"""Records of gap events that cannot be read at first are retried, and hold up nothing else."""

from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from audit.models import DirtyRecord, Incident
from consumer import relay
from consumer.gaps import plan
from consumer.gaps.complete import complete
from consumer.tasks import complete_gaps
from handlers.broker import BrokerUnavailable, queue_length
from listeners import crash_points
from tests.consumer.gapped import composites, deliveries, entries
from tests.consumer.hearing import begin_now, hear

pytestmark = [
    pytest.mark.slow,
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("broker"),
]


def test_after_a_failure_fewer_are_read_at_once(org, heard):
    ids = org.create("Contact", *[{"Name": {"LastName": f"Ito {n}"}} for n in range(210)])
    begin_now(org, heard)
    org.gap("GAP_UPDATE", "Contact", ids)
    hear(org, heard)
    DirtyRecord.objects.update(attempts=1)

    assert complete(heard.pk) == 210

    assert len(composites(org)) == 2


def test_what_takes_too_long_is_left_to_another_task(org, heard, account):
    [contact] = org.create("Contact", Name={"LastName": "Ito"})
    begin_now(org, heard)
    org.gap("GAP_UPDATE", "Account", account)
    org.gap("GAP_UPDATE", "Contact", contact)
    hear(org, heard)

    assert complete(heard.pk, budget=0) == 1

    left = DirtyRecord.objects.get()
    assert (left.entity_name, left.claimed_until, left.attempts) == ("Contact", None, 0)


def test_a_record_that_salesforce_refuses_by_itself_holds_up_no_other(org, heard, account):
    header = {"entityName": "Account", "changeType": "GAP_UPDATE"}
    org.raw({**header, "recordIds": ["001-no-id", account]}, complete=True)
    hear(org, heard)

    assert complete(heard.pk) == 1

    dirty = DirtyRecord.objects.select_related("entry").get()
    assert (dirty.entry.record_id, dirty.attempts) == ("001-no-id", 1)
    assert "MALFORMED_ID" in dirty.error
    incident = Incident.objects.get()
    assert incident.is_open
    assert "MALFORMED_ID" in incident.action


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        ({"kind": "http_status", "target": "rest", "status": 503}, "HTTP 503"),
        ({"kind": "close", "target": "rest"}, "closed the connection"),
        ({"kind": "refuse_login"}, "authentication failure"),
    ],
)
def test_what_cannot_be_read_is_tried_again_later(org, heard, account, fault, why):
    org.gap("GAP_UPDATE", "Account", account)
    hear(org, heard)
    if fault["kind"] == "refuse_login":
        org.fault("revoke_tokens")
    org.fault(**fault, times=None)

    ended = complete(heard.pk)

    org.clear_faults()
    dirty, incident = DirtyRecord.objects.get(), Incident.objects.get(kind="gap")
    assert (ended, dirty.attempts, dirty.claimed_until) == (0, 1, None)
    assert dirty.due_at > incident.opened_at
    assert why in dirty.error
    assert why in incident.action
    assert [one.state for one in deliveries()] == ["blocked"]
    again = dirty.due_at + timedelta(milliseconds=1)
    heard.connection.save()  # an operator corrects the login
    assert plan.claim(heard.pk, again) == 1
    assert complete(heard.pk) == 1
    assert not Incident.objects.get(kind="gap").is_open


def test_what_the_database_refuses_holds_up_no_other(org, heard, account):
    [strange] = org.create("Account", Name="a NUL \0 in it")
    begin_now(org, heard)
    org.gap("GAP_UPDATE", "Account", [account, strange])
    hear(org, heard)

    ended = complete(heard.pk)

    if connection.vendor == "sqlite":  # it takes anything
        assert ended == 2
        return
    assert ended == 1
    why = DirtyRecord.objects.get().error
    assert "the database refused what was read" in why
    assert "a NUL" not in why, "an error must not contain values"
    assert {one.record_id for one in entries(source="gap")} == {account}


def test_a_worker_that_is_overtaken_during_its_read_adds_nothing_twice(
    org, heard, account, monkeypatch
):
    def overtaken(milestone: str) -> None:
        if milestone == "read":
            monkeypatch.undo()
            DirtyRecord.objects.update(claimed_until="2020-01-01T00:00Z")
            assert complete(heard.pk) == 1

    org.gap("GAP_UPDATE", "Account", account)
    hear(org, heard)
    monkeypatch.setattr(crash_points, "reach", overtaken)

    assert complete(heard.pk) == 0

    assert len(entries(source="gap")) == 1
    assert [one.state for one in deliveries()] == ["queued"]


def test_what_is_not_due_is_left_alone(org, heard, account):
    org.gap("GAP_UPDATE", "Account", account)
    hear(org, heard)
    DirtyRecord.objects.update(due_at=timezone.now() + timedelta(hours=1))

    assert complete(heard.pk) == 0


def test_an_entity_that_may_not_be_read_holds_up_no_other(org, heard, account):
    org.raw(
        {
            "entityName": "Secret__c",
            "changeType": "GAP_UPDATE",
            "recordIds": ["a99000000000001AAA"],
        },
        complete=True,
    )
    org.gap("GAP_UPDATE", "Account", account)
    hear(org, heard)

    assert complete(heard.pk) == 1

    assert DirtyRecord.objects.get().entity_name == "Secret__c"
    assert Incident.objects.get(key="Secret__c").is_open
    assert not Incident.objects.get(key="Account").is_open


def test_the_relay_asks_a_worker_once(org, heard, account, broker):
    org.gap("GAP_UPDATE", "Account", account)
    hear(org, heard)
    now = timezone.now()

    for _ in range(3):
        relay.sweep(now)

    assert queue_length("cdc") == 1
    relay.sweep(now + timedelta(minutes=6))  # the message was lost
    assert queue_length("cdc") == 2


def test_a_broker_that_is_away_is_asked_again(org, heard, account, broker):
    org.gap("GAP_UPDATE", "Account", account)
    hear(org, heard)
    broker.stop()
    try:
        with pytest.raises(BrokerUnavailable):
            plan.start_due(timezone.now())
    finally:
        broker.start()

    plan.start_due(timezone.now())

    assert queue_length("cdc") == 1


def test_a_message_that_comes_late_completes_what_was_asked_for_since(org, heard, account):
    org.gap("GAP_UPDATE", "Account", account)
    hear(org, heard)
    plan.start_due(timezone.now())
    plan.start_due(timezone.now() + 2 * plan.CLAIM)

    complete_gaps(listener_id=heard.pk)

    assert not DirtyRecord.objects.exists()
