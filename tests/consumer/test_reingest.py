"""Quarantined messages can be retried, and a stream of unreadable answers cannot fill the disk."""

import json

import pytest
from django.utils import timezone

from audit.models import AuditLogEntry, Incident, Quarantined, Throughput
from consumer.ingest.quarantine import ANSWER_HEAD, MOST_ANSWERS
from consumer.ingest.quarantine_retry import StillUnreadable, ingest_again
from consumer.ingest.transaction import ingest, quarantine_answer
from handlers.models import Delivery
from listeners.models import Position
from tests.sample_data import ANN, change, lease_of, make_mapping, received

#: The button on the page of a quarantined message.
RETRY = ">Retry</button>"


@pytest.fixture
def listener(transactional_db, make_listener, broker):
    listener = make_listener()
    make_mapping(listener)
    return listener


def kept(listener, raw: str, **fields) -> Quarantined:
    found = {"digest": raw[-64:], "error": "no decoder", "received_at": timezone.now(), **fields}
    return Quarantined.objects.create(listener=listener, raw=raw, **found)


def test_a_message_that_can_be_read_now_is_recorded_and_delivered(listener):
    lease_of(listener)
    Position.objects.update(replay_id="900")
    row = kept(listener, json.dumps(change(records=["001000000000001AAA", "001000000000002AAA"])))

    assert ingest_again(row, ANN, timezone.now()) == 2

    assert AuditLogEntry.objects.count() == 2
    assert [d.state for d in Delivery.objects.all()] == ["queued", "queued"]
    row.refresh_from_db()
    assert row.ingested_at
    assert Position.objects.get().replay_id == "900"


def test_it_is_read_once_and_a_replay_of_it_adds_nothing(listener):
    message = change()
    row = kept(listener, json.dumps(message))
    ingest_again(row, ANN, timezone.now())

    with pytest.raises(StillUnreadable, match="already read"):
        ingest_again(row, ANN, timezone.now())
    ingest(listener, lease_of(listener), received(message), [])
    assert AuditLogEntry.objects.count() == 1


def test_a_change_that_came_again_by_itself_is_not_new(listener):
    message = change()
    ingest(listener, lease_of(listener), received(message), [])
    assert ingest_again(kept(listener, json.dumps(message)), ANN, timezone.now()) == 0
    assert AuditLogEntry.objects.count() == 1


def test_a_gap_event_from_quarantine_is_completed_like_any_other(listener):
    ingest_again(kept(listener, json.dumps(change("GAP_UPDATE"))), ANN, timezone.now())
    entry = AuditLogEntry.objects.get()
    assert entry.dirty.listener == listener
    assert Incident.objects.get().kind == Incident.Kind.GAP


@pytest.mark.parametrize("raw", ['{"channel": "/data/Chan', '{"data": {}}', "[]", "1"])
def test_what_still_cannot_be_read_stays_with_the_reason_of_now(listener, raw):
    row = kept(listener, raw)
    with pytest.raises(StillUnreadable, match="still cannot be read"):
        ingest_again(row, ANN, timezone.now())
    row.refresh_from_db()
    assert row.ingested_at is None
    assert row.error != "no decoder"
    assert not AuditLogEntry.objects.exists()


def test_a_whole_answer_is_not_read_its_events_came_again(listener):
    row = kept(listener, "<html>", is_answer=True)
    with pytest.raises(StillUnreadable, match="already requested again"):
        ingest_again(row, ANN, timezone.now())


def test_ever_different_pages_are_counted_and_only_the_newest_are_kept(listener, monkeypatch):
    monkeypatch.setattr("consumer.ingest.quarantine.MOST_ANSWERS", 3)
    assert MOST_ANSWERS == 100
    lease = lease_of(listener)
    for number in range(5):
        page = f"<html>{number}" + "x" * ANSWER_HEAD
        quarantine_answer(listener, lease, page, "not JSON", timezone.now())

    kept_ones = [row.raw for row in Quarantined.objects.order_by("id")]
    assert [len(raw) for raw in kept_ones] == [ANSWER_HEAD] * 3
    assert [raw[6] for raw in kept_ones] == ["2", "3", "4"]
    assert Incident.objects.get().count == 5


def test_events_are_kept_whole_however_many(listener, monkeypatch):
    monkeypatch.setattr("consumer.ingest.quarantine.MOST_ANSWERS", 1)
    lease = lease_of(listener)
    for number in range(3):
        bad = {"channel": "/data/ChangeEvents", "data": {"x": f"{number}" + "y" * ANSWER_HEAD}}
        ingest(listener, lease, received(bad), [])
    assert [len(row.raw) > ANSWER_HEAD for row in Quarantined.objects.all()] == [True] * 3


def test_what_salesforce_delivered_is_counted_by_the_minute(listener):
    lease = lease_of(listener)
    message = change(records=["001000000000001AAA", "001000000000002AAA"])
    bad = {"channel": "/data/ChangeEvents", "data": {}}
    ingest(listener, lease, received(message, change()), [])
    ingest(listener, lease, received(message), [])
    ingest(listener, lease, received(bad), [])

    rows = Throughput.objects.all()
    assert sum(row.events for row in rows) == 4
    assert sum(row.entries for row in rows) == 3
    assert all((row.minute.second, row.minute.microsecond) == (0, 0) for row in rows)


def test_the_console_reads_a_message_again(listener, admin_client):
    row = kept(listener, json.dumps(change()))
    page = f"/admin/audit/quarantined/{row.pk}/change/"
    assert RETRY in admin_client.get(page).content.decode()
    asked = {"action": "read_again", "_selected_action": [row.pk], "index": "0"}

    html = admin_client.post("/admin/audit/quarantined/", asked, follow=True).content.decode()

    assert "Messages read: 1. Changes recorded: 1." in html
    assert AuditLogEntry.objects.count() == 1
    assert RETRY not in admin_client.get(page).content.decode()


def test_only_who_may_change_quarantined_messages_reads_them_again(
    listener, client, django_user_model
):
    from django.contrib.auth.models import Permission

    row = kept(listener, json.dumps(change()))
    reader = django_user_model.objects.create_user("reader", is_staff=True)
    reader.user_permissions.add(Permission.objects.get(codename="view_quarantined"))
    client.force_login(reader)
    page = client.get(f"/admin/audit/quarantined/{row.pk}/change/").content.decode()
    assert RETRY not in page
    asked = {"action": "read_again", "_selected_action": [row.pk], "index": "0"}
    assert client.post("/admin/audit/quarantined/", asked).status_code == 403
    assert not AuditLogEntry.objects.exists()


def test_an_error_is_not_noted_on_a_message_that_another_process_has_read(listener):
    row = kept(listener, "no JSON")
    Quarantined.objects.update(ingested_at=timezone.now())

    with pytest.raises(StillUnreadable):
        ingest_again(row, ANN, timezone.now())

    row.refresh_from_db()
    assert row.error == "no decoder"


def test_a_message_that_is_nested_too_deeply_stays_in_quarantine(listener):
    row = kept(listener, "[" * 200_000)

    with pytest.raises(StillUnreadable, match="still cannot be read: maximum recursion depth"):
        ingest_again(row, ANN, timezone.now())

    row.refresh_from_db()
    assert row.ingested_at is None
    assert row.error.startswith("maximum recursion depth")
