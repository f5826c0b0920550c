"""Workers started with -E say when a task began, where, and why it failed."""

import json
from types import SimpleNamespace

import pytest

from consumer.ingest.transaction import ingest
from handlers.models import Delivery, DeliveryAttempt
from handlers.sdk.outcomes import MAX_ERROR
from handlers.tracking.events import (
    FAILURES_KEPT,
    Details,
    Event,
    EventReader,
    add_error,
    begin_runs,
    parse,
)
from tests.sample_data import change, lease_of, make_mapping, received
from tests.servers import wait_for

pytestmark = pytest.mark.anywhere


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
    assert parse(message([STARTED, STARTED]), 5) == [Event(5, 7, 2, "w@h")] * 2
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
        assert parse(message(wrong), 5) == []
    [odd] = parse(message({**STARTED, "hostname": "a\0\ud800" + "x" * 250}), 5)
    assert odd.worker.startswith("a\\0\\ud800xx"), "as the database stores it"
    assert len(odd.worker) == 255
    assert parse(message(STARTED, content_type="application/x-python-serialize"), 5) == []
    assert parse(message(STARTED, errors=["undecodable"]), 5) == []


def failed(delivery_id: int, size: int = 10) -> dict[str, str]:
    task_id = f"delivery-{delivery_id}-1"
    texts = {"exception": "E('forged" + "x" * size, "traceback": "x" * size}
    return {"type": "task-failed", "uuid": task_id, "hostname": "evil@x", **texts}


def test_events_take_little_memory():
    details = Details()
    for n in range(1, FAILURES_KEPT + 100):
        for event in parse(message(failed(n, 50_000)), 5):
            details.add(event)

    kept = [details.pop(5, n, 1) for n in range(1, FAILURES_KEPT + 100)]
    texts = [text for event in kept if event for text in (event.error.error, event.error.traceback)]
    assert kept[:99] == [None] * 99
    assert len(texts) == 2 * FAILURES_KEPT
    assert max(map(len, texts)) == MAX_ERROR


@pytest.mark.django_db(transaction=True)
def test_events_of_one_destination_say_nothing_of_others(scene, listener):
    """Anyone who can write to a broker can send them, for any delivery."""
    scene.mapping()
    [pk] = scene.record()
    own = make_mapping(listener, "update")
    ingest(listener, lease_of(listener), received(change("UPDATE", data={"A": 1})), [own])
    Delivery.objects.filter(mapping=own).update(state="dead", attempts=1, error="true")
    internal = Delivery.objects.get(mapping=own)
    now = internal.created_at
    DeliveryAttempt.objects.create(
        delivery=internal, number=1, outcome="failed", started_at=now, finished_at=now, error="true"
    )
    begun = {**STARTED, "uuid": f"delivery-{pk}-1"}

    for destination_id in (scene.destination.pk, scene.destination.pk + 1):
        for event in parse(message(failed(internal.pk)), destination_id):
            add_error(event)
    begin_runs(parse(message(begun), scene.destination.pk + 1))
    details = Details()
    [event] = parse(message(begun), scene.destination.pk + 1)
    details.add(event)

    internal.refresh_from_db()
    assert (internal.error, DeliveryAttempt.objects.get().error) == ("true", "true")
    assert Delivery.objects.get(pk=pk).state == "queued"
    assert details.pop(scene.destination.pk, pk, 1) is None
    begin_runs(parse(message(begun), scene.destination.pk))
    assert Delivery.objects.get(pk=pk).state == "running"
