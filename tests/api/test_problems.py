"""All errors of the API have the form of RFC 9457."""

import pytest
from django.db import IntegrityError
from rest_framework.test import APIClient

from listeners.models import Connection
from tests.api.answers import errors, problem
from tests.api.requests import (
    ACTIONS,
    AUDIT_LOG,
    CONNECTIONS,
    DELIVERIES,
    LISTENERS,
    connection,
)


def test_the_members_are_those_of_rfc_9457(api):
    assert problem(api.get(f"{CONNECTIONS}1/"), 404) == {
        "type": "about:blank",
        "title": "Not Found",
        "status": 404,
        "detail": "No Connection matches the given query.",
        "errors": [],
    }


def test_a_refusal_lists_each_message_with_the_path_of_its_field(api):
    wanted = connection(name="", proxy_config={"port": "x", "host": ["y"]})

    found = problem(api.post(CONNECTIONS, wanted), 400)

    assert found["title"] == "Bad Request"
    assert found["errors"] == [
        {"field": "name", "message": "This field may not be blank."},
        {"field": "proxy_config.host", "message": "Not a valid string."},
        {"field": "proxy_config.port", "message": "A valid integer is required."},
    ]


@pytest.mark.parametrize("body", ["[]", '"text"', "3"])
def test_a_body_that_is_no_object_is_wrong_as_a_whole(api, body):
    found = errors(api.post(CONNECTIONS, body, content_type="application/json"))

    assert list(found) == [""]


@pytest.mark.parametrize("body", ["{", "", '{"a": NaN}', b"\xff", "[" * 100_000])
def test_a_body_that_is_no_json_is_said_to_be_none(api, body):
    problem(api.post(CONNECTIONS, body, content_type="application/json"), 400)


def test_json_alone_is_read_and_written(api):
    problem(api.post(CONNECTIONS, "a=b", content_type="application/x-www-form-urlencoded"), 415)
    problem(api.get(CONNECTIONS, headers={"Accept": "text/html"}), 406)
    problem(api.get(CONNECTIONS, {"format": "api"}), 404)
    browser = api.get(CONNECTIONS, headers={"Accept": "text/html,*/*;q=0.8"})
    assert browser.headers["Content-Type"] == "application/json"


@pytest.mark.parametrize("address", ["/api/", "/api/v1/nothing/", "/api/v2/connections/"])
def test_an_address_where_nothing_is_answers_in_the_same_form(address):
    for method in ("get", "post", "delete"):
        problem(getattr(APIClient(), method)(address), 404)


def test_a_slash_that_was_forgotten_is_added(db):
    response = APIClient().get("/api/v1/connections")

    assert (response.status_code, response.headers["Location"]) == (301, CONNECTIONS)


def test_a_page_of_documentation_says_its_problems_in_json_too(db):
    problem(APIClient().post("/api/docs/"), 405)
    problem(APIClient().post("/api/schema/"), 405)


def test_writing_the_same_row_at_once_is_a_conflict(api, monkeypatch):
    def lose(self, *args, **kwargs):
        raise IntegrityError("UNIQUE constraint failed")

    monkeypatch.setattr(Connection, "save", lose)

    found = problem(api.post(CONNECTIONS, connection()), 409)

    assert found["detail"] == "Another request changed the same data. Send the request again."


def test_a_failure_of_our_own_is_logged_and_not_shown(api, monkeypatch, caplog):
    def fail(self):
        raise RuntimeError("the inner workings")

    monkeypatch.setattr(Connection, "clean", fail)
    api.raise_request_exception = False

    found = problem(api.post(CONNECTIONS, connection()), 500)

    assert "inner workings" not in str(found)
    assert "the inner workings" in caplog.text
    assert not Connection.objects.exists()


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ("handlr=x", {"handlr": ["There is no such parameter; did you mean handler?"]}),
        ("handler=", {"handler": ["Give a value, or leave out the parameter."]}),
        ("entry=1.5", {"entry": ["Enter a whole number."]}),
        ("halts=perhaps", {"halts": ["Give true or false."]}),
        ("page_size=0", {"page_size": ["Give a number from 1 to 1000."]}),
        ("page_size=1001", {"page_size": ["Give a number from 1 to 1000."]}),
    ],
)
def test_a_filter_that_would_do_nothing_is_refused(api, asked, told):
    assert errors(api.get(f"{DELIVERIES}?{asked}")) == told


@pytest.mark.parametrize(
    ("field", "value"),
    [("channel", 1), ("enabled", "true"), ("read_timeout", "30"), ("name", True)],
)
def test_a_value_of_another_type_is_refused(api, listener, field, value):
    assert field in errors(api.patch(f"{LISTENERS}{listener.pk}/", {field: value}))


def test_an_address_with_a_line_break_is_answered_in_json_too(api):
    problem(api.get("/api/v1/listeners/1%0A/"), 404)


@pytest.mark.parametrize("offset", ["-20:04", "%2B15:59"])
def test_a_time_of_any_offset_is_a_time(api, offset):
    assert api.get(f"{ACTIONS}?since=2025-12-07T03:42:24{offset}").status_code == 200


def test_a_time_before_all_times_is_refused(api):
    assert "since" in errors(api.get(f"{AUDIT_LOG}?since=0001-01-01T00:00:00%2B10:00"))
