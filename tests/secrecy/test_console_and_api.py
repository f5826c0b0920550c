"""No page of the console and no answer of the API shows a stored or submitted secret."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib import admin as console
from django.contrib.admin.models import LogEntry
from django.contrib.auth import get_user_model
from rest_framework.authtoken.models import Token
from rest_framework.test import APIClient

from handlers.models import Destination
from listeners.models import Connection
from tests.api.requests import CONNECTIONS, EVERYTHING
from tests.commands.running import record
from tests.sample_data import change, make_listener, make_mapping
from tests.secrecy import places
from tests.secrecy.broken import every_secret

FIELDS = {
    "name": "prod",
    "auth": "jwt_bearer",
    "base_url": "https://example.my.salesforce.com",
    "client_id": "the-client",
    "username": "me@example.com",
    "proxy_host": "proxy.example",
    "proxy_port": 3128,
    "proxy_username": "me",
}
ADD = "/admin/listeners/connection/add/"
REFUSED = ({"name": ""}, {"auth": "nonsense"}, {"proxy_port": "x"}, {"clock_skew": "-1"})


@pytest.fixture
def org(db, planted):
    """A connection with all secrets, and one row of each kind that belongs to it."""
    connection = Connection.objects.create(**FIELDS, **every_secret(planted, "stored"))
    listener = make_listener(connection=connection)
    make_mapping(listener, handler="handlers.post_to_url", options={"secret": "env:HOOK"})
    shop = Destination.objects.create(
        name="shop",
        broker=f"redis://:{planted.plain('broker')}@localhost:6379/0",
        result_backend=f"redis://:{planted.plain('result backend')}@localhost:6379/1",
    )
    make_mapping(listener, "update", handler="", task="shop.sync", destination=shop)
    record(listener, change())
    return connection


@pytest.fixture
def typed(planted):
    """Values that a user enters, a secret in each field that takes one."""
    return every_secret(planted, "typed")


@pytest.fixture
def clean(planted, heard):
    """Asserts that neither an answer nor the log holds a secret, and returns the answer."""

    def look(response: Any) -> Any:
        said = f"{response.headers} {response.cookies} {response.content.decode()}"
        assert planted.leaks({response.request["PATH_INFO"]: said, **heard()}) == []
        return response

    return look


@pytest.fixture
def api(org):
    """An API client of a superuser."""
    client = APIClient(raise_request_exception=False)
    client.force_authenticate(get_user_model().objects.create_superuser("api"))
    return client


def test_no_page_of_the_console_shows_a_secret(admin, org, clean):
    shown = 0
    for model in console.site._registry:
        base = f"/admin/{model._meta.app_label}/{model._meta.model_name}/"
        for address in (base, f"{base}?q=e", f"{base}add/"):
            clean(admin.get(address))
        for row in model._default_manager.all():
            for page in ("change", "history", "delete"):
                shown += clean(admin.get(f"{base}{row.pk}/{page}/")).status_code == 200
    assert shown > 10


def test_no_form_shows_what_was_typed(admin, org, typed, clean):
    change_page = f"/admin/listeners/connection/{org.pk}/change/"
    for address in (ADD, change_page):
        for wrong in REFUSED:
            assert clean(admin.post(address, FIELDS | typed | wrong)).status_code == 200
    assert clean(admin.post(ADD, FIELDS | typed | {"name": "new"})).status_code == 302
    assert clean(admin.post(change_page, FIELDS | typed)).status_code == 302
    clean(admin.get("/admin/", follow=True))
    clean(admin.get(f"/admin/listeners/connection/{org.pk}/history/"))


def test_neither_the_history_nor_any_other_table_holds_a_secret(admin, org, typed, planted):
    admin.post(f"/admin/listeners/connection/{org.pk}/change/", FIELDS | typed)
    admin.post(ADD, FIELDS | typed | {"name": "new"})
    admin.post(f"/admin/listeners/connection/{org.pk}/delete/", {"post": "yes"})

    assert LogEntry.objects.count() >= 2
    assert Connection.objects.get(name="new").password.reveal() == typed["password"]
    assert planted.leaks(places.of_the_database()) == []


def test_deleting_a_user_does_not_show_the_users_key_of_the_api(admin, planted):
    user = get_user_model().objects.create_user("robot")
    planted.add("key of the API", Token.objects.create(user=user).key)

    page = admin.get(f"/admin/auth/user/{user.pk}/delete/")
    several = admin.post(
        "/admin/auth/user/", {"action": "delete_selected", "_selected_action": [user.pk]}
    )

    shown = {"delete": page.content.decode(), "delete several": several.content.decode()}
    assert planted.leaks(shown) == []


def test_no_answer_of_the_api_holds_a_secret(api, org, typed, clean):
    proxy = {"host": "proxy.example", "port": 1, "password": typed.pop("proxy_password")}
    body = {k: v for k, v in FIELDS.items() if not k.startswith("proxy")} | typed
    body["proxy_config"] = proxy | {"username": "me"}
    row = f"{CONNECTIONS}{org.pk}/"
    for address in (*EVERYTHING, row, "/api/schema/?format=json", "/api/v1/", "/api/none/"):
        for method in (api.get, api.head, api.options):
            clean(method(address))
    for wrong in ({}, {"name": ""}, {"auth": "?"}, {"clock_skew": "x"}, {"secrets": typed}):
        for send in (api.put, api.patch):
            clean(send(row, body | wrong))
        clean(api.post(CONNECTIONS, body | {"name": "new"} | wrong))
    clean(api.post(f"{CONNECTIONS}?name={org.name}", body, format=None))
    clean(api.delete(row))
    assert Connection.objects.get(name="new").password.reveal() == typed["password"]


def test_health_and_metrics_hold_no_secret(client, org, clean):
    for address in ("/healthz/live", "/healthz/ready", "/metrics"):
        clean(client.get(address))
