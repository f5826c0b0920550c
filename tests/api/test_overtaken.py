"""The command, the API and the console count the overtaken deliveries of a redelivery."""

import pytest

from audit.db.row_count import TookTooLong
from handlers.models import Delivery, HandlerMapping, Redelivery
from handlers.redelivery.request import RedeliveryRequest
from handlers.redelivery.start import overtaken
from tests.api.requests import DELIVERIES as API_DELIVERIES
from tests.api.requests import REDELIVERIES as API_REDELIVERIES
from tests.commands.running import record, run
from tests.running import run_delivery
from tests.sample_data import ANN, change, make_mapping
from tests.sample_handlers import read_journal

pytestmark = [
    pytest.mark.slow,
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("broker", "journal", "patient_counts"),
]

DELIVERIES = "/admin/handlers/delivery/"
UP_TO_DATE = (
    "Overtaken by later changes of their records: 1. They are redelivered with the current "
    "values of their fields; changes of records that have since been deleted are skipped."
)
UNCHANGED = (
    "Overtaken by later changes of their records: 1. They are redelivered as recorded: handlers "
    "that apply them restore older values and may recreate deleted records."
)


def update(**data):
    return change("UPDATE", data=data)


@pytest.fixture
def dead(listener):
    """An overtaken dead delivery, and one of another record that is not overtaken."""
    make_mapping(listener, "update", "tests.note_fields", max_attempts=1)
    for message in (
        update(Phone="ext17", Name="Acme Ltd", Fail=1),
        update(Phone="42"),
        change("UPDATE", ["001B"], data={"Phone": "1", "Fail": 1}),
    ):
        record(listener, message)
        for pk in Delivery.objects.filter(state__in=("ready", "queued")).values_list(
            "pk", flat=True
        ):
            run_delivery(pk)
    HandlerMapping.objects.update(options={"fail": False})
    return Delivery.objects.order_by("id").first()


def run_what_waits():
    while ready := Delivery.objects.filter(state__in=("ready", "queued")).first():
        run_delivery(ready.pk)
    return read_journal()[-1]


def test_changes_that_another_listener_recorded_overtake_nothing(make_listener):
    other, listener = make_listener(), make_listener()
    make_mapping(listener, "update", "tests.note_fields", max_attempts=1)
    record(listener, update(Fail=1))
    run_delivery(Delivery.objects.get().pk)
    record(other, update(Phone="2"))

    assert overtaken(RedeliveryRequest(ANN, Delivery.objects.filter(state="dead"))) == 0


def test_what_waits_behind_a_halting_one_has_not_overtaken_it(listener):
    make_mapping(listener, "update", "tests.note_fields", max_attempts=1, on_dead="halt")
    record(listener, update(Fail=1), update(Phone="2"))
    run_delivery(Delivery.objects.get(state="queued").pk)

    assert overtaken(RedeliveryRequest(ANN, Delivery.objects.filter(state="dead"))) == 0
    record(listener, change("DELETE"))  # goes to no handler, and counts
    assert overtaken(RedeliveryRequest(ANN, Delivery.objects.filter(state="dead"))) == 1


def test_a_dry_run_says_how_many_and_what_becomes_of_them(dead):
    done = run("redeliver_cdc_events", "--state", "dead", "--dry-run")

    assert done.lines[-2:] == [UP_TO_DATE, "dry run: nothing was sent"]


def test_the_command_sends_them_as_recorded_after_a_warning(dead):
    done = run("redeliver_cdc_events", "--record", dead.entry.record_id, "--as-recorded")

    assert f"Warning: {UNCHANGED}" in done.err
    redelivery = Redelivery.objects.get()
    assert redelivery.as_recorded
    assert redelivery.criteria == {"record": dead.entry.record_id, "as_recorded": True}
    Delivery.objects.exclude(pk=dead.pk).update(state="succeeded")
    line = run_what_waits()
    assert (line["data"]["Phone"], line["superseded"]) == ("ext17", [])


def test_as_recorded_in_a_dry_run_says_what_it_would_do(dead):
    done = run("redeliver_cdc_events", "--state", "dead", "--as-recorded", "--dry-run")

    assert f"Warning: {UNCHANGED}" in done.err
    assert not Redelivery.objects.exists()


def test_too_many_to_count_are_sent_all_the_same(dead, monkeypatch):
    def never(rows):
        raise TookTooLong

    monkeypatch.setattr("handlers.redelivery.start.count_overtaken", never)

    done = run("redeliver_cdc_events", "--state", "dead", "--dry-run")

    assert done.lines[-2].startswith(
        "Overtaken by later changes of their records: too many to count."
    )


def test_the_api_counts_in_a_dry_run_and_sends_as_recorded(api, dead):
    dry = api.post(API_REDELIVERIES, {"state": "dead", "dry_run": True}).json()
    assert dry["overtaken"] == 1

    api.post(f"{API_DELIVERIES}{dead.pk}/redeliver/", {"as_recorded": True})

    assert run_what_waits()["data"]["Phone"] == "ext17"
    [row] = api.get(API_REDELIVERIES).json()["results"]
    assert row["as_recorded"] is True


def test_the_api_sends_present_values_by_default(api, dead):
    api.post(f"{API_DELIVERIES}{dead.pk}/redeliver/")

    assert run_what_waits()["data"]["Phone"] == "42"


def post(client, *rows, **more):
    chosen = {"action": "redeliver", "_selected_action": [row.pk for row in rows], "index": "0"}
    return client.post(DELIVERIES, {**chosen, **more})


def test_the_console_says_how_many_and_offers_to_send_them_as_recorded(admin_client, dead):
    page = post(admin_client, dead).content.decode()
    assert UP_TO_DATE in page
    assert 'name="as_recorded"' in page

    done = post(admin_client, dead, confirm="yes", as_recorded="yes")

    assert run_what_waits()["data"]["Phone"] == "ext17"
    assert "as recorded" in admin_client.get(done.headers["Location"]).content.decode()


def test_the_console_offers_nothing_where_nothing_was_overtaken(admin_client, dead):
    other = Delivery.objects.order_by("id").last()

    page = post(admin_client, other).content.decode()

    assert "None of them was overtaken by later changes of its record." in page
    assert "as_recorded" not in page


def test_a_group_of_dead_letters_can_be_sent_as_recorded(admin_client, dead):
    address = f"{DELIVERIES}dead-letters/redeliver/?state=dead&group={dead.error_group}"
    page = admin_client.get(address).content.decode()
    assert UP_TO_DATE in page

    admin_client.post(address, {"confirm": "yes", "as_recorded": "yes"})

    assert Redelivery.objects.get().as_recorded
