"""One transaction records entries, deliveries and the position."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from audit.models import AuditLogEntry, Incident, Quarantined
from consumer.ingest.position import CommitsLost, note_unrecorded
from consumer.ingest.transaction import Message, ingest
from handlers.models import Delivery
from listeners.leases import LeaseLost
from listeners.models import Position
from tests.sample_data import change, lease_of, make_mapping, received

pytestmark = pytest.mark.django_db(transaction=True)


def test_it_records_one_entry_for_each_record_with_json_types_kept(listener):
    data = {
        "Name": "Acme",
        "NumberOfEmployees": 12,
        "AnnualRevenue": 1.5,
        "Phone": None,
        "IsActive__c": True,
        "BillingAddress": {"City": "Zürich", "Street": None},
    }
    message = change("UPDATE", ["001A", "001B"], data=data, changedFields=["Name"])

    result = ingest(listener, lease_of(listener), received(message), [])

    entries = AuditLogEntry.objects.order_by("id")
    assert result.entries == 2
    assert [entry.record_id for entry in entries] == ["001A", "001B"]
    assert entries[0].changed_data == data
    assert entries[0].changed_fields == ["Name"]
    assert entries[0].nulled_fields is None
    assert entries[1].record_ids() == ("001A", "001B")


def test_it_moves_the_position_to_the_last_message(listener):
    ingest(listener, lease_of(listener), received(change(replay=5), change(replay=9)), [])

    assert Position.objects.get(listener=listener).replay_id == "9"


def test_the_position_knows_the_newest_commit_that_is_recorded(listener):
    newest, older = 1_764_000_009_000, 1_764_000_001_000
    lease = lease_of(listener)
    messages = received(change(commitTimestamp=newest), change(commitTimestamp=older))

    result = ingest(listener, lease, messages, [])

    assert Position.objects.get().last_event_at.timestamp() * 1000 == newest
    assert result.first_commit_timestamp == newest  # of the first change


@pytest.mark.parametrize("message", [change(), {"channel": "/data/Nothing"}])
def test_recording_ends_a_standstill_of_its_own_listener_alone(make_listener, message):
    listener, other = make_listener(), make_listener()
    leases = [lease_of(listener), lease_of(other)]
    note_unrecorded(leases[0], 30)
    assert Position.objects.get(listener=other).unrecorded_since is None
    note_unrecorded(leases[1], 30)
    since = {one.listener_id: one.unrecorded_since for one in Position.objects.all()}
    assert 25 < (timezone.now() - since[listener.pk]).total_seconds() < 300

    note_unrecorded(leases[0], 90)  # a standstill keeps its beginning
    ingest(listener, leases[0], received(message), [])

    assert Position.objects.get(listener=listener).unrecorded_since is None
    neighbour = Position.objects.get(listener=other)
    assert (neighbour.unrecorded_since, neighbour.replay_id) == (since[other.pk], "")


def test_a_batch_in_parts_keeps_the_commit_of_its_first_change(listener):
    good, bad, last = change(), {"channel": "/data/Nothing"}, change()

    result = ingest(listener, lease_of(listener), received(good, bad, last), [])

    header = good["data"]["payload"]["ChangeEventHeader"]
    assert result.first_commit_timestamp == header["commitTimestamp"]
    assert (result.entries, result.quarantined) == (2, 1)


def test_the_deliveries_of_all_parts_of_a_batch_are_published(listener):
    bad = {"channel": "/data/Nothing"}
    messages = received(change(records=["001A"]), bad, change(records=["001B"]))

    result = ingest(listener, lease_of(listener), messages, [make_mapping(listener)])

    published = sorted(result.to_publish.ids)
    assert published == sorted(Delivery.objects.values_list("pk", flat=True))
    assert len(published) == 2


def test_a_replayed_event_adds_nothing(listener):
    lease = lease_of(listener)
    message, other = change(replay=5), change(replay=6)
    mapping = make_mapping(listener)
    ingest(listener, lease, received(message), [mapping])

    result = ingest(listener, lease, received(message, message, other), [mapping])

    assert (result.entries, result.repeated) == (1, 2)
    assert AuditLogEntry.objects.count() == 2
    assert Delivery.objects.count() == 2


def test_the_same_change_seen_by_two_listeners_is_recorded_for_each(make_listener):
    message = change()

    for listener in (make_listener(), make_listener()):
        ingest(listener, lease_of(listener), received(message), [])

    assert AuditLogEntry.objects.count() == 2


def test_an_old_lease_writes_nothing(listener):
    old = lease_of(listener)
    Position.objects.update(lease_until="2020-01-01T00:00Z")
    assert lease_of(listener, "another process")

    with pytest.raises(LeaseLost):
        ingest(listener, old, received(change(replay=7)), [make_mapping(listener)])

    assert AuditLogEntry.objects.count() == 0
    assert Position.objects.get().replay_id == ""


def test_nothing_is_added_behind_a_position_that_is_not_where_it_was_left(listener):
    lease = lease_of(listener)
    ingest(listener, lease, received(change(replay=5)), [], expected_position="")
    broken = {"channel": "/data/ChangeEvents", "data": {"event": {"replayId": 8}}}

    for batch in (received(change(replay=8)), received(broken)):
        with pytest.raises(CommitsLost):
            ingest(listener, lease, batch, [], expected_position="7")

    assert (AuditLogEntry.objects.count(), Quarantined.objects.count()) == (1, 0)


def test_a_batch_that_was_committed_without_an_answer_is_no_loss(listener):
    lease = lease_of(listener)
    batch = received(change(replay=5), change(replay=6))
    ingest(listener, lease, batch, [], expected_position="")

    again = ingest(listener, lease, batch, [], expected_position="")

    assert (again.entries, again.repeated) == (0, 2)


def test_each_half_of_a_batch_follows_the_one_before(listener):
    broken = change(replay=2)
    del broken["data"]["payload"]["ChangeEventHeader"]
    batch = received(change(replay=1), broken, change(replay=3))

    result = ingest(listener, lease_of(listener), batch, [], expected_position="")

    assert (result.entries, result.quarantined) == (2, 1)


@pytest.mark.skipif(connection.vendor != "sqlite", reason="PostgreSQL decides by how much there is")
def test_what_was_read_is_looked_up_without_looking_through_all_changes(listener):
    with CaptureQueriesContext(connection) as queries:
        ingest(listener, lease_of(listener), received(change()), [make_mapping(listener)])
    [lookup] = [query["sql"] for query in queries if '"as_of" IS NOT NULL' in query["sql"]]

    with connection.cursor() as cursor:
        plan = str(cursor.execute(f"EXPLAIN QUERY PLAN {lookup}").fetchall())

    assert "entry_read (listener_id=? AND record_id=?)" in plan


def test_a_message_without_a_header_is_quarantined_and_its_neighbours_are_recorded(listener):
    broken = change(replay=2)
    del broken["data"]["payload"]["ChangeEventHeader"]

    result = ingest(
        listener, lease_of(listener), received(change(replay=1), broken, change(replay=3)), []
    )

    kept = Quarantined.objects.get()
    assert (result.entries, result.quarantined) == (2, 1)
    assert "ChangeEventHeader is missing" in kept.error
    assert kept.replay_id == "2"
    assert Position.objects.get().replay_id == "3"
    assert Incident.objects.get().kind == Incident.Kind.UNDECODABLE


def test_a_message_that_the_database_refuses_is_quarantined(listener):
    refused = change(data={"Name": "a lone \ud800 surrogate"}, changeOrigin="\ud800")

    result = ingest(listener, lease_of(listener), received(change(), refused, change()), [])

    assert (result.entries, result.quarantined) == (2, 1)
    assert "\\ud800" in Quarantined.objects.get().raw


@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite stores a NUL")
def test_a_value_that_postgresql_does_not_store_is_quarantined(listener):
    refused = change(data={"Name": "a NUL \0 in a name"})

    result = ingest(listener, lease_of(listener), received(change(), refused, change()), [])

    assert (result.entries, result.quarantined) == (2, 1)
    assert Quarantined.objects.get().error.startswith("the database refused it: ")


def test_a_quarantined_message_that_comes_again_is_kept_once(listener):
    lease = lease_of(listener)
    broken = {"channel": "/data/ChangeEvents", "data": {"event": {"replayId": 4}}}

    for _ in range(2):
        ingest(listener, lease, received(broken), [])

    assert Quarantined.objects.count() == 1
    assert Incident.objects.get().count == 1


@pytest.mark.parametrize(
    ("message", "kind", "key"),
    [
        (change("GAP_UPDATE", ["001A", "001B"]), "gap", "Account"),
        (change("GAP_OVERFLOW", ["000000000000000AAA"]), "overflow", "Account"),
        (change("UPDATE", ["001*"]), "wildcard", "Account"),
        (change("MERGE"), "unknown_change_type", "Account MERGE"),
    ],
)
def test_what_has_no_data_is_recorded_goes_to_no_handler_and_opens_an_incident(
    listener, message, kind, key
):
    mappings = [make_mapping(listener, on) for on in ("create", "update", "delete", "restore")]

    result = ingest(listener, lease_of(listener), received(message), mappings)

    incident = Incident.objects.get()
    assert result.entries == len(message["data"]["payload"]["ChangeEventHeader"]["recordIds"])
    assert result.to_publish.ids == []
    assert (incident.kind, incident.key, incident.count) == (kind, key, result.entries)


def test_a_second_gap_counts_up_the_open_incident_and_widens_its_window(listener):
    lease = lease_of(listener)
    ingest(listener, lease, received(change("GAP_CREATE", commitTimestamp=2000)), [])

    ingest(listener, lease, received(change("GAP_DELETE", commitTimestamp=1000)), [])

    incident = Incident.objects.get()
    assert incident.count == 2
    assert incident.window_start.timestamp() == 1
    assert incident.window_end.timestamp() == 2


def test_changes_of_one_record_wait_for_each_other(listener):
    mapping = make_mapping(listener, "update")
    updates = [change("UPDATE", ["001A"]) for _ in range(3)]

    result = ingest(
        listener, lease_of(listener), received(*updates, change("UPDATE", ["001B"])), [mapping]
    )

    states = list(Delivery.objects.order_by("id").values_list("state", flat=True))
    assert states == ["queued", "blocked", "blocked", "queued"]
    assert len(result.to_publish.ids) == 2


def test_an_unordered_mapping_makes_everything_ready(listener):
    mapping = make_mapping(listener, "update", ordering="unordered")

    result = ingest(
        listener, lease_of(listener), received(*[change("UPDATE") for _ in range(3)]), [mapping]
    )

    assert len(result.to_publish.ids) == 3


def test_what_was_committed_before_the_listener_began_moves_the_position_alone(listener):
    history = Message(change(replay=5), timezone.now(), is_before_start=True)

    result = ingest(listener, lease_of(listener), [history], [make_mapping(listener)])

    assert (result.entries, AuditLogEntry.objects.count()) == (0, 0)
    assert Position.objects.get().replay_id == "5"


@pytest.mark.parametrize("replay", ["\ud800x", "a\0b", "9" * 256, 10**300])
def test_a_replay_id_that_cannot_be_stored_is_quarantined_and_moves_nothing(listener, replay):
    lease = lease_of(listener)

    result = ingest(listener, lease, received(change(replay=replay), change(replay=8)), [])

    assert (result.entries, result.quarantined) == (1, 1)
    assert Position.objects.get().replay_id == "8"


def test_a_message_whose_very_error_cannot_be_stored_is_quarantined(listener):
    lease = lease_of(listener)

    result = ingest(
        listener, lease, received(change(data={"\ud800": float("inf")}, replay=7), change()), []
    )

    assert (result.entries, result.quarantined) == (1, 1)
