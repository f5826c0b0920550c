"""Destinations over REST: secrets go in and never come out, and one in use stays."""

import pytest

from audit.models import OperatorAction
from handlers.models import Destination
from tests.api.answers import errors, problem
from tests.api.requests import DESTINATIONS, MAPPINGS
from tests.api.test_throttling import rates
from tests.sample_data import make_mapping

__all__ = ["rates"]
pytestmark = pytest.mark.django_db
SHOP = {"name": "shop", "broker": "redis://:hush@localhost:6379/0"}


@pytest.fixture
def shop(db):
    return Destination.objects.create(**SHOP)


def test_a_page_of_them_reads_the_incidents_once(api, django_assert_max_num_queries):
    for n in range(12):
        Destination.objects.create(name=f"shop{n}", broker=SHOP["broker"])

    with django_assert_max_num_queries(10):
        assert len(api.get(DESTINATIONS).json()["results"]) == 12


def test_it_is_created_read_and_changed_without_showing_its_secrets(api):
    created = api.post(DESTINATIONS, SHOP)

    assert created.status_code == 201, created.content
    shown = created.json()
    assert (shown["address"], shown["down"]) == ("redis://localhost:6379/0", "")
    assert shown["secrets"] == {"broker": "set", "result_backend": "not set"}
    row = f"{DESTINATIONS}{shown['id']}/"
    changed = api.patch(row, {"worker_events": True, "result_backend": "env:SHOP_RESULTS"})
    assert changed.json()["secrets"]["result_backend"] == "env:SHOP_RESULTS"
    assert Destination.objects.get().broker.reveal() == SHOP["broker"]
    assert "hush" not in f"{created.content}{changed.content}{api.get(row).content}"
    noted = OperatorAction.objects.filter(object_type="destination").order_by("id")
    assert [(one.action, one.details) for one in noted] == [
        ("add", {}),
        ("change", {"fields": ["result_backend", "worker_events"]}),
    ]


def test_what_cannot_work_is_refused_at_its_field(api):
    answer = api.post(DESTINATIONS, SHOP | {"broker": "http://:hush@shop.example"})

    assert "redis://" in errors(answer)["broker"][0]
    assert "hush" not in answer.text


def test_one_in_use_is_not_deleted(api, shop, listener):
    make_mapping(listener, handler="", task="shop.sync", destination=shop)

    refused = problem(api.delete(f"{DESTINATIONS}{shop.pk}/"), 409)

    assert "shop is in use" in refused["detail"]
    assert "shop.sync" in refused["detail"]


def test_a_mapping_names_its_destination(api, client_of, shop, listener):
    mapping = {"listener": listener.name, "on": "update", "task": "shop.sync"}

    created = api.post(MAPPINGS, mapping | {"destination": "shop"})
    assert created.json()["destination"] == "shop"
    unknown = errors(api.post(MAPPINGS, mapping | {"destination": "store"}))
    assert unknown == {"destination": ["There is no destination 'store'."]}
    unseen = client_of("add_handlermapping").post(MAPPINGS, mapping | {"destination": "shop"})
    assert "no destination" in errors(unseen)["destination"][0]


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("rates")
def test_it_is_tested_by_an_operator_and_before_it_is_stored_by_who_may_add(client_of, shop):
    operator, adder = client_of("operate_listener"), client_of("add_destination")
    for client, address, body in (
        (operator, f"{DESTINATIONS}{shop.pk}/test/", None),
        (adder, f"{DESTINATIONS}test/", SHOP | {"name": "store", "broker": "redis://localhost:1"}),
    ):
        answer = client.post(address, body)
        assert answer.status_code == 200, answer.content
        assert answer.json()["works"] is False
        assert answer.json()["findings"][0]["step"] == "broker"
    problem(adder.post(f"{DESTINATIONS}{shop.pk}/test/"), 403)
    problem(operator.post(f"{DESTINATIONS}test/", SHOP), 403)
