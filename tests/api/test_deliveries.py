import socket

from django.utils import timezone

from handlers.models import Delivery, DeliveryAttempt
from handlers.reporting.export import exported_time
from tests.api.answers import errors, problem
from tests.api.requests import AUDIT_LOG, DELIVERIES
from tests.attempts import all_attempts
from tests.commands.running import record
from tests.running import run_delivery
from tests.sample_data import change, make_listener, make_mapping


def found(api, **filters) -> list[str]:
    rows = api.get(DELIVERIES, filters).json()["results"]
    return [f"{row['record_id']} {row['handler']}" for row in rows]


def test_a_delivery_is_that_of_its_entry_and_says_which_change_it_is_of(api, listener):
    mapping = make_mapping(listener, queue="crm")
    record(listener, change(records=["001a"]))

    [row] = api.get(DELIVERIES).json()["results"]

    [entry] = api.get(AUDIT_LOG).json()["results"]
    [delivery] = entry["deliveries"]
    assert delivery.items() <= row.items()
    more = {name: row[name] for name in row.keys() - delivery.keys()}
    assert more.pop("created_at").endswith("Z")
    assert more == {
        "entry": entry["id"],
        "listener": listener.name,
        "entity_name": "Account",
        "record_id": "001a",
        "change_type": "CREATE",
        "mapping": mapping.pk,
        "queue": "crm",
        "due_at": None,
    }


def test_a_mapping_that_was_deleted_is_none(api, listener):
    mapping = make_mapping(listener)
    record(listener, change(records=["001a"]))
    mapping.delete()

    [row] = api.get(DELIVERIES).json()["results"]

    assert row["mapping"] is None
    assert api.get(f"{DELIVERIES}{row['id']}/").json()["mapping"] is None
    assert found(api, listener=listener.name, state="queued") == ["001a tests.remember"]


def test_its_own_page_has_every_attempt(api, listener):
    make_mapping(listener)
    record(listener, change())
    delivery, now = Delivery.objects.get(), timezone.now()
    for number in (1, 2):
        DeliveryAttempt.objects.create(
            delivery=delivery,
            number=number,
            outcome="failed",
            started_at=now,
            finished_at=now,
            error="no",
        )

    row = api.get(f"{DELIVERIES}{delivery.pk}/").json()

    assert [attempt["number"] for attempt in row["attempt_log"]] == [1, 2]
    assert row["attempt_log"][0]["error"] == "no"


def test_a_first_attempt_that_succeeded_is_shown_as_any_other(api, listener):
    make_mapping(listener)
    record(listener, change())
    delivery = Delivery.objects.get()
    run_delivery(delivery.pk)
    [attempt] = all_attempts()

    row = api.get(f"{DELIVERIES}{delivery.pk}/").json()

    assert row["attempt_log"] == [
        {
            "number": 1,
            "outcome": "succeeded",
            "redelivery": None,
            "started_at": exported_time(attempt.started_at),
            "finished_at": exported_time(attempt.finished_at),
            "worker": socket.gethostname(),
            "error": "",
            "traceback": "",
        }
    ]


def test_filters_pick_together(api, listener):
    other = make_listener(name="other")
    make_mapping(listener)
    make_mapping(listener, handler="tests.skip")
    make_mapping(other)
    record(listener, change(records=["001a"]), change(records=["001b"]))
    record(other, change(records=["003a"]))
    mine = Delivery.objects.filter(handler="tests.remember")
    mine.filter(entry__record_id="001a").update(state="dead")
    mine.filter(entry__record_id="001b").update(state="retrying", due_at=timezone.now())

    assert found(api, listener="other") == ["003a tests.remember"]
    assert found(api, handler="tests.skip") == ["001b tests.skip", "001a tests.skip"]
    assert found(api, state="dead") == ["001a tests.remember"]
    assert found(api, state="failed") == ["001b tests.remember", "001a tests.remember"]
    assert found(api, state="queued", listener=listener.name) == [
        "001b tests.skip",
        "001a tests.skip",
    ]
    entry = mine.get(state="dead").entry_id
    assert found(api, entry=entry) == ["001a tests.skip", "001a tests.remember"]
    assert "state" in errors(api.get(DELIVERIES, {"state": "lost"}))


def test_a_page_takes_the_same_queries_for_any_size(api, listener, django_assert_num_queries):
    make_mapping(listener)
    record(listener, *(change(records=[f"001-{number}"]) for number in range(10)))

    with django_assert_num_queries(2):  # the token with its user, the deliveries
        assert len(api.get(DELIVERIES).json()["results"]) == 10


def test_nothing_can_be_changed(api, listener):
    make_mapping(listener)
    record(listener, change())
    page = f"{DELIVERIES}{Delivery.objects.get().pk}/"

    for method in (api.put, api.patch, api.delete):
        problem(method(page, {}), 405)
