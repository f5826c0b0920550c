"""The pages of destinations: the URLs are never shown, and the test sends no task."""

import json

import pytest
from django.urls import reverse
from django.utils import timezone

from audit.models import Incident, OperatorAction
from consumer.monitoring import destinations
from handlers.models import Destination, HandlerMapping
from tests.sample_data import make_mapping
from tests.servers import free_port

pytestmark = [pytest.mark.slow, pytest.mark.django_db]
LIST = reverse("admin:handlers_destination_changelist")
ADD = reverse("admin:handlers_destination_add")
TEST = reverse("admin:handlers_destination_try_new")


@pytest.fixture
def shop():
    broker = f"redis://:hush@127.0.0.1:{free_port()}/0"
    return Destination.objects.create(name="shop", broker=broker)


def page(shop, name: str = "change") -> str:
    return reverse(f"admin:handlers_destination_{name}", args=[shop.pk])


def test_one_is_added_and_changed_and_its_url_is_not_shown(admin_client):
    given = {"name": "shop", "broker": "redis://:hush@localhost:6379/0"}
    assert admin_client.post(ADD, given).status_code == 302
    shop = Destination.objects.get()

    admin_client.post(page(shop), {"name": "store", "broker": "", "worker_events": "on"})

    shop.refresh_from_db()
    assert (shop.name, shop.worker_events) == ("store", True)
    assert shop.broker.reveal() == given["broker"]
    for address in (LIST, page(shop)):
        text = admin_client.get(address).text
        assert "hush" not in text
    assert "redis://localhost:6379/0" in admin_client.get(LIST).text
    actions = OperatorAction.objects.order_by("id").values_list("action", flat=True)
    assert list(actions) == ["add", "change"]


def test_a_refused_url_is_not_shown_again(admin_client):
    text = admin_client.post(ADD, {"name": "shop", "broker": "http://:hush@localhost"}).text

    assert "must start with redis://" in text
    assert "hush" not in text


def test_what_is_down_says_so_in_the_list_and_on_its_page(admin_client, shop):
    destinations.check(timezone.now())

    summary = Incident.objects.get().summary
    for address in (LIST, page(shop)):
        assert summary in admin_client.get(address).text.replace("&#x27;", "'")


def test_one_in_use_is_not_deleted(admin_client, shop, listener):
    make_mapping(listener, handler="", task="shop.sync", destination=shop)

    for method in (admin_client.get, admin_client.post):
        answer = method(page(shop, "delete"), {"post": "yes"}, follow=True)
        assert "shop is in use" in answer.text
    assert Destination.objects.exists()


def test_one_of_a_deleted_mapping_without_open_deliveries_is_deleted(admin_client, shop, listener):
    mapping = make_mapping(listener, handler="", task="shop.sync", destination=shop)
    mapping.delete()
    HandlerMapping.with_deleted.update(emptied_at=timezone.now())

    assert "Are you sure" in admin_client.get(page(shop, "delete")).text
    admin_client.post(page(shop, "delete"), {"post": "yes"})

    assert not Destination.objects.exists()
    assert OperatorAction.objects.get().action == "delete"


@pytest.mark.django_db(transaction=True)
def test_what_is_entered_is_tested_and_not_saved(admin_client):
    given = {"name": "", "broker": f"redis://:hush@127.0.0.1:{free_port()}/0"}

    answer = admin_client.post(TEST, given)

    first, end = map(json.loads, b"".join(answer.streaming_content).splitlines())
    assert first["failed"]
    assert first["step"] == "broker"
    assert "hush" not in str(first)
    assert end == {"end": True, "works": False}
    assert not Destination.objects.exists()
    assert OperatorAction.objects.get().details == {"works": False, "unsaved": True}


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("role", "status"), [("CDC Viewer", 403), ("CDC Operator", 200)])
def test_an_operator_tests_what_is_stored(as_a, shop, role, status):
    client = as_a(role)

    assert client.get(page(shop)).status_code == 200
    assert client.post(page(shop, "try")).status_code == status
    assert client.post(page(shop), {"name": "store"}).status_code == 403
