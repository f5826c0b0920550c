"""What operators do to mappings and deliveries while tasks of another project are in flight."""

import pytest
from django.db import transaction

from audit.action_log import Actor, Through
from consumer import relay
from handlers.mappings import pause, soft_delete
from handlers.mappings.retarget import move_waiting
from handlers.models import Delivery, HandlerMapping
from handlers.redelivery.request import RedeliveryRequest
from handlers.tracking.reports import Report
from handlers.tracking.settle import settle_reports
from handlers.tracking.tokens import Reported, Token
from tests.attempts import all_attempts
from tests.redelivering import redeliver
from tests.sample_data import change

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.anywhere]

A = "001000000000001AAA"
ANN = Actor("ann", Through.CONSOLE)


def update(**data):
    return change("UPDATE", [A], data=data, changedFields=list(data))


def report(scene, outcome, pk=None):
    """The report of the delivery in flight."""
    delivery = Delivery.objects.get(pk=pk) if pk else Delivery.objects.get(state="queued")
    token = Token(delivery.pk, delivery.attempts, Reported(outcome))
    settled, following = settle_reports([Report(token, "shop-1")], scene.destination)
    assert settled == 1
    return following


def rows(*fields):
    return list(Delivery.objects.order_by("id").values_list(*fields))


@pytest.fixture
def mapping(scene):
    """A mapping with a task in flight and the next one behind it."""
    made = scene.mapping(on="update")
    scene.record(update(Phone="1"), update(Phone="2"))
    assert scene.states == ["queued", "blocked"]
    return made


def edit(mapping, scene, **fields):
    for name, value in fields.items():
        setattr(mapping, name, value)
    with transaction.atomic():
        mapping.save()
        move_waiting(mapping, scene.now())


def test_tasks_in_flight_end_with_their_report_after_the_mapping_was_edited(scene, mapping):
    edit(mapping, scene, task="", handler="tests.remember")

    assert rows("handler", "is_tracked", "state") == [
        ("shop.sync", True, "queued"),
        ("tests.remember", False, "blocked"),
    ]
    report(scene, "failed")
    relay.retarget(scene.later(seconds=60))
    assert rows("handler", "is_tracked", "state") == [
        ("tests.remember", False, "retrying"),
        ("tests.remember", False, "blocked"),
    ]
    assert len(set(Delivery.objects.values_list("chain", flat=True))) == 1


def test_deliveries_of_a_handler_move_to_a_task_in_order(scene, broker):
    made = scene.mapping(task="", destination=None, on="update")
    HandlerMapping.objects.filter(pk=made.pk).update(handler="tests.remember")
    made.refresh_from_db()
    scene.record(update(Phone="1"), update(Phone="2"))

    edit(made, scene, task="shop.sync", handler="", destination=scene.destination)

    assert rows("handler", "is_tracked", "state") == [
        ("shop.sync", True, "ready"),
        ("shop.sync", True, "blocked"),
    ]
    assert scene.send_due() == 1
    assert report(scene, "succeeded") == [Delivery.objects.get(state="ready").pk]


def test_a_mapping_that_tracks_no_more_sends_what_waits_and_keeps_what_is_in_flight(scene, mapping):
    edit(mapping, scene, track=False)

    assert rows("is_tracked", "state", "chain") == [
        (True, "queued", f"{mapping.pk}:{A}"),
        (False, "ready", ""),
    ]
    report(scene, "failed")
    relay.retarget(scene.later(seconds=60))
    assert rows("is_tracked", "state") == [(False, "ready"), (False, "ready")]


def test_a_change_of_lanes_leaves_what_is_in_flight_at_the_head(scene, mapping):
    """A worker has the task already: it cannot be made to wait."""
    HandlerMapping.objects.filter(pk=mapping.pk).update(ordering="unordered")
    HandlerMapping.objects.filter(pk=mapping.pk).update(ordering="per_record")
    other = scene.mapping(on="create")
    HandlerMapping.objects.filter(pk=mapping.pk).update(on="restore")
    scene.record(change(records=[A]))

    assert rows("state") == [("queued",), ("blocked",), ("blocked",)]
    assert {chain for (chain,) in rows("chain")} == {f"{min(mapping.pk, other.pk)}:{A}"}


def test_a_pause_lets_tasks_in_flight_end_and_starts_no_other(scene, mapping):
    pause.pause([mapping], ANN, "", scene.now())
    relay.publish_due(scene.later(seconds=60))
    assert scene.states == ["queued", "blocked"]

    report(scene, "succeeded")
    assert scene.send_due() == 0
    assert rows("state", "paused") == [("succeeded", False), ("ready", True)]

    pause.resume([mapping], ANN, "", scene.now())
    relay.publish_due(scene.later(seconds=60))
    assert scene.states == ["succeeded", "queued"]


def test_a_deleted_mapping_waits_for_its_tasks_in_flight_alone(scene, mapping):
    mapping.delete()
    soft_delete.skip_waiting(scene.now())
    assert scene.states == ["queued", "skipped"]
    assert HandlerMapping.with_deleted.filter(pk=mapping.pk, emptied_at=None).exists()

    report(scene, "failed")
    soft_delete.skip_waiting(scene.later(seconds=60))

    assert scene.states == ["skipped", "skipped"]
    assert not HandlerMapping.with_deleted.filter(pk=mapping.pk, emptied_at=None).exists()


def test_the_relay_sends_no_task_again_that_is_in_flight(scene, mapping, settings):
    settings.CDC_QUEUED_SECONDS = 0
    late = scene.later(seconds=10_000)

    relay.sweep(late)
    relay.publish_due(late)

    assert rows("state", "attempts") == [("queued", 1), ("blocked", 0)]


def test_a_redelivered_change_takes_its_copy_to_no_older_values(scene, shop):
    made = scene.mapping(on="update", max_attempts=1)
    scene.record(update(Phone="1"))
    report(scene, "failed")
    scene.record(update(Phone="2"))
    report(scene, "succeeded")
    assert scene.states == ["dead", "succeeded"]

    dead = Delivery.objects.filter(state="dead")
    redeliver(RedeliveryRequest(ANN, dead), scene.now())
    scene.send_due()
    shop.worker()
    scene.wait_for_states("succeeded", "succeeded")

    assert shop.events[-1]["supersededFields"] == ["Phone"]
    assert shop.events[-1]["changedData"] == {"Phone": "2"}
    assert len([one for one in all_attempts() if one.delivery.mapping_id == made.pk]) == 3
