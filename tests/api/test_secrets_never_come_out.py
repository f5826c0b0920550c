"""No answer to any method contains a planted secret, whether it is stored or sent."""

import json
import logging

import pytest

from handlers.models import HandlerMapping
from listeners.models import Connection
from tests.api.requests import CONNECTIONS, EVERYTHING, connection, sent
from tests.sample_data import make_listener, make_mapping

STORED, SENT = "planted-and-stored", "planted-and-sent"
SECRETS = Connection.SECRETS
NESTED = {"proxy_config": {"host": "proxy.example", "port": 1, "username": "me", "password": SENT}}
FLAT = {name: SENT for name in SECRETS if not name.startswith("proxy_")}


@pytest.fixture
def org(db):
    return Connection.objects.create(
        **connection(proxy_host="proxy.example", proxy_port=1, proxy_username="me")
        | dict.fromkeys(SECRETS, STORED)
    )


@pytest.fixture
def search(org, caplog):
    """Asserts that neither an answer nor the log holds a secret, plain or encrypted."""
    caplog.set_level(logging.DEBUG)

    def clean(response):
        found = Connection.objects.get(pk=org.pk)
        text = f"{response.headers} {response.content.decode()} {caplog.text}"
        for secret in (STORED, SENT, *(getattr(found, name).stored for name in SECRETS)):
            assert secret not in text
        return response

    return clean


def test_in_what_is_read(api, org, search):
    make_mapping(make_listener(connection=org))
    for address in EVERYTHING:
        assert search(api.get(address)).status_code == 200
        search(api.options(address))
        search(api.head(address))
    assert search(api.get(f"{CONNECTIONS}{org.pk}/")).json()["secrets"]["token"] == "set"
    search(api.options(f"{CONNECTIONS}{org.pk}/"))


@pytest.mark.parametrize("method", ["put", "patch"])
def test_in_the_answer_to_a_change(api, org, search, method):
    fields = connection(**FLAT, **NESTED)
    assert search(getattr(api, method)(f"{CONNECTIONS}{org.pk}/", fields)).status_code == 200
    assert all(getattr(Connection.objects.get(), name).reveal() == SENT for name in SECRETS)


def test_in_the_answer_to_a_new_one_and_to_its_deletion(api, search):
    new = search(api.post(CONNECTIONS, connection(**FLAT, **NESTED) | {"name": "new"}))
    assert new.status_code == 201
    assert search(api.delete(f"{CONNECTIONS}{new.json()['id']}/")).status_code == 204


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": ""},
        {"auth": "jwt_bearer"},
        {"proxy_config": {**NESTED["proxy_config"], "host": "a b"}},
        {"proxy_config": {**NESTED["proxy_config"], "port": "x"}},
        {name: [SENT] for name in FLAT},
        {name: {"value": SENT} for name in FLAT},
        dict.fromkeys(FLAT, f"{SENT}\x00"),
        dict.fromkeys(FLAT, SENT + "\ud83d"),
        dict.fromkeys(FLAT, f"file:\x00{SENT}"),
        {"optional_params": {"api_key": SENT}},
        {"client_config": {"custom_headers": {"Authorization": f"Bearer {SENT}"}}},
        {"client_config": {"custom_payload": f"api_key={SENT}"}},
        {"auth": "password", "refresh_config": {"optional_params": {"password": SENT}}},
    ],
)
def test_in_a_refusal(api, org, search, wrong):
    for method, address in (
        ("post", CONNECTIONS),
        ("put", f"{CONNECTIONS}{org.pk}/"),
        ("patch", f"{CONNECTIONS}{org.pk}/"),
    ):
        fields = connection(**FLAT, **NESTED) | wrong | {"name": wrong.get("name", "other")}
        assert search(sent(api, method, address, fields)).status_code == 400


@pytest.mark.parametrize(
    "body",
    [
        f'{{"client_secret": "{SENT}"',
        f'["{SENT}"]',
        f'"{SENT}"',
        f'{{"client_secret": "{SENT}", "clock_skew": NaN}}',
        f'{{"client_secret": "{SENT}", "scopes": {"[" * 100_000}',
    ],
)
def test_in_the_answer_to_a_body_that_is_no_connection(api, search, body):
    response = api.post(CONNECTIONS, body, content_type="application/json")
    assert search(response).status_code == 400


def test_in_the_answer_to_a_body_of_another_kind(api, search):
    for kind in ("application/x-www-form-urlencoded", "text/plain"):
        response = api.post(CONNECTIONS, f"client_secret={SENT}", content_type=kind)
        assert search(response).status_code == 415


def test_in_the_answer_to_a_failure_of_our_own(api, org, search, monkeypatch, settings):
    def fail(self):
        raise RuntimeError("unforeseen")

    monkeypatch.setattr(Connection, "clean", fail)
    api.raise_request_exception = False
    settings.DEBUG = True  # Django's own page for this would show the request
    response = api.patch(f"{CONNECTIONS}{org.pk}/", {"client_secret": SENT})
    assert search(response).status_code == 500
    assert response.headers["Content-Type"] == "application/problem+json"


def test_a_plain_secret_among_a_mappings_options_is_refused_and_not_repeated(api, search):
    mapping = make_mapping(make_listener(), handler="handlers.post_to_url")
    options = {"url": "https://example.com", "secret": SENT}
    response = search(api.patch(f"/api/v1/handler-mappings/{mapping.pk}/", {"options": options}))
    assert response.status_code == 400
    assert HandlerMapping.objects.get().options == {}


def test_in_the_schema(api, search):
    schema = search(api.get("/api/schema/?format=json")).json()
    shapes = schema["components"]["schemas"]
    for name in FLAT:
        assert shapes["ConnectionRequest"]["properties"][name]["writeOnly"] is True
        assert shapes["PatchedConnectionRequest"]["properties"][name]["writeOnly"] is True
        assert name not in shapes["Connection"]["properties"]
    assert shapes["ProxyRequest"]["properties"]["password"]["writeOnly"] is True
    assert "password" not in shapes["Proxy"]["properties"]
    assert '"example' not in json.dumps(schema)
