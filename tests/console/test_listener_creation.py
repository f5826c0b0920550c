"""A new listener starts with four handler mappings."""

import pytest

from handlers.models import HandlerMapping
from listeners.models import Connection, Listener
from tests.sample_data import make_listener, make_mapping

ADD = "/admin/listeners/listener/add/"

pytestmark = pytest.mark.django_db


def form(**fields) -> dict[str, object]:
    connection = Connection.objects.create(name="prod", base_url="https://example.com")
    return {
        "name": "salesforceListener",
        "connection": connection.pk,
        "channel": "/data/ChangeEvents",
        "transport": "cometd",
        "replay_from": "tip",
        "on_replay_lost": "earliest",
        "gap_policy": "fetch",
        "enabled": "on",
        "api_version": "67.0",
        "connection_timeout": "30",
        "read_timeout": "30",
        **fields,
    }


def test_the_form_begins_with_the_default_name(admin_client):
    html = admin_client.get(ADD).content.decode()
    assert 'value="salesforceListener"' in html
    assert 'value="/data/ChangeEvents"' in html


def test_three_steps_are_seen_and_the_rest_has_its_defaults(admin_client):
    Connection.objects.create(name="only", base_url="https://example.com")
    make_listener(name="salesforceListener", connection=Connection.objects.get())

    page = admin_client.get(ADD)

    fieldsets = list(page.context["adminform"])
    assert [one.name for one in fieldsets] == [
        "1. Connection",
        "2. Channel",
        "3. Name",
        "Advanced configuration",
    ]
    assert [one.is_collapsible for one in fieldsets] == [False, False, False, True]
    form = page.context["adminform"].form
    assert form["connection"].value() == Connection.objects.get().pk
    assert form["name"].value() == "salesforceListener2"
    seen = {name for one in fieldsets for line in one.fields for name in [line]}
    assert seen == set(form.fields)
    for name in fieldsets[-1].fields:
        assert form.fields[name].help_text.rpartition("Default: ")[2], name
    html = page.content.decode()
    assert "Default: Continue with the earliest retained event." in html
    assert html.count('id="add_id_connection"') == 1


def test_a_wrong_advanced_setting_is_not_hidden(admin_client):
    page = admin_client.post(ADD, form(replay_from="sometimes"))
    *_, advanced = page.context["adminform"]
    assert not advanced.is_collapsible


def test_the_next_page_says_what_to_do(admin_client):
    html = admin_client.post(ADD, form(), follow=True).content.decode()
    assert "Next: choose the handlers that get its changes." in html
    assert "once a listener process runs: manage.py run_cdc_listener." in html


def test_a_new_listener_gets_its_four_event_handlers(admin_client):
    response = admin_client.post(ADD, form())
    listener = Listener.objects.get()
    assert response.url == f"/admin/listeners/listener/{listener.pk}/change/"
    mappings = HandlerMapping.objects.filter(listener=listener)
    assert [(m.on, m.entity, m.handler, m.task) for m in mappings] == [
        ("create", "*", "", ""),
        ("update", "*", "", ""),
        ("delete", "*", "", ""),
        ("restore", "*", "", ""),
    ]


def test_a_listener_over_the_pubsub_api_is_made_and_what_does_nothing_is_said(admin_client):
    fields = form(transport="pubsub", pubsub_endpoint="", managed_subscription="CRM_Sync")
    page = admin_client.post(ADD, {**fields, "replay_from": "earliest"}, follow=True)

    listener = Listener.objects.get()
    assert (listener.transport, listener.managed_subscription) == ("pubsub", "CRM_Sync")
    assert listener.pubsub_endpoint == "api.pubsub.salesforce.com:7443"
    html = page.content.decode()
    assert "replay_from does nothing with managed_subscription" in html
    listed = admin_client.get("/admin/listeners/listener/").content.decode()
    assert "Pub/Sub API (gRPC)" in listed


def test_saving_it_again_adds_none(admin_client, listener):
    make_mapping(listener, "create")
    fields = form(name=listener.name, connection=listener.connection_id)
    response = admin_client.post(f"/admin/listeners/listener/{listener.pk}/change/", fields)
    assert response.status_code == 302
    assert HandlerMapping.objects.count() == 1


def test_the_page_of_a_listener_offers_channels_when_its_field_is_entered(as_a, listener):
    page = f"/admin/listeners/listener/{listener.pk}/change/"

    changing = as_a("CDC Administrator").get(page).content.decode()
    reading = as_a("CDC Viewer").get(page).content.decode()

    assert 'data-channels="/admin/listeners/listener/channels/"' in changing
    assert 'data-channels-on="focus"' in changing
    assert "data-channels" not in reading


def test_a_wrong_channel_is_said_at_the_field(admin_client):
    response = admin_client.post(ADD, form(channel="/data/accounts"))
    assert list(response.context["adminform"].errors) == ["channel"]
    assert not Listener.objects.exists()


def test_kinds_that_have_a_mapping_get_no_second_one(listener):
    mine = make_mapping(listener, "update", entity="Account")
    created = HandlerMapping.objects.create_defaults(listener)
    assert [mapping.on for mapping in created] == ["create", "delete", "restore"]
    assert HandlerMapping.objects.create_defaults(listener) == []
    assert HandlerMapping.objects.get(on="update") == mine
