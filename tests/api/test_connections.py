import json
from typing import Any

import pytest
from django.db import connection as db
from django.test.utils import CaptureQueriesContext

from listeners.models import Connection
from listeners.models.connection_rules import SOAP_RETIRES
from tests.api.answers import errors, problem
from tests.api.requests import CONNECTIONS, connection, proxy, sent
from tests.sample_data import make_listener


@pytest.fixture
def stored(api):
    """The answer to the creation of a connection."""
    response = api.post(CONNECTIONS, connection())
    assert response.status_code == 201, response.content
    return response.json()


def page(stored: dict[str, Any]) -> str:
    return f"{CONNECTIONS}{stored['id']}/"


def test_a_connection_is_made_read_changed_and_deleted(api, stored):
    assert api.get(page(stored)).json() == stored
    assert list(stored)[:3] == ["id", "name", "auth"]
    assert stored["token_store"] == "database"

    changed = api.patch(page(stored), {"scopes": ["api"], "clock_skew": 2}).json()

    assert (changed["scopes"], changed["clock_skew"]) == (["api"], 2.0)
    assert Connection.objects.get().scopes == ["api"]
    assert api.delete(page(stored)).status_code == 204
    assert not Connection.objects.exists()


def test_what_was_read_can_be_sent_back(api, stored):
    api.patch(page(stored), {"proxy_config": proxy()})
    read = api.get(page(stored)).json()

    assert api.put(page(stored), read).json() == read
    assert Connection.objects.get().client_secret.reveal() == "hush"


def test_the_model_cleans_what_is_stored(api):
    response = api.post(CONNECTIONS, connection(base_url="https://example.my.salesforce.com/"))

    assert response.json()["base_url"] == "https://example.my.salesforce.com"
    assert Connection.objects.get().base_url == "https://example.my.salesforce.com"


def test_a_change_that_changes_nothing_writes_nothing(api, stored):
    before = Connection.objects.get().updated_at

    api.put(page(stored), connection())

    assert Connection.objects.get().updated_at == before
    api.patch(page(stored), {"client_id": "other"})
    assert Connection.objects.get().updated_at > before


def test_all_that_a_kind_of_login_lacks_is_said_at_once(api):
    response = api.post(CONNECTIONS, connection(auth="password", name="1st"))

    assert errors(response) == {
        "name": ["Use letters, digits, dots, hyphens and underscores, and begin with a letter."],
        "username": ["OAuth 2.0 username and password requires this field."],
        "password": ["OAuth 2.0 username and password requires this field."],
    }
    assert not Connection.objects.exists()


@pytest.mark.parametrize(
    ("fields", "at", "message"),
    [
        ({"auth": "magic"}, "auth", "is not a valid choice"),
        ({"base_url": "ftp://example.com"}, "base_url", "Enter a URL such as"),
        ({"clock_skew": -1}, "clock_skew", "greater than or equal to 0"),
        ({"clock_skew": True}, "clock_skew", "A valid number is required."),
        ({"clock_skew": "NaN"}, "clock_skew", "A valid number is required."),
        ({"scopes": "api"}, "scopes", "Enter a list of scopes"),
        ({"scopes": ["\0"]}, "scopes", "database cannot store"),
        ({"optional_params": {"a": "\ud83d"}}, "optional_params", "database cannot store"),
        (
            {"optional_params": {"client_id": "x"}},
            "optional_params",
            "The login sets the parameter",
        ),
        ({"client_config": {"tsl": {}}}, "client_config", "did you mean tls?"),
        ({"private_key": "x", "auth": "jwt_bearer"}, "private_key", "Enter an RSA private key"),
        ({"client_secret": "env:"}, "client_secret", "Add the name of the variable"),
        ({"client_secret": None}, "client_secret", "This field may not be null."),
        ({"client_secret": ["hush"]}, "client_secret", "Not a valid string."),
        ({"cleint_id": "x"}, "cleint_id", "There is no such field; did you mean client_id?"),
        ({"proxy_host": "x"}, "proxy_host", "There is no such field"),
        ({"proxy_config": {"hots": "x"}}, "proxy_config.hots", "did you mean host?"),
        ({"proxy_config": proxy(host="http://x")}, "proxy_config.host", "Enter only the host"),
        ({"proxy_config": proxy(port=None)}, "proxy_config.port", "Enter the proxy's port."),
        ({"proxy_config": proxy(port=70000)}, "proxy_config.port", "less than or equal to 65535"),
        (
            {"proxy_config": proxy(username="")},
            "proxy_config.username",
            "A proxy password requires",
        ),
        ({"proxy_config": "http://x"}, "proxy_config", "Expected a dictionary"),
    ],
)
def test_what_is_wrong_is_said_at_the_field_and_nothing_is_written(api, fields, at, message):
    found = errors(sent(api, "post", CONNECTIONS, connection(**fields)))

    assert at in found
    assert message in found[at][0]
    assert not Connection.objects.exists()


def test_wrong_names_and_types_are_reported_together(api):
    found = errors(api.post(CONNECTIONS, connection(is_sandbox="perhaps", cleint_id="x")))

    assert set(found) == {"is_sandbox", "cleint_id"}


def test_a_number_that_is_not_finite_is_refused(api):
    for name, number in (
        ("clock_skew", "1e999"),
        ("client_config", '{"connection_timeout": 1e999}'),
    ):
        body = json.dumps(connection())[:-1] + f', "{name}": {number}}}'
        assert name in errors(api.post(CONNECTIONS, body, content_type="application/json"))


def test_a_name_is_given_once(api, stored):
    assert errors(api.post(CONNECTIONS, connection())) == {
        "name": ["Connection with this Name already exists."]
    }


def test_a_change_is_checked_as_the_whole_row_that_it_makes(api, stored):
    found = errors(api.patch(page(stored), {"auth": "soap"}))

    assert set(found) == {"username", "password"}
    assert Connection.objects.get().auth == "client_credentials"


@pytest.mark.skipif(not db.features.has_select_for_update, reason="SQLite locks the whole file")
@pytest.mark.parametrize("method", ["put", "patch", "delete"])
def test_the_row_is_locked_while_it_is_checked_and_changed(api, stored, method):
    with CaptureQueriesContext(db) as queries:
        getattr(api, method)(page(stored), connection(name="other"))

    locks = [query["sql"] for query in queries if "FOR NO KEY UPDATE" in query["sql"]]
    assert len(locks) == 1
    assert Connection._meta.db_table in locks[0]


def test_warnings_are_returned_and_refuse_nothing(api):
    response = api.post(
        CONNECTIONS, connection(auth="soap", username="me@example.com", password="hush")
    )

    assert response.status_code == 201
    assert response.json()["warnings"] == [
        {"field": "base_url", "message": "base_url does nothing with soap"},
        {"field": "client_id", "message": "client_id does nothing with soap"},
        {"field": "client_secret", "message": "client_secret does nothing with soap"},
        {"field": "auth", "message": SOAP_RETIRES},
    ]


def test_a_connection_in_use_is_not_deleted(api, stored):
    make_listener(name="crm", connection=Connection.objects.get())

    found = problem(api.delete(page(stored)), 409)

    assert found["detail"] == "Connection prod is in use. Delete its listeners first: crm."
    assert Connection.objects.exists()
