"""`proxy_config` is an object in the API, stored in separate fields of the connection."""

import pytest

from listeners.models import Connection
from tests.api.requests import CONNECTIONS, connection, proxy

SHOWN = {"scheme": "http", "host": "proxy.example", "port": 3128, "username": "me"}


@pytest.fixture
def page(api):
    """The address of a connection with a proxy."""
    stored = api.post(CONNECTIONS, connection(proxy_config=proxy())).json()
    assert stored["proxy_config"] == SHOWN
    return f"{CONNECTIONS}{stored['id']}/"


def test_without_it_there_is_no_proxy(api, db):
    assert api.post(CONNECTIONS, connection()).json()["proxy_config"] is None
    assert Connection.objects.get().proxy_host == ""


def test_it_is_stored_in_the_connections_own_fields(api, page):
    found = Connection.objects.get()

    assert (found.proxy_scheme, found.proxy_host, found.proxy_port) == (
        "http",
        "proxy.example",
        3128,
    )
    assert (found.proxy_username, found.proxy_password.reveal()) == ("me", "hush")


def test_a_part_that_is_left_out_is_kept(api, page):
    changed = api.patch(page, {"proxy_config": {"port": 8080}}).json()

    assert changed["proxy_config"] == {**SHOWN, "port": 8080}
    assert Connection.objects.get().proxy_password.reveal() == "hush"


def test_null_takes_the_proxy_away_with_its_password(api, page):
    changed = api.patch(page, {"proxy_config": None}).json()

    assert changed["proxy_config"] is None
    assert changed["secrets"]["proxy_password"] == "not set"
    found = Connection.objects.get()
    assert (found.proxy_host, found.proxy_port, found.proxy_username) == ("", None, "")
    assert not found.proxy_password


def test_it_is_kept_where_a_change_does_not_speak_of_it(api, page):
    assert api.put(page, connection()).json()["proxy_config"] == SHOWN
