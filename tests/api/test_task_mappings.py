"""Mappings to external tasks over REST: destination, tracking, and the check of the task's name."""

import pytest

from handlers.models import Destination, HandlerMapping
from tests.api.answers import errors
from tests.api.requests import MAPPINGS
from tests.remote_worker import remote_worker
from tests.sample_data import make_listener
from tests.servers import RedisServer

pytestmark = pytest.mark.slow

TRACKED = {"track": True, "report_timeout": 60, "on_unknown": "dead"}


@pytest.fixture
def listener(db):
    return make_listener(name="crm")


@pytest.fixture
def shop_broker(tmp_path):
    with RedisServer(tmp_path) as server:
        yield server


@pytest.fixture
def shop(db, shop_broker):
    return Destination.objects.create(name="shop", broker=shop_broker.url)


def mapping(task="shop.sync", **fields):
    return {"listener": "crm", "on": "update", "task": task, "destination": "shop", **fields}


def test_a_task_mapping_is_created_read_and_changed(api, listener, shop, patient_surveys):
    created = api.post(MAPPINGS, mapping(**TRACKED, options={"arguments": "parts"}))

    assert created.status_code == 201
    stored = created.json()
    page = f"{MAPPINGS}{stored['id']}/"
    assert {name: stored[name] for name in (*TRACKED, "destination", "task")} == {
        **TRACKED,
        "destination": "shop",
        "task": "shop.sync",
    }
    [warning] = stored.pop("warnings")
    assert warning["field"] == "task"
    assert "no worker answered" in warning["message"]
    assert api.get(page).json() == {**stored, "warnings": []}
    changed = api.patch(page, {"report_timeout": 90})
    assert (changed.json()["report_timeout"], changed.json()["warnings"]) == (90, [])
    own = api.patch(page, {"destination": None})
    assert (own.status_code, own.json()["destination"]) == (200, None)
    assert [m["id"] for m in api.get(MAPPINGS, {"destination": "shop"}).json()["results"]] == []


def test_a_task_that_no_worker_of_the_queue_has_is_refused(
    api, listener, shop, shop_broker, answered_surveys
):
    with remote_worker(shop_broker.url, "shop.sync_account", queues=["crm"]):
        refused = api.post(MAPPINGS, mapping("shop.sync_acount", queue="crm"))
        allowed = api.post(
            f"{MAPPINGS}?allow_unknown_task=true", mapping("shop.sync_acount", queue="crm")
        )
        right = api.post(MAPPINGS, mapping("shop.sync_account", queue="crm"))
        page = f"{MAPPINGS}{right.json()['id']}/"
        changed = api.patch(page, {"task": "shop.other"})

    [message] = errors(refused)["task"]
    assert "Did you mean shop.sync_account?" in message
    assert "?allow_unknown_task=true" in message
    assert allowed.status_code == 201
    assert "Did you mean" in allowed.json()["warnings"][0]["message"]
    assert (right.status_code, right.json()["warnings"]) == (201, [])
    assert "No worker of the queue crm" in errors(changed)["task"][0]
    assert HandlerMapping.objects.count() == 2


def test_the_tasks_of_a_new_listener_are_checked(
    api, listener, shop, shop_broker, answered_surveys
):
    new = {
        "name": "new",
        "connection": listener.connection.name,
        "handlers": [{"on": "create", "task": "shop.sync", "destination": "shop"}],
    }
    with remote_worker(shop_broker.url, "shop.other"):
        refused = api.post("/api/v1/listeners/", new)
        allowed = api.post("/api/v1/listeners/?allow_unknown_task=true", new)

    assert "No worker of the queue celery" in str(refused.json())
    assert (refused.status_code, allowed.status_code) == (400, 201)


@pytest.mark.parametrize(
    ("fields", "at", "said"),
    [
        ({"destination": "mall"}, "destination", "There is no destination 'mall'."),
        ({"task": ""}, "destination", "Only a task has a destination"),
        ({"track": False, "report_timeout": 60}, "report_timeout", "without tracking"),
        ({"on_unknown": "halt"}, "on_unknown", "not a valid choice"),
        ({"report_timeout": 0}, "report_timeout", "greater than or equal to 1"),
        ({"options": {"priority": 300}}, "options", "priority: Give the message's priority"),
    ],
)
def test_invalid_settings_are_refused_at_their_field(api, listener, shop, fields, at, said):
    found = errors(api.post(MAPPINGS, mapping(**fields)))

    assert said in found[at][0]
    assert not HandlerMapping.objects.exists()


def test_a_user_who_may_not_view_destinations_cannot_use_them(client_of, listener, shop):
    client = client_of("add_handlermapping", "view_handlermapping")

    found = errors(client.post(MAPPINGS, mapping()))

    assert found == {"destination": ["There is no destination 'shop'."]}
