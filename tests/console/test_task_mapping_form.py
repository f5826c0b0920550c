"""The form of a mapping to an external task shows, keeps and resets the settings of tasks."""

import pytest

from console.admin.mappings.form import VISIBILITY
from handlers.models import Destination, HandlerMapping
from tests.remote_worker import remote_worker
from tests.sample_data import make_mapping
from tests.servers import RedisServer

pytestmark = pytest.mark.slow


@pytest.fixture
def shop(db):
    return Destination.objects.create(name="shop", broker="redis://127.0.0.1:1/0")


@pytest.fixture
def save(admin_client, listener):
    def post(mapping, **fields):
        row = {"on": "create", "entity": "*", "ordering": "per_record", "on_dead": "continue"}
        page = f"/admin/handlers/handlermapping/{mapping.pk}/change/"
        return admin_client.post(page, {**row, "options": "{}", "after": "", **fields})

    return post


def _messages(response):
    """Return the warnings that the request added."""
    return [str(m) for m in response.wsgi_request._messages._queued_messages if m.level > 25]


def settings_of(mapping):
    mapping.refresh_from_db()
    return (mapping.destination, mapping.track, mapping.report_timeout, mapping.on_unknown)


def test_fields_of_tasks_are_hidden_for_handlers(admin_client, listener, shop):
    mapping = make_mapping(listener)
    page = f"/admin/handlers/handlermapping/{mapping.pk}/change/"
    html = admin_client.get(page).content.decode()
    for condition in VISIBILITY.values():
        assert f'x-show="{condition.replace("&", "&amp;")}"' in html
    assert "The broker of this project" in html


def test_settings_of_a_task_are_stored(save, listener, shop):
    mapping = make_mapping(listener, handler="", task="shop.sync", destination=shop)
    fields = {"task": "shop.sync", "destination": shop.pk, "options": '{"arguments": "parts"}'}
    tracked = {"track": "on", "report_timeout": "60", "on_unknown": "dead"}
    assert save(mapping, **fields, **tracked).status_code == 302
    assert settings_of(mapping) == (shop, True, 60, "dead")
    assert mapping.options == {"arguments": "parts"}


def test_hidden_settings_are_reset(save, listener, shop):
    mapping = make_mapping(listener, handler="", task="shop.sync", destination=shop)
    hidden = {"report_timeout": "60", "on_unknown": "dead", "destination": shop.pk}
    untracked = {**hidden, "task": "shop.sync", "max_attempts": "3"}
    assert save(mapping, **untracked).status_code == 302
    assert settings_of(mapping) == (shop, False, 3600, "retry")
    assert mapping.max_attempts is None

    assert save(mapping, handler="tests.remember", **hidden).status_code == 302
    assert settings_of(mapping) == (None, True, 3600, "retry")


def test_invalid_options_of_a_task_are_refused_at_the_field(save, listener):
    mapping = make_mapping(listener, handler="", task="shop.sync")
    tracked = {"track": "on", "report_timeout": "60", "on_unknown": "dead"}
    page = save(mapping, task="shop.sync", **tracked, options='{"priorty": 1}')
    assert "Did you mean priority?" in page.context["adminform"].errors["options"][0]


def test_a_task_that_no_worker_of_the_queue_has_is_refused(
    save, listener, shop, tmp_path, answered_surveys
):
    mapping = make_mapping(listener)
    tracked = {"track": "on", "report_timeout": "60", "on_unknown": "dead"}
    with RedisServer(tmp_path) as broker, remote_worker(broker.url, "shop.sync"):
        shop.broker = broker.url
        shop.save()
        fields = {"destination": shop.pk, **tracked}
        refused = save(mapping, task="shop.sinc", **fields)
        allowed = save(mapping, task="shop.sinc", allow_unknown_task="on", **fields)
        right = save(mapping, task="shop.sync", **fields)
    unreached = save(mapping, task="shop.sink", **fields)
    same = save(mapping, task="shop.sink", **fields, name="renamed")

    [message] = refused.context["adminform"].errors["task"]
    assert "Did you mean shop.sync?" in message
    assert "allow an unknown task" in message
    assert [response.status_code for response in (allowed, right, unreached, same)] == [302] * 4
    assert [_messages(page) for page in (allowed, right, same)] == [
        [message.removesuffix(" Or allow an unknown task below.")],
        [],
        [],
    ]
    [text] = _messages(unreached)
    assert "could not be checked" in text


def test_the_drawing_of_a_listener_names_the_destination(admin_client, listener, shop):
    make_mapping(listener, handler="", task="shop.sync", destination=shop, queue="crm")
    make_mapping(listener, handler="", task="shop.log", track=False)
    page = f"/admin/listeners/listener/{listener.pk}/change/"
    html = admin_client.get(page).content.decode()
    assert 'id="queue-crm-on-shop"' in html
    assert "Queue crm on shop" in html
    assert "External Celery task, not tracked" in html
    listed = admin_client.get("/admin/handlers/handlermapping/").content.decode()
    assert "on shop" in listed
    assert "not tracked" in listed
    assert HandlerMapping.objects.count() == 2
