"""When a mapping's handler is changed in the console, its waiting deliveries go to the new one."""

import pytest

from handlers.models import Delivery, HandlerMapping
from tests.commands.running import record
from tests.sample_data import change, make_mapping

pytestmark = pytest.mark.django_db(transaction=True)


def posted(mapping, **values):
    return {
        "name": mapping.name,
        "on": mapping.on,
        "entity": mapping.entity,
        "handler": mapping.handler,
        "task": mapping.task,
        "ordering": mapping.ordering,
        "on_dead": mapping.on_dead,
        "options": "{}",
        **values,
    }


def test_what_waits_moves_and_the_page_says_so(admin_client, listener):
    mapping = make_mapping(listener, handler="tests.rememmber")
    record(listener, change(records=["001A"]), change(records=["001B"]))

    page = admin_client.post(
        f"/admin/handlers/handlermapping/{mapping.pk}/change/",
        posted(mapping, handler="tests.remember", name="accounts"),
        follow=True,
    )

    assert "2 waiting deliveries move to tests.remember." in page.content.decode()
    assert set(Delivery.objects.values_list("handler", flat=True)) == {"tests.remember"}
    assert HandlerMapping.objects.get().name == "accounts"


def test_a_second_mapping_of_that_name_is_refused(admin_client, listener):
    make_mapping(listener, name="accounts")
    mapping = make_mapping(listener, "update")

    page = admin_client.post(
        f"/admin/handlers/handlermapping/{mapping.pk}/change/", posted(mapping, name="accounts")
    )

    assert page.status_code == 200
    assert "Another mapping of this listener has that name." in page.content.decode()
