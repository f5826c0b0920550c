"""A mapping's form offers the registered handlers."""

import pytest

from handlers.models import HandlerMapping
from tests.sample_data import make_mapping

pytestmark = pytest.mark.slow

ADD = "/admin/handlers/handlermapping/add/"


@pytest.fixture
def save(admin_client, listener):
    """Post a mapping's page, or a new one's, with these changes."""

    def post(mapping: HandlerMapping | None, **fields):
        row = {
            "listener": listener.pk,
            "on": "update",
            "entity": "*",
            "handler": "",
            "ordering": "per_record",
            "on_dead": "continue",
            "options": "{}",
            **fields,
        }
        return admin_client.post(page_of(mapping) if mapping else ADD, row)

    return post


def errors(response) -> dict[str, list[str]]:
    return response.context["adminform"].errors


def page_of(mapping: HandlerMapping) -> str:
    return f"/admin/handlers/handlermapping/{mapping.pk}/change/"


def test_the_registered_handlers_are_offered_with_what_they_do(admin_client, listener):
    html = admin_client.get(page_of(make_mapping(listener))).content.decode()
    assert "tests.remember: Note the event." in html


def test_an_unregistered_handler_is_warned_about_on_the_page(admin_client, listener):
    mapping = make_mapping(listener, handler="gone.handler")
    drawing = admin_client.get(f"/admin/listeners/listener/{listener.pk}/change/").content.decode()
    assert "No handler is registered under the name &#x27;gone.handler&#x27;" in drawing
    html = admin_client.get(page_of(mapping)).content.decode()
    assert "gone.handler (not registered)" in html


def test_an_unregistered_handler_is_marked_in_the_list(admin_client, listener):
    make_mapping(listener, handler="gone.handler")
    assert "1 not registered" in admin_client.get("/admin/listeners/listener/").content.decode()


def test_a_mapping_whose_handler_is_gone_can_still_be_saved(save, listener):
    mapping = make_mapping(listener, "update", handler="gone.handler")
    assert save(mapping, handler="gone.handler", queue="crm").status_code == 302
    mapping.refresh_from_db()
    assert (mapping.handler, mapping.queue) == ("gone.handler", "crm")


def test_an_unregistered_handler_cannot_be_chosen(save, listener):
    mapping = make_mapping(listener, "update")
    assert "handler" in errors(save(mapping, handler="no.such.handler"))
    mapping.refresh_from_db()
    assert mapping.handler == "tests.remember"


def test_a_handler_and_a_task_cannot_be_chosen_both(save, listener):
    mapping = make_mapping(listener, "update")
    refused = errors(save(mapping, handler="tests.remember", task="their.task"))
    assert refused == {"__all__": ["Choose a handler or a task, not both."]}


def test_changed_fields_are_written_with_commas(save, listener):
    mapping = make_mapping(listener, "update")
    assert save(mapping, changed_fields="Phone, Name.FirstName ,").status_code == 302
    mapping.refresh_from_db()
    assert mapping.changed_fields == ["Phone", "Name.FirstName"]


def test_changed_fields_are_for_updates(save, listener):
    mapping = make_mapping(listener, "create")
    assert "changed_fields" in errors(save(mapping, on="create", changed_fields="Phone"))


def test_empty_options_are_an_empty_object(save, listener):
    mapping = make_mapping(listener, "update", options={"a": 1})
    assert save(mapping, options="").status_code == 302
    mapping.refresh_from_db()
    assert mapping.options == {}


@pytest.mark.parametrize("options", ["[1]", "{", '"text"'])
def test_options_that_are_no_object_are_refused_at_the_field(save, listener, options):
    assert "options" in errors(save(make_mapping(listener, "update"), options=options))


def test_what_the_handler_says_about_its_options_stands_at_the_field(save, listener):
    mapping = make_mapping(listener, "update")
    refused = errors(save(mapping, handler="handlers.post_to_url", options="{}"))
    assert refused == {
        "options": ["handlers.post_to_url: url is needed and begins with https:// or http://."]
    }


def test_a_plain_secret_in_the_options_is_refused_and_not_shown_again(save, listener):
    mapping = make_mapping(listener, "update")
    response = save(
        mapping,
        handler="handlers.post_to_url",
        options='{"url": "https://erp.example.com", "secret": "in-plain-text"}',
    )
    assert "options" in errors(response)
    assert "in-plain-text" not in response.content.decode()


def test_a_new_mapping_is_added_beside_the_others(save, listener):
    assert save(None, handler="tests.remember", entity="Contact").status_code == 302
    assert HandlerMapping.objects.get(entity="Contact").handler == "tests.remember"
