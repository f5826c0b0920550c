"""Lists that are ordered by an index show each row on one page, forwards and backwards."""

from datetime import UTC, datetime, timedelta

import pytest

from audit.models import AuditLogEntry
from handlers.models import Delivery
from tests.api.requests import AUDIT_LOG, CONNECTIONS, DELIVERIES
from tests.sample_data import make_deleted_mapping, make_listener, make_mapping

NOW = datetime(2025, 11, 25, 12, 0, tzinfo=UTC)
SINCE = "2025-11-25T12:00:00Z"


@pytest.fixture
def walk(api):
    """Returns the ids of each page from an address on, and the last page's address."""

    def pages(address, direction, **asked):
        found = []
        while address:
            last, answer = address, api.get(address, asked).json()
            found.append([row["id"] for row in answer["results"]])
            address, asked = answer[direction], {}
        return found, last

    return pages


def make_entry(listener, number, received_at=NOW) -> AuditLogEntry:
    return AuditLogEntry.objects.create(
        listener=listener,
        channel="/data/ChangeEvents",
        entity_name="Account",
        record_id=f"001{number}",
        change_type="UPDATE",
        transaction_key="one",
        sequence_number=number,
        commit_timestamp=number,
        received_at=received_at,
    )


def test_what_a_time_bounds_is_in_its_order(walk, listener):
    # Out of order, two at one moment, one too old.
    for number, minutes in enumerate((3, 1, 2, 2, 5, -1)):
        make_entry(listener, number, NOW + timedelta(minutes=minutes))
    there, last = walk(AUDIT_LOG, "next", since=SINCE, page_size=2)
    expected = AuditLogEntry.objects.filter(received_at__gte=NOW).order_by("-received_at", "-id")
    assert [pk for page in there for pk in page] == list(expected.values_list("pk", flat=True))
    back, _ = walk(last, "previous")
    assert [len(page) for page in there] == [2, 2, 1]
    assert back == [there[2], there[1], there[0]]


def test_those_of_a_listener_are_in_the_order_of_its_entries(walk, listener):
    other, mapping = make_listener(), make_mapping(listener)
    for number in range(3):
        of_other, mine = make_entry(other, number), make_entry(listener, number)
        deleted, of_deleted = make_deleted_mapping(listener), make_deleted_mapping(other)
        for entry, to in ((of_other, of_deleted), (mine, mapping), (mine, deleted)):
            Delivery.objects.create(
                entry=entry, mapping=to, handler="tests.remember", state="succeeded", created_at=NOW
            )
    mine = Delivery.objects.filter(entry__listener=listener)
    # Made for an older entry, long after it.
    latecomer = Delivery.objects.create(
        entry=mine.earliest("id").entry,
        mapping=make_deleted_mapping(listener),
        handler="late",
        state="succeeded",
        created_at=NOW,
    )
    there, last = walk(DELIVERIES, "next", listener=listener.name, page_size=3)
    ids = [pk for page in there for pk in page]
    assert sorted(ids) == sorted(mine.values_list("pk", flat=True))
    assert ids.index(latecomer.pk) == len(ids) - 3
    back, _ = walk(last, "previous")
    assert back == there[::-1]


@pytest.mark.parametrize("state", ["dead", "succeeded", "failed"])
def test_a_listener_and_a_state_are_its_own_in_that_state(walk, listener, state):
    expected = []
    for one in (make_listener(), listener):
        for number, is_in in enumerate(("succeeded", "dead", "dead")):
            made = Delivery.objects.create(
                entry=make_entry(one, number),
                mapping=make_deleted_mapping(one),
                handler="tests.remember",
                state=is_in,
                created_at=NOW,
            )
            if one == listener and is_in == {"failed": "dead"}.get(state, state):
                expected.insert(0, made.pk)
    there, _ = walk(DELIVERIES, "next", listener=listener.name, state=state)
    assert there == [expected]
    assert walk(DELIVERIES, "next", listener="nobody", state=state)[0] == [[]]


@pytest.mark.parametrize("cursor", ["cD0x", "cD14LDE=", "cD0yMDI1LTExLTI1LDE=", "x"])
def test_a_cursor_that_is_none_is_not_found(api, cursor):
    answer = api.get(AUDIT_LOG, {"since": SINCE, "cursor": cursor})
    assert answer.status_code == 404


def test_a_cursor_with_a_nul_is_not_found(api):
    assert api.get(CONNECTIONS, {"cursor": "cD0A"}).status_code == 404  # p= and a NUL
