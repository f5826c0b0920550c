"""Search and filters of the audit log find the matching rows."""

from datetime import timedelta

import pytest

from audit.db import rare
from listeners.salesforce.rest.records import long_id
from tests.console.conftest import NOW
from tests.sample_data import make_listener

pytestmark = pytest.mark.slow

LOG = "/admin/audit/auditlogentry/"
SHORT, LONG = "0015g00000EqG9G", "0015g00000EqG9GAAV"


@pytest.mark.parametrize("typed", [LONG, SHORT, "0015g00000Eq", f" {LONG} "])
def test_a_record_is_found_by_its_id(listed, make_entry, typed):
    first, second = make_entry(record_id=LONG), make_entry(record_id=LONG)
    make_entry(record_id="0015g00000XqG9GAAV")
    assert listed(LOG, q=typed) == [second, first]


@pytest.mark.parametrize("few", [0, 2, 1000])
def test_a_beginning_is_found_however_many_entries_have_it(listed, make_entry, monkeypatch, few):
    monkeypatch.setattr(rare, "FEW", few)
    entries = [make_entry(record_id=f"003{n}g0000000000AAA") for n in (1, 1, 2, 3)]

    assert listed(LOG, q="0031") == [entries[1], entries[0]]
    assert listed(LOG, q=f"0031 {entries[3].record_id}") == [entries[3], entries[1], entries[0]]
    assert listed(LOG, q="003") == entries[::-1]
    assert listed(LOG, q="001") == []


def test_several_records_are_found_at_once(listed, make_entry):
    entries = [make_entry(record_id=f"0035g000000000{n}AAA") for n in range(3)]
    found = listed(LOG, q=f"{entries[0].record_id} {entries[2].record_id}")
    assert found == [entries[2], entries[0]]


TRANSACTION = "0002343d-9d90-e395-ed20-cf416ba652ad"
USER = "0055g000001AbCdAAK"


@pytest.mark.parametrize(
    "typed",
    [TRANSACTION, TRANSACTION.upper(), f"tx:{TRANSACTION}", f"Transaction:{TRANSACTION}"],
)
def test_a_transaction_is_found_by_its_key(listed, make_entry, typed):
    entries = [make_entry(transaction_key=TRANSACTION, sequence_number=n) for n in (1, 2)]
    make_entry()
    assert listed(LOG, q=typed) == entries[::-1]


@pytest.mark.parametrize("typed", [USER, USER[:15], f"user:{USER}"])
def test_the_changes_by_a_user_are_found(listed, make_entry, typed):
    entry = make_entry(commit_user=USER)
    make_entry(record_id=USER)
    assert listed(LOG, q=typed) == [entry]


def test_the_changes_of_a_user_are_found(listed, make_entry):
    make_entry(commit_user=USER)
    entry = make_entry(record_id=USER)
    assert listed(LOG, q=f"record:{USER}") == [entry]


def test_terms_of_several_kinds_hold_together(listed, make_entry):
    make_entry(commit_user=USER)
    make_entry(entity_name="Contact")
    entry = make_entry(commit_user=USER, entity_name="Contact")
    assert listed(LOG, q=f"entity:Contact {USER}") == [entry]


@pytest.mark.parametrize("typed", ["0015g_", "0015g%", "0015G", "'"])
def test_a_beginning_is_taken_as_it_is(listed, make_entry, typed):
    make_entry(record_id=LONG)
    assert listed(LOG, q=typed) == []


def test_the_long_form_of_an_id_says_which_letters_are_capitals():
    assert long_id(SHORT) == LONG
    assert long_id("a0B000000000001") == "a0B000000000001EAA"
    assert long_id("*") == "*"


def test_entries_are_filtered_by_listener(listed, make_entry):
    make_entry()
    other = make_entry(listener=make_listener(name="another"))
    assert listed(LOG, listener="another") == [other]


def test_entries_are_filtered_by_entity(listed, make_entry):
    make_entry()
    contact = make_entry(entity_name="Contact")
    assert listed(LOG, entity=" Contact ") == [contact]


@pytest.mark.parametrize("change_type", ["DELETE", "GAP_UPDATE", "NEVER_HEARD_OF"])
def test_entries_are_filtered_by_change_type(listed, make_entry, change_type):
    make_entry()
    other = make_entry(change_type=change_type)
    assert listed(LOG, change_type=change_type) == [other]


def test_entries_are_filtered_by_delivery_state(listed, make_entry, make_delivery):
    entry = make_entry()
    make_delivery(entry, state="dead")
    make_delivery(entry, state="dead")
    make_delivery(state="succeeded")
    make_entry()
    assert listed(LOG, state="dead") == [entry]


def test_a_day_alone_is_meant_whole(listed, make_entry):
    make_entry(received_at=NOW - timedelta(days=1))
    today = make_entry(received_at=NOW)
    make_entry(received_at=NOW + timedelta(days=1))
    bounds = {"received_at_from_0": "2025-11-25", "received_at_to_0": "2025-11-25"}
    assert listed(LOG, **bounds) == [today]


def test_a_moment_bounds_to_the_second(listed, make_entry):
    make_entry(received_at=NOW - timedelta(seconds=1))
    entry = make_entry(received_at=NOW)
    make_entry(received_at=NOW + timedelta(seconds=1))
    bounds = {
        "received_at_from_0": "2025-11-25",
        "received_at_from_1": "12:00:00",
        "received_at_to_0": "2025-11-25",
        "received_at_to_1": "12:00:01",
    }
    assert listed(LOG, **bounds) == [entry]


def test_a_date_that_is_none_is_refused_and_not_ignored(admin_client, make_entry):
    response = admin_client.get(LOG, {"received_at_from_0": "the other day"})
    assert response.status_code == 302
    assert response.url == f"{LOG}?e=1"


def test_entries_are_filtered_by_handler_and_source(listed, make_entry, make_delivery):
    make_delivery(make_entry(source="gap"), handler="another.handler")
    make_delivery(make_entry())
    entry = make_delivery(make_entry(source="gap")).entry
    assert listed(LOG, handler="tests.remember", source="gap") == [entry]


def test_entries_are_filtered_by_the_day_of_the_commit(listed, make_entry):
    day = [int((NOW + timedelta(days=days)).timestamp() * 1000) for days in (-1, 0, 1)]
    entries = [make_entry(commit_timestamp=moment) for moment in day]
    bounds = {"commit_timestamp_from_0": "2025-11-25", "commit_timestamp_to_0": "2025-11-25"}
    assert listed(LOG, **bounds) == [entries[1]]


def test_filters_hold_together(listed, make_entry, make_delivery):
    make_delivery(make_entry(entity_name="Contact"), state="dead")
    wanted = make_delivery(make_entry(entity_name="Contact", change_type="CREATE"), state="dead")
    make_delivery(make_entry(change_type="CREATE"), state="dead")
    found = listed(LOG, entity="Contact", change_type="CREATE", state="dead")
    assert found == [wanted.entry]


@pytest.mark.parametrize("name", ["entity", "listener", "handler", "state"])
def test_a_filter_that_no_text_can_match_is_refused(admin_client, make_entry, name):
    make_entry()
    assert admin_client.get(LOG, {name: "a\0"}).url == f"{LOG}?e=1"
