"""One save of a record that comes as several events of a transaction reaches mappings that select
fields of more than one of them."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from audit.models import AuditLogEntry, AuditLogFilter
from consumer.ingest.transaction import ingest
from handlers.models import Delivery
from handlers.redelivery.request import RedeliveryRequest, Row, Verdict, request_matching
from handlers.redelivery.start import counted
from tests.redelivering import redeliver
from tests.sample_data import ANN, change, lease_of, make_mapping, received

pytestmark = pytest.mark.django_db(transaction=True)
ONE, OTHER = "001000000000001AAA", "001000000000002AAA"
STAMP = "2026-11-28T02:00:00Z"
WON_AND_NEW = {
    "all": [
        {"field": "StageName", "changed_to": "Closed Won"},
        {"field": "Type", "equals": "New"},
    ]
}


def event(sequence, fields, records=(ONE,), transaction="t-1", change_type="UPDATE", **header):
    """Return one of a transaction's events, as CometD sends it."""
    return change(
        change_type,
        records,
        transaction=transaction,
        sequence=sequence,
        data=fields,
        changedFields=list(fields) if change_type == "UPDATE" else [],
        **header,
    )


def record(listener, *batches):
    """Record the batches one after the other, each in its own transaction."""
    lease = lease_of(listener)
    for batch in batches:
        ingest(listener, lease, received(*batch))


def delivered(mapping=None) -> list[tuple[str, int]]:
    """Return the record and sequence number of each delivered change, in order."""
    found = Delivery.objects.order_by("id")
    if mapping is not None:
        found = found.filter(mapping=mapping)
    return list(found.values_list("entry__record_id", "entry__sequence_number"))


FIRST = event(1, {"StageName": "Closed Won", "LastModifiedDate": STAMP})
SECOND = event(2, {"Type": "New"})
THIRD = event(3, {"Amount": 5})


@pytest.mark.parametrize(
    "batches",
    [
        [[FIRST, SECOND, THIRD]],
        [[FIRST], [SECOND], [THIRD]],
        [[FIRST, SECOND], [THIRD]],
        [[FIRST], [FIRST, SECOND], [FIRST, SECOND, THIRD]],
    ],
    ids=["one batch", "three batches", "two batches", "repeated"],
)
def test_all_events_of_a_save_that_meets_a_condition_are_delivered_once(listener, batches):
    make_mapping(listener, "update", condition=WON_AND_NEW)

    record(listener, *batches)

    assert delivered() == [(ONE, 1), (ONE, 2), (ONE, 3)]
    chain = list(Delivery.objects.order_by("id").values_list("state", flat=True))
    assert chain == ["queued", "blocked", "blocked"]
    bodies = AuditLogEntry.objects.order_by("id").values_list("changed_data", flat=True)
    assert list(bodies)[1:] == [{"Type": "New"}, {"Amount": 5}]


def test_none_is_delivered_while_the_save_does_not_meet_the_condition(listener):
    make_mapping(listener, "update", condition=WON_AND_NEW)

    record(listener, [FIRST, event(2, {"Type": "Renewal"})], [THIRD])

    assert delivered() == []


def test_changed_fields_choose_among_the_events_of_a_save(listener):
    make_mapping(listener, "update", condition=WON_AND_NEW, changed_fields=["Amount", "Type"])

    record(listener, [FIRST], [SECOND, THIRD])

    assert delivered() == [(ONE, 2), (ONE, 3)]


def test_what_a_later_event_of_the_save_sets_counts(listener):
    make_mapping(listener, "update", condition={"field": "Type", "equals": "New"})
    make_mapping(listener, "update", "tests.fail", condition={"field": "Type", "equals": "Old"})

    record(listener, [event(1, {"Type": "Old"}), event(2, {"Type": "New"})])

    assert delivered() == [(ONE, 1), (ONE, 2)]
    assert set(Delivery.objects.values_list("handler", flat=True)) == {"tests.remember"}


def test_parts_of_a_compound_field_are_put_together(listener):
    both = [
        {"field": "BillingAddress.City", "equals": "Bonn"},
        {"field": "BillingAddress.Latitude", "exists": True},
    ]
    make_mapping(listener, "update", condition={"all": both})
    geocoded = event(2, {"BillingAddress": {"Latitude": 50.7, "Longitude": 7.1}})

    record(listener, [event(1, {"BillingAddress": {"City": "Bonn"}}), geocoded])

    assert delivered() == [(ONE, 1), (ONE, 2)]


@pytest.mark.parametrize(
    "stranger",
    [
        event(2, {"Type": "New"}, records=(OTHER,)),
        event(2, {"Type": "New"}, transaction="t-2"),
        event(2, {"Type": "New"}, entity="Opportunity"),
        event(2, {"Type": "New"}, change_type="CREATE"),
    ],
    ids=["another record", "another transaction", "another entity", "a create"],
)
@pytest.mark.parametrize("is_cut", [False, True], ids=["one batch", "two batches"])
def test_other_changes_are_no_part_of_a_save(listener, stranger, is_cut):
    make_mapping(listener, "update", condition=WON_AND_NEW)

    record(listener, *([[FIRST], [stranger]] if is_cut else [[FIRST, stranger]]))

    assert delivered() == []


def test_a_record_that_was_read_over_rest_is_no_part_of_a_save_that_goes_on(listener):
    record(listener, [FIRST])
    AuditLogEntry.objects.update(source=AuditLogEntry.Source.GAP)
    make_mapping(listener, "update", condition=WON_AND_NEW["all"][0])

    record(listener, [SECOND])

    assert delivered() == []


def test_a_bulk_save_is_one_event_of_all_records_and_one_of_each(listener):
    make_mapping(listener, "update", condition=WON_AND_NEW)
    shared = event(1, {"StageName": "Closed Won", "LastModifiedDate": STAMP}, (ONE, OTHER))

    record(listener, [shared, SECOND], [event(3, {"Type": "New"}, records=(OTHER,))])

    assert delivered() == [(ONE, 1), (ONE, 2), (OTHER, 1), (OTHER, 3)]


def test_two_events_of_the_same_records_are_changes_of_their_own(listener):
    records = [f"001{number:012}AAA" for number in range(20)]
    make_mapping(listener, "update")

    record(listener, [event(1, {"Phone": "1"}, records), event(2, {"Fax": "2"}, records)])

    assert AuditLogEntry.objects.count() == 40
    assert delivered() == [(one, sequence) for sequence in (1, 2) for one in records]


def test_a_message_that_cannot_be_read_does_not_tear_a_save_apart(listener):
    make_mapping(listener, "update", condition=WON_AND_NEW)
    broken = event(2, {})
    del broken["data"]["payload"]["ChangeEventHeader"]["recordIds"]

    record(listener, [FIRST, broken, event(3, {"Type": "New"})])

    assert delivered() == [(ONE, 1), (ONE, 3)]


def test_the_writer_of_each_event_is_judged_by_itself(listener):
    make_mapping(listener, "update", condition=WON_AND_NEW, ignore_origins=["erp"])
    own = event(2, {"Type": "New"}, changeOrigin="com/salesforce/api/rest/67.0;client=erp")

    record(listener, [FIRST], [own])

    assert delivered() == [(ONE, 1), (ONE, 2)]
    assert Delivery.objects.get(state="skipped").entry.sequence_number == 2


def test_an_event_recorded_before_goes_to_no_mapping_for_its_kind_alone(listener):
    record(listener, [FIRST])
    plain = make_mapping(listener, "update")
    judging = make_mapping(listener, "update", "tests.fail", condition=WON_AND_NEW)

    record(listener, [SECOND])

    assert delivered(plain) == [(ONE, 2)]
    assert delivered(judging) == [(ONE, 1), (ONE, 2)]


def test_a_mapping_that_came_later_gets_the_whole_save(listener):
    record(listener, [FIRST, SECOND])
    make_mapping(listener, "update", condition=WON_AND_NEW)
    wanted = request_matching(AuditLogFilter(handler="tests.remember"), ANN, new_handlers=True)
    before = counted(wanted)

    _, done = redeliver(wanted, timezone.now())

    assert before == done == {Row("tests.remember", "", Verdict.FIRST_TIME): 2}
    assert delivered() == [(ONE, 1), (ONE, 2)]


def test_half_of_a_save_is_judged_by_all_of_it(listener):
    record(listener, [FIRST, SECOND])
    make_mapping(listener, "update", condition=WON_AND_NEW)
    half = RedeliveryRequest(
        ANN, Delivery.objects.none(), entries=AuditLogEntry.objects.filter(sequence_number=2)
    )

    redeliver(half, timezone.now())

    assert delivered() == [(ONE, 2)]


def reads(listener, sequence: int) -> int:
    """Return how many SELECTs recording one event takes."""
    lease = lease_of(listener)
    message = event(sequence, {"Phone": "1"}, transaction=f"t-{sequence}")
    with CaptureQueriesContext(connection) as captured:
        ingest(listener, lease, received(message))
    return sum(query["sql"].startswith("SELECT") for query in captured)


@pytest.mark.parametrize(("condition", "more"), [(WON_AND_NEW, 1), ({}, 0)])
def test_only_a_batch_that_begins_inside_a_transaction_looks_back(listener, condition, more):
    make_mapping(listener, "update", condition=condition)
    record(listener, [event(1, {"Phone": "1"}, transaction="t-0")])

    assert reads(listener, 2) == reads(listener, 1) + more
