"""A timeline orders a record's changes by their commits, and derives the state of its fields."""

from datetime import UTC, datetime

from audit.models import AuditLogEntry
from handlers.superseded.fields import UNKNOWN, Others
from handlers.superseded.timeline import Later, Timeline

SECOND = 1000
START = 1_764_000_000_000


def at(second: float) -> int:
    return START + round(second * SECOND)


def modified(second: float) -> str:
    moment = datetime.fromtimestamp(at(int(second)) / SECOND, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.000Z")


def streamed(pk, change_type, second, *, event=None, dated=True, **data):
    if dated and data:
        data["LastModifiedDate"] = modified(second)
    return AuditLogEntry(
        pk=pk,
        change_type=change_type,
        record_id="001A",
        transaction_key=event or f"t{pk}",
        sequence_number=1,
        commit_timestamp=at(second),
        changed_data=data,
    )


def read(pk, modified_at, read_at, change_type="UPDATE", *, source="gap", event=None, **data):
    return AuditLogEntry(
        pk=pk,
        change_type=change_type,
        record_id="001A",
        transaction_key=event or f"t{pk}",
        sequence_number=1,
        commit_timestamp=at(modified_at),
        source=source,
        as_of=at(int(modified_at)),
        read_at=at(read_at),
        changed_data=data,
    )


def found_deleted(pk, second):
    return AuditLogEntry(
        pk=pk,
        change_type="DELETE",
        record_id="001A",
        transaction_key=f"reconcile:{pk}",
        sequence_number=1,
        commit_timestamp=at(second),
        source="reconcile",
        changed_data={},
    )


def order(*entries):
    timeline = Timeline(entries)
    return [one.pk for one in sorted(entries, key=lambda one: timeline.index(one.pk))]


def later(entry, *others):
    return Later.than(entry, Timeline([entry, *others]), None)


def test_changes_of_the_stream_are_in_the_order_of_their_entries():
    assert order(streamed(2, "UPDATE", 0), streamed(1, "CREATE", 5)) == [1, 2]


def test_what_was_read_comes_after_what_it_holds_however_late_that_was_recorded():
    early, late = streamed(5, "UPDATE", 3, Phone="1"), streamed(6, "UPDATE", 30, Phone="2")

    assert order(read(1, 10, 12, Phone="9"), early, late) == [5, 1, 6]


def test_a_change_that_was_committed_before_the_reading_is_in_it_without_a_date_of_its_own():
    geocode = streamed(5, "UPDATE", 11, dated=False, Phone="1")

    assert order(read(1, 10, 12, Phone="9"), geocode) == [5, 1]


def test_what_completes_a_gap_event_holds_all_that_came_before_the_gap_event():
    gap = streamed(3, "GAP_UPDATE", 10, event="gap")
    before, behind = streamed(2, "UPDATE", 10, Phone="1"), streamed(4, "UPDATE", 20, Phone="2")

    assert order(before, gap, behind, read(5, 10, 9, event="gap", Phone="9")) == [2, 3, 5, 4]


def test_a_deletion_from_a_gap_event_is_at_the_gap_events_place():
    completed = streamed(9, "DELETE", 10, event="gap")
    completed.source = "gap"
    restored = streamed(5, "UNDELETE", 20, Phone="1")

    assert order(streamed(3, "GAP_DELETE", 10, event="gap"), completed, restored) == [3, 9, 5]
    assert order(completed, restored) == [9, 5]
    assert later(restored, completed).exists


def test_a_deletion_that_a_comparison_found_is_in_its_second():
    before, restored = streamed(2, "UPDATE", 9, Phone="1"), streamed(3, "UNDELETE", 12, Phone="2")

    assert order(found_deleted(8, 10), before, restored) == [2, 8, 3]
    assert not later(before, found_deleted(8, 10)).exists
    assert later(before, found_deleted(8, 10), restored).exists


def test_a_reading_proves_that_the_record_exists():
    change, deletion = streamed(1, "UPDATE", 1, Phone="1"), streamed(2, "DELETE", 5)

    found = later(change, deletion, read(3, 8, 9, Phone="9"))

    assert found.exists
    assert found.fields.named["Phone"] == "9"
    assert found.turned_by.pk == 3


def test_a_deletion_after_the_reading_stays_one():
    found = later(
        streamed(1, "UPDATE", 1, Phone="1"), read(2, 8, 9, Phone="9"), streamed(3, "DELETE", 10)
    )

    assert not found.exists


def test_an_update_after_a_deletion_proves_that_something_restored_it():
    found = later(
        streamed(1, "UPDATE", 1, Phone="1"),
        streamed(2, "DELETE", 2),
        streamed(3, "UPDATE", 3, Fax="2"),
    )

    assert found.exists
    assert found.fields.others is Others.UNKNOWN


def test_within_a_second_a_reading_and_a_change_that_differ_do_not_tell():
    """LastModifiedDate has whole seconds, and the reading was not certainly after the change."""
    change = streamed(2, "UPDATE", 10.9, Phone="2", Fax="1")
    reading = read(1, 10, 10.2, Phone="1", Fax="1")

    after = later(streamed(0, "UPDATE", 1, Phone="0"), reading, change)
    before = later(change, reading)

    assert after.fields.named["Phone"] is UNKNOWN
    assert after.fields.named["Fax"] == "1"
    assert before.fields.named["Phone"] is UNKNOWN


def test_a_reading_from_seconds_before_a_change_leaves_no_doubt():
    change = streamed(2, "UPDATE", 10, Phone="2")

    assert later(change, read(1, 5, 5.2, Phone="1")).fields.named == {}


def test_what_the_lists_name_and_the_body_lacks_is_null_or_untold():
    change = streamed(2, "UPDATE", 2, Website="w")
    change.changed_fields = ["Website", "Phone", "BillingAddress.City"]
    change.nulled_fields = ["BillingAddress.City"]

    found = later(streamed(1, "UPDATE", 1, Phone="1"), change)

    assert found.fields.named["Phone"] is UNKNOWN
    assert found.fields.named["BillingAddress"].named == {"City": None}


def test_what_comes_from_the_end_on_is_not_seen():
    first, second, third = (streamed(n, "UPDATE", n, Phone=str(n)) for n in (1, 2, 3))
    timeline = Timeline([first, second, third])

    assert Later.than(first, timeline, timeline.index(3)).fields.named["Phone"] == "2"
