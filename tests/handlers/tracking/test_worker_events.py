"""Workers started with -E say when a task began, where, and why it failed."""

import json
from types import SimpleNamespace

import pytest

from handlers.models import Delivery, DeliveryAttempt
from handlers.tracking.events import Event, EventReader, parse
from tests.sample_data import change
from tests.servers import wait_for

pytestmark = [pytest.mark.any_database, pytest.mark.any_python]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("shop_broker", ["valkey", "rabbitmq"], indirect=True)
def test_a_run_is_seen_and_the_error_of_a_failed_one(scene, shop):
    scene.mapping("shop.sleep_first", report_timeout=60)
    scene.mapping("shop.fail", on="update", max_attempts=1)
    reader = EventReader(scene.destination)
    with reader.reading() as connection:
        shop.worker("-E", "-n", "one@shop", "-c", "2")
        reader.handle_batch(connection)  # subscribes
        scene.record(
            change(), change("UPDATE", ["001000000000002AAA"], data={"A": 1}, changedFields=["A"])
        )

        def is_running():
            reader.handle_batch(connection)
            return scene.states[0] == "running"

        wait_for(is_running)
        scene.wait_for_states("running", "dead")

        def is_explained():
            reader.handle_batch(connection)
            return DeliveryAttempt.objects.get().traceback

        wait_for(is_explained)

    attempt = DeliveryAttempt.objects.get()
    assert attempt.error == "ValueError('no such account')"
    assert attempt.worker == "one@shop"
    assert 'raise ValueError("no such account")' in attempt.traceback
    assert Delivery.objects.get(state="dead").error == attempt.error
    assert Delivery.objects.get(state="running").started_at is not None


def message(content, **fields):
    body = content if isinstance(content, str | bytes) else json.dumps(content)
    known = {"body": body, "content_type": "application/json", "errors": []}
    return SimpleNamespace(**(known | fields))


STARTED = {"type": "task-started", "uuid": "delivery-7-2", "hostname": "w@h"}


def test_what_is_no_event_of_a_tracked_task_says_nothing():
    assert parse(message([STARTED, STARTED])) == [Event(7, 2, "w@h")] * 2
    for wrong in (
        {**STARTED, "uuid": "other-7-2"},
        {**STARTED, "uuid": "delivery-" + "9" * 40 + "-1"},
        {**STARTED, "uuid": 7},
        {**STARTED, "hostname": "x" * 300},
        {**STARTED, "type": "task-failed"},
        {**STARTED, "type": "task-failed", "exception": 7},
        [[STARTED]],
        "[" * 100_000,
        "no JSON",
        b"\xff",
    ):
        assert parse(message(wrong)) == []
    assert parse(message(STARTED, content_type="application/x-python-serialize")) == []
    assert parse(message(STARTED, errors=["undecodable"])) == []
