"""Secrets can be written over the API, and only their state can be read."""

import pytest

from listeners.models import Connection
from tests.api.answers import errors
from tests.api.requests import CONNECTIONS, connection


@pytest.fixture
def page(api):
    return f"{CONNECTIONS}{api.post(CONNECTIONS, connection()).json()['id']}/"


def secret(name="client_secret"):
    return getattr(Connection.objects.get(), name)


def test_the_state_of_each_is_shown(api, page):
    api.patch(page, {"password": "env:SF_PASSWORD", "token": " file:/run/secrets/token\n"})

    assert api.get(page).json()["secrets"] == {
        "client_secret": "set",
        "password": "env:SF_PASSWORD",
        "token": "file:/run/secrets/token",
        "refresh_token": "not set",
        "private_key": "not set",
        "proxy_password": "not set",
    }


@pytest.mark.parametrize("method", ["patch", "put"])
def test_one_that_is_left_out_is_kept(api, page, method):
    fields = connection(client_id="other")
    del fields["client_secret"]

    assert getattr(api, method)(page, fields).status_code == 200
    assert Connection.objects.get().client_id == "other"
    assert secret().reveal() == "hush"


def test_a_new_one_takes_the_place_of_the_old_one(api, page):
    api.patch(page, {"client_secret": " new, with blanks "})

    assert secret().reveal() == " new, with blanks "
    assert "blanks" not in secret().stored


@pytest.mark.parametrize("nothing", ["", " \n"])
def test_an_empty_text_clears_one(api, page, nothing):
    api.patch(page, {"password": "old"})

    assert api.patch(page, {"password": nothing}).json()["secrets"]["password"] == "not set"
    assert not secret("password")


def test_one_that_is_needed_is_not_cleared(api, page):
    found = errors(api.patch(page, {"client_secret": ""}))

    assert found == {"client_secret": ["OAuth 2.0 client credentials requires this field."]}
    assert secret().reveal() == "hush"
