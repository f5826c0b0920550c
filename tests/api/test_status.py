"""The API's status is that of `cdc_status`, with the workers."""

import json

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from handlers.models import Worker
from tests.api.answers import problem
from tests.api.requests import STATUS
from tests.commands.running import run
from tests.sample_data import make_listener


@pytest.fixture
def worker(db):
    Worker.objects.beat("w1", 1, queues=["crm"], concurrency=2, started_at=timezone.now())


def test_it_says_of_listeners_what_the_command_says(api, listener, worker):
    [by_command] = json.loads(run("cdc_status", "--format", "json").out)

    shown = api.get(STATUS).json()

    [by_api] = shown["listeners"]
    # Only the command counts deliveries that ended well.
    by_command["backlog"] = {state: by_command["backlog"][state] for state in by_api["backlog"]}
    assert by_command.pop("capped") == shown["capped"] == []
    assert by_api == by_command
    assert [(one["name"], one["is_live"], one["queues"]) for one in shown["workers"]] == [
        ("w1", True, ["crm"])
    ]


def test_what_one_may_not_see_is_null(client_of, listener, worker):
    shown = client_of("view_listener").get(STATUS).json()

    [one] = shown["listeners"]
    assert (one["backlog"], one["open_incidents"], shown["workers"]) == (None, None, None)
    problem(client_of("view_delivery", "view_worker").get(STATUS), 403)


def test_it_takes_as_many_queries_for_ten_listeners_as_for_one(
    api, listener, django_assert_num_queries
):
    api.get(STATUS)  # what is read once a process is read
    with CaptureQueriesContext(connection) as before:
        api.get(STATUS)
    for _ in range(9):
        make_listener()

    with django_assert_num_queries(len(before)):
        assert len(api.get(STATUS).json()["listeners"]) == 10
