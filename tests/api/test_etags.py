"""A GET of an unchanged page is answered with 304, and a write to a row that another user has
changed is refused with 412."""

import pytest
from django.utils import timezone

from listeners.models import Position
from tests.api.answers import problem
from tests.api.requests import CONNECTIONS, EVERYTHING, LISTENERS, MAPPINGS, STATUS, connection
from tests.sample_data import lease_of, make_mapping


@pytest.mark.parametrize("address", [*EVERYTHING, STATUS])
def test_a_list_that_is_as_it_was_is_not_sent_again(api, listener, address):
    first = api.get(address)
    tag = first.headers["ETag"]

    again = api.get(address, headers={"If-None-Match": f'"other", W/{tag}'})

    assert (again.status_code, again.content, again.headers["ETag"]) == (304, b"", tag)
    assert api.get(address, headers={"If-None-Match": '"other"'}).content == first.content
    assert first.headers["Cache-Control"] == "private, no-cache"
    assert {"Authorization", "Cookie"} <= set(first.headers["Vary"].split(", "))


def test_a_list_that_changed_is_sent(api, listener):
    tag = api.get(LISTENERS).headers["ETag"]
    lease_of(listener)
    Position.objects.update(replay_id="7")

    assert api.get(LISTENERS, headers={"If-None-Match": tag}).status_code == 200


@pytest.fixture(params=["connection", "listener", "mapping"])
def page(request, listener) -> tuple[str, dict[str, str]]:
    """A row's address, and a change to it."""
    mapping = make_mapping(listener)
    return {
        "connection": (f"{CONNECTIONS}{listener.connection.pk}/", {"client_id": "new"}),
        "listener": (f"{LISTENERS}{listener.pk}/", {"channel": "/data/AccountChangeEvent"}),
        "mapping": (f"{MAPPINGS}{mapping.pk}/", {"entity": "Lead"}),
    }[request.param]


def test_the_second_of_two_users_who_change_a_row_is_refused(api, page):
    address, change = page
    read = {"If-Match": api.get(address).headers["ETag"]}

    changed = api.patch(address, change, headers=read)
    assert changed.status_code == 200
    assert "changed since" in problem(api.patch(address, {}, headers=read), 412)["detail"]
    problem(api.delete(address, headers=read), 412)

    mine = {"If-Match": changed.headers["ETag"]}
    assert api.get(address).headers["ETag"] == changed.headers["ETag"]
    assert api.patch(address, {}, headers=mine).status_code == 200
    assert api.patch(address, {}, headers={"If-Match": "*"}).status_code == 200
    problem(api.patch(address, {}, headers={"If-Match": "what"}), 412)


def test_a_position_that_moves_on_is_no_conflict_and_is_sent(api, listener):
    address = f"{LISTENERS}{listener.pk}/"
    tag = api.get(address).headers["ETag"]
    lease_of(listener)
    Position.objects.update(replay_id="7", last_received_at=timezone.now())

    assert api.get(address, headers={"If-None-Match": tag}).status_code == 200
    weak = {"If-Match": f"W/{tag}"}  # a proxy has compressed the answer
    assert api.patch(address, {"gap_policy": "record"}, headers=weak).status_code == 200


def test_a_new_row_comes_with_its_tag(api):
    made = api.post(CONNECTIONS, connection())
    address = f"{CONNECTIONS}{made.json()['id']}/"

    assert made.headers["ETag"] == api.get(address).headers["ETag"]
    assert api.delete(address, headers={"If-Match": made.headers["ETag"]}).status_code == 204


def test_a_refusal_has_no_tag(api):
    assert "ETag" not in api.get(f"{LISTENERS}1/").headers
