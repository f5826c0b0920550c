import pytest

from handlers.models import Delivery, HandlerMapping
from tests.api.answers import errors
from tests.api.requests import LISTENERS, MAPPINGS
from tests.commands.running import record
from tests.sample_data import change, make_listener, make_mapping


@pytest.fixture
def listener(db):
    return make_listener(name="crm")


@pytest.mark.django_db(transaction=True)
def test_another_handler_gets_what_waits(api, transactional_db):
    listener = make_listener(name="crm")
    mapping = make_mapping(listener, handler="tests.rememmber")
    record(listener, change(records=["001A"]), change(records=["001B"]))

    answer = api.patch(f"{MAPPINGS}{mapping.pk}/", {"handler": "tests.remember"})

    assert answer.status_code == 200
    assert set(Delivery.objects.values_list("handler", flat=True)) == {"tests.remember"}


def test_a_name_is_unique_for_a_listener(api, listener):
    make_mapping(listener, name="accounts")
    other = make_listener(name="other")

    refused = api.post(MAPPINGS, {"listener": "crm", "on": "update", "name": "accounts"})

    assert errors(refused) == {"name": ["Another mapping of this listener has that name."]}
    made = api.post(MAPPINGS, {"listener": "other", "on": "update", "name": "accounts"})
    assert made.status_code == 201
    assert HandlerMapping.objects.filter(name="accounts", listener=other).exists()


def test_a_new_listeners_handlers_have_names_of_their_own(api, listener):
    twins = [{"on": on, "name": "accounts"} for on in ("create", "update")]
    wanted = {"name": "new", "connection": listener.connection.name, "handlers": twins}

    refused = api.post(LISTENERS, wanted)

    assert errors(refused) == {"handlers": ["Two handlers have the name 'accounts'."]}


def test_the_name_of_a_deleted_mapping_is_free(api, listener):
    make_mapping(listener, name="accounts").delete()

    made = api.post(MAPPINGS, {"listener": "crm", "on": "update", "name": "accounts"})

    assert made.status_code == 201
