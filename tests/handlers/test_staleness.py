"""A change of the stream that an earlier REST read of its record already contains is skipped."""

import pytest
from django.utils import timezone

from audit.models import AuditLogEntry
from consumer.ingest.transaction import ingest
from handlers.models import Delivery
from handlers.ordering.read_records import Deletion, Reading, stale
from tests.sample_data import change, lease_of, make_deleted_mapping, make_mapping, received

RECORD = "001000000000001AAA"
#: Modified at second 10, read at second 20.
AS_OF, READ_AT = 10_000, 20_000


def ms(seconds: float) -> int:
    return round(seconds * 1000)


def stamp(seconds: int) -> dict[str, str]:
    return {"LastModifiedDate": f"1970-01-01T00:00:{seconds:02}.000Z"}


def an_entry(change_type="UPDATE", committed=0.0, data=None, **fields):
    return AuditLogEntry(
        change_type=change_type,
        commit_timestamp=ms(committed),
        changed_data=data or {},
        **{"record_id": RECORD, **fields},
    )


@pytest.mark.parametrize(
    ("change_type", "modified", "committed", "held"),
    [
        # by LastModifiedDate, independent of the commit
        ("UPDATE", 9, 9.5, True),
        ("UPDATE", 9, 25, True),
        ("UPDATE", 11, 11.5, False),
        # in the same second: only changes certainly committed before the reading
        ("UPDATE", 10, 10.4, True),
        ("UPDATE", 10, 19.999, True),
        ("UPDATE", 10, 20, False),
        ("UPDATE", 10, 25, False),
        # without it the commit's second stands in
        ("UPDATE", None, 9.999, True),
        ("UPDATE", None, 10.4, True),
        ("UPDATE", None, 11, False),
        ("CREATE", 9, 9.5, True),
        ("UNDELETE", 11, 11.5, False),
        # the record was there when it was read: a delete before its last change was undone
        ("DELETE", None, 9.999, True),
        ("DELETE", None, 10, False),
        ("DELETE", None, 10.4, False),
        ("DELETE", None, 25, False),
    ],
)
def test_what_was_read_holds_a_change_or_not(change_type, modified, committed, held):
    data = {} if modified is None else stamp(modified)

    assert Reading(1, AS_OF, READ_AT).holds(an_entry(change_type, committed, data)) is held


def test_a_time_of_the_pubsub_api_is_understood():
    reading = Reading(1, AS_OF, READ_AT)

    assert reading.holds(an_entry(data={"LastModifiedDate": 9_000}, committed=25))
    assert not reading.holds(an_entry(data={"LastModifiedDate": 11_000}, committed=11))


@pytest.fixture
def read_entry(listener):
    """The entry of a read record, delivered to a handler."""
    entry = AuditLogEntry.objects.create(
        listener=listener,
        channel="/data/ChangeEvents",
        entity_name="Account",
        record_id=RECORD,
        change_type="UPDATE",
        transaction_key="read",
        sequence_number=1,
        commit_timestamp=ms(8),
        source=AuditLogEntry.Source.GAP,
        received_at=timezone.now(),
        as_of=AS_OF,
        read_at=READ_AT,
    )
    Delivery.objects.create(
        entry=entry,
        mapping=make_deleted_mapping(listener),
        handler="tests.remember",
        state="succeeded",
        created_at=timezone.now(),
    )
    return entry


def update(seconds, record=RECORD):
    return change("UPDATE", [record], data=stamp(seconds), commitTimestamp=ms(seconds))


@pytest.mark.django_db(transaction=True)
def test_an_older_change_is_recorded_and_skipped_and_nothing_waits_for_it(listener, read_entry):
    mapping = make_mapping(listener, "update")

    result = ingest(listener, lease_of(listener), received(update(9), update(11)), [mapping])

    _, old, new = Delivery.objects.order_by("id")
    reason = f"not newer than the record as read from Salesforce (entry {read_entry.pk})"
    assert (old.state, old.error, old.chain) == ("skipped", reason, "")
    assert (new.state, result.to_publish.ids) == ("queued", [new.pk])
    assert AuditLogEntry.objects.filter(source="stream").count() == 2


@pytest.mark.django_db(transaction=True)
def test_another_record_or_another_listener_is_none_of_its_business(
    listener, read_entry, make_listener
):
    other = make_listener()

    ingest(
        listener,
        lease_of(listener),
        received(update(9, "001000000000002AAA")),
        [make_mapping(listener, "update")],
    )
    ingest(other, lease_of(other), received(update(9)), [make_mapping(other, "update")])

    assert list(Delivery.objects.values_list("state", flat=True)) == ["queued"] * 2 + ["succeeded"]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("was_left_out", [False, True])
def test_a_handler_that_did_not_get_the_reading_gets_the_change(listener, read_entry, was_left_out):
    mapping = make_mapping(listener, "update", handler="tests.skip")
    if was_left_out:
        read_entry.deliveries.create(
            mapping=mapping, handler="tests.skip", state="skipped", created_at=timezone.now()
        )
    read_entry.deliveries.filter(handler="tests.remember").delete()

    result = ingest(listener, lease_of(listener), received(update(9)), [mapping])

    assert result.to_publish.ids == [Delivery.objects.latest("id").pk]


@pytest.mark.django_db(transaction=True)
def test_handlers_in_one_lane_tell_each_other(listener, read_entry):
    creating = make_mapping(listener, "create")
    updating = make_mapping(listener, "update", handler="tests.skip")
    read_entry.deliveries.update(mapping=creating)

    ingest(listener, lease_of(listener), received(update(9)), [creating, updating])

    assert Delivery.objects.get(mapping=updating).state == "skipped"


@pytest.mark.django_db
def test_what_was_recorded_before_the_reading_is_not_judged_by_it(listener, read_entry):
    earlier = an_entry(committed=9, data=stamp(9), listener=listener, pk=read_entry.pk - 1)

    assert stale([earlier]) == {}


@pytest.mark.django_db
def test_the_newest_of_several_readings_counts(listener, read_entry):
    AuditLogEntry.objects.filter(pk=read_entry.pk).update(as_of=ms(5), read_at=ms(6))
    read_entry.pk, read_entry.transaction_key = None, "read again"
    read_entry.save()

    assert stale([an_entry(committed=9, data=stamp(9), listener=listener, pk=10**9)]) != {}


@pytest.mark.django_db
def test_it_takes_one_query_for_any_number_and_none_for_nothing(
    listener, django_assert_num_queries
):
    changes = [an_entry(listener=listener, pk=n, record_id=f"001{n}") for n in range(1, 500)]

    with django_assert_num_queries(1):
        assert stale(changes) == {}
    with django_assert_num_queries(0):
        assert stale([]) == {}


@pytest.mark.parametrize(
    ("change_type", "committed", "held"),
    [
        ("UPDATE", 9, True),
        ("UPDATE", 10.5, True),
        ("CREATE", 9, True),
        ("DELETE", 10.5, True),
        ("UNDELETE", 9.5, True),
        ("UNDELETE", 10.5, False),
        ("UPDATE", 11, False),
        ("DELETE", 11, False),
    ],
)
def test_a_deletion_that_was_found_holds_the_changes_before_it(change_type, committed, held):
    assert Deletion(1, ms(10)).holds(an_entry(change_type, committed)) is held


@pytest.mark.django_db(transaction=True)
def test_a_deletion_that_a_comparison_found_first_is_delivered_once(listener):
    found = AuditLogEntry.objects.create(
        listener=listener,
        channel="/data/ChangeEvents",
        entity_name="Account",
        record_id=RECORD,
        change_type="DELETE",
        transaction_key="reconcile:10000",
        sequence_number=1,
        commit_timestamp=ms(10),
        source=AuditLogEntry.Source.RECONCILE,
        received_at=timezone.now(),
    )
    mapping = make_mapping(listener, "delete")
    Delivery.objects.create(
        entry=found,
        mapping=mapping,
        handler="tests.remember",
        state="succeeded",
        created_at=timezone.now(),
    )
    late = [change("DELETE", [RECORD], commitTimestamp=ms(at)) for at in (10.999, 11)]

    ingest(listener, lease_of(listener), received(*late), [mapping])

    _, same, next_one = Delivery.objects.order_by("id")
    assert (same.state, same.error) == (
        "skipped",
        f"the record was found deleted before (entry {found.pk})",
    )
    assert next_one.state == "queued"
