"""Changes are redelivered over the API."""

import pytest

from handlers.models import Delivery, Redelivery
from handlers.redelivery.job import run
from tests.api.answers import errors, problem
from tests.api.requests import AUDIT_LOG, DELIVERIES, REDELIVERIES
from tests.commands.running import record
from tests.sample_data import change, make_mapping

pytestmark = [
    pytest.mark.slow,
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("broker", "patient_counts"),
]

NOTHING = {
    "sent_again": 0,
    "first_time": 0,
    "on_its_way": 0,
    "ended_since": 0,
    "not_possible": 0,
    "overtaken": None,
}


@pytest.fixture
def dead(listener):
    """A change whose dead delivery halts its chain, and the record's next change, which waits for
    it."""
    make_mapping(listener, handler="tests.fail", on_dead="halt")
    record(listener, change(), change())
    first = Delivery.objects.order_by("id").first()
    Delivery.objects.filter(pk=first.pk).update(state="dead", halts=True, error="no")
    return Delivery.objects.get(pk=first.pk)


def states() -> list[str]:
    return list(Delivery.objects.order_by("id").values_list("state", flat=True))


def test_one_delivery(api, dead):
    answer = api.post(f"{DELIVERIES}{dead.pk}/redeliver/", {"reason": "mended"}).json()

    redelivery = Redelivery.objects.get()
    assert answer == {
        **NOTHING,
        "redelivery": redelivery.pk,
        "state": "done",
        "total": 1,
        "done": 1,
        "sent_again": 1,
        "counts": [
            {
                "handler": "tests.fail",
                "state": "dead",
                "verdict": "sent_again",
                "reason": "",
                "count": 1,
            }
        ],
    }
    assert states() == ["queued", "blocked"]
    assert (redelivery.reason, redelivery.criteria) == ("mended", {"delivery": dead.pk})
    assert redelivery.requested_by.startswith("user")


def test_all_deliveries_of_an_entry(api, dead):
    answer = api.post(f"{AUDIT_LOG}{dead.entry_id}/redeliver/").json()

    assert (answer["sent_again"], states()) == (1, ["queued", "blocked"])


def test_what_its_mapping_left_out_is_sent_by_itself_alone(api, dead):
    Delivery.objects.filter(pk=dead.pk).update(state="skipped", attempts=0, halts=False)

    assert api.post(f"{AUDIT_LOG}{dead.entry_id}/redeliver/").json()["sent_again"] == 0
    assert api.post(f"{DELIVERIES}{dead.pk}/redeliver/").json()["sent_again"] == 1


def test_those_of_a_filter_after_a_dry_run(api, dead):
    wanted = {"listener": dead.entry.listener.name, "entity": "Account", "state": "failed"}

    dry = api.post(REDELIVERIES, {**wanted, "dry_run": True})
    assert (dry.status_code, states()) == (200, ["dead", "blocked"])
    done = api.post(REDELIVERIES, wanted)
    assert (done.status_code, states()) == (201, ["queued", "blocked"])

    beside = dict.fromkeys(("redelivery", "state", "total", "done"))
    assert dry.json() == {**done.json(), **beside, "overtaken": 0}
    [row] = api.get(REDELIVERIES).json()["results"]
    assert (row["id"], row["count"]) == (done.json()["redelivery"], 1)
    assert row["criteria"] == wanted


def test_a_mapping_that_came_later(api, dead):
    make_mapping(dead.entry.listener, handler="tests.skip")

    answer = api.post(REDELIVERIES, {"handler": "tests.skip", "new_handlers": True}).json()

    assert (answer["sent_again"], answer["first_time"]) == (0, 2)


@pytest.mark.parametrize(
    ("asked", "field", "words"),
    [
        ({}, "", "at least one filter, or all"),
        ({"all": True, "entity": "Account"}, "", "at least one filter, or all"),
        ({"state": "lost"}, "state", "not a valid choice"),
        ({"listener": "none"}, "listener", "There is no listener 'none'."),
        ({"entities": "Account"}, "entities", "did you mean entity?"),
        ({"state": "dead", "new_handlers": True}, "", "leave the state out"),
    ],
)
def test_what_is_asked_wrongly_sends_nothing(api, dead, asked, field, words):
    found = errors(api.post(REDELIVERIES, asked))

    assert words in found[field][0]
    assert not Redelivery.objects.exists()


def test_what_takes_longer_is_left_to_a_worker_and_can_be_watched_and_cancelled(
    api, dead, monkeypatch
):
    monkeypatch.setattr("handlers.redelivery.start.AT_ONCE", 0)

    begun = api.post(REDELIVERIES, {"all": True})

    assert (begun.status_code, begun.json()["state"]) == (202, "waiting")
    assert (begun.json()["total"], begun.json()["sent_again"]) == (2, 0)
    assert states() == ["dead", "blocked"]
    page = f"{REDELIVERIES}{begun.json()['redelivery']}/"
    cancelled = api.post(f"{page}cancel/", {"reason": "too early"}).json()
    assert (cancelled["state"], cancelled["done"]) == ("cancelled", 0)
    problem(api.post(f"{page}cancel/"), 409)

    run(api.post(REDELIVERIES, {"all": True}).json()["redelivery"])

    [newest, _] = api.get(REDELIVERIES).json()["results"]
    assert (newest["state"], newest["done"], newest["total"]) == ("done", 2, 2)
    assert [row["verdict"] for row in newest["counts"]] == ["on_its_way", "sent_again"]
    assert states() == ["queued", "blocked"]


def test_more_entries_than_a_request_should_match_are_not_counted(api, dead, monkeypatch):
    monkeypatch.setattr("handlers.redelivery.request.MOST_COUNTED", 1)

    asked = {"all": True, "new_handlers": True, "dry_run": True}
    [message] = errors(api.post(REDELIVERIES, asked))[""]

    assert "manage.py redeliver_cdc_events" in message


def test_it_takes_the_permission_to_change_deliveries(client_of, dead):
    reader = client_of("view_delivery", "view_auditlogentry", "view_redelivery")
    addresses = [
        f"{DELIVERIES}{dead.pk}/redeliver/",
        f"{DELIVERIES}{dead.pk}/go-on/",
        f"{AUDIT_LOG}{dead.entry_id}/redeliver/",
        REDELIVERIES,
    ]

    for address in addresses:
        problem(reader.post(address, {}), 403)
    assert states() == ["dead", "blocked"]
    operator = client_of("change_delivery")
    assert operator.post(addresses[0], {}).status_code == 200


def test_a_blocked_one_says_what_it_waits_for_and_goes_on_without_it(api, dead):
    second = Delivery.objects.get(state="blocked")
    page = f"{DELIVERIES}{second.pk}/"
    assert api.get(page).json()["waits_for"]["delivery"] == dead.pk
    assert [row["id"] for row in api.get(DELIVERIES, {"halts": True}).json()["results"]] == [
        dead.pk
    ]

    answer = api.post(f"{DELIVERIES}{dead.pk}/go-on/", {"reason": "the record is gone"})

    assert (answer.status_code, answer.json()["halts"]) == (200, False)
    assert "the record is gone" in answer.json()["error"]
    assert states() == ["dead", "queued"]
    assert api.get(page).json()["waits_for"] is None
    problem(api.post(f"{DELIVERIES}{dead.pk}/go-on/"), 409)


def test_what_is_not_there_is_404(api, dead):
    problem(api.post(f"{DELIVERIES}0/redeliver/"), 404)
