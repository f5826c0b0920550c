"""A task of another project ends, and its delivery with it: workers without our code."""

import os
from socketserver import StreamRequestHandler, ThreadingTCPServer
from threading import Thread

import pytest
from redis import Redis

from handlers.models import Delivery, DeliveryAttempt, HandlerMapping
from handlers.tracking import errors
from handlers.tracking.errors import errors_of
from tests.attempts import all_attempts
from tests.brokers import AnyBroker
from tests.handlers.tracking.conftest import Scene
from tests.sample_data import change
from tests.servers import wait_for
from tests.shop.process import Shop

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.anywhere]


def attempts():
    return [(attempt.number, attempt.outcome) for attempt in all_attempts()]


@pytest.mark.parametrize("shop_broker", ["valkey", "rabbitmq"], indirect=True)
def test_a_task_that_succeeds_ends_its_delivery(scene, shop):
    scene.mapping()
    shop.worker()

    [pk] = scene.record()

    delivery = Delivery.objects.get(pk=pk)
    assert (delivery.state, delivery.attempts) == ("queued", 1)
    scene.wait_for_states("succeeded")
    assert shop.runs == [("sync", "001000000000001AAA", 1)]
    assert attempts() == [(1, "succeeded")]


def test_a_project_on_our_own_broker_needs_no_destination(listener, broker, tmp_path):
    own = Scene(listener, None)
    own.mapping(queue="shop")
    project = Shop(os.environ["CELERY_BROKER_URL"], tmp_path)
    try:
        project.worker("-Q", "shop")
        own.record()
        own.wait_for_states("succeeded")
    finally:
        project.close()


def test_a_task_that_fails_is_sent_again_until_it_is_a_dead_letter(scene, shop):
    scene.mapping("shop.fail_first")
    scene.mapping("shop.retry_twice", on="update", max_attempts=1)
    shop.worker()

    scene.record(change(), change("UPDATE", data={"Name": "A"}, changedFields=["Name"]))

    scene.wait_for_states("succeeded", "dead")
    assert [run for run in shop.runs if run[0] == "fail_first"] == [
        ("fail_first", "001000000000001AAA", 1),
        ("fail_first", "001000000000001AAA", 2),
    ]
    # The task's own retries are within one attempt of the delivery.
    assert len([run for run in shop.runs if run[0] == "retry_twice"]) == 3
    assert sorted(attempts()) == [(1, "failed"), (1, "failed"), (2, "succeeded")]
    error = Delivery.objects.get(state="dead").error
    assert "The task failed; see the log of worker " in error
    assert "for task id delivery-" in error


def test_a_retry_goes_to_the_queue_that_its_mapping_names_by_then(scene):
    scene.mapping(queue="old")
    scene.record()
    HandlerMapping.objects.update(queue="new")
    Delivery.objects.update(state="retrying", due_at=scene.now(), claim_deadline=None)

    wait_for(scene.send_due)

    shop = AnyBroker("valkey", scene.destination.broker.reveal())
    assert (shop.waiting("old"), shop.waiting("new")) == (1, 1)


@pytest.mark.parametrize("shop_broker", ["rabbitmq"], indirect=True)
def test_a_worker_does_not_consume_the_queue_that_it_reports_to(scene, shop):
    scene.mapping()
    worker = shop.worker("-P", "solo")
    scene.record()
    scene.wait_for_states("succeeded")

    scene.record(change(records=["001000000000002AAA"]))
    scene.wait_for_states("succeeded", "succeeded")

    assert "cdc.report" not in worker.output


def test_the_error_of_a_failed_task_is_read_from_its_result_backend(scene, shop):
    scene.destination.result_backend = shop.broker_url
    scene.destination.save()
    scene.mapping("shop.fail", max_attempts=1)
    shop.worker(SHOP_BACKEND=shop.broker_url)

    scene.record()

    scene.wait_for_states("dead")
    attempt = DeliveryAttempt.objects.get()
    assert attempt.error == "ValueError: no such account"
    assert 'raise ValueError("no such account")' in attempt.traceback


def test_a_task_whose_result_cannot_be_stored_has_succeeded(scene, shop):
    """Its worker reports the success before it stores the result, and then a failure too."""
    scene.destination.result_backend = shop.broker_url
    scene.destination.save()
    scene.mapping("shop.return_an_object")
    worker = shop.worker(SHOP_BACKEND=shop.broker_url)

    scene.record()

    scene.wait_for_states("succeeded")
    worker.wait_for_output("EncodeError")
    with scene.reading() as handle:
        scene.wait_for_count("late", 1, handle)
    assert scene.states == ["succeeded"]


def test_a_result_backend_that_is_down_is_left_alone_for_some_time(scene, shop, shop_broker):
    """Reports are not settled while it is waited for."""
    scene.destination.result_backend = shop.broker_url
    scene.destination.save()
    with Redis.from_url(shop.broker_url) as client:
        client.set(
            "celery-task-meta-delivery-1-1", '{"result": {"exc_type": "E", "exc_message": 1}}'
        )
        client.save()
    shop_broker.stop()
    assert errors_of(["delivery-1-1"], scene.destination) == {}
    shop_broker.start()

    assert errors_of(["delivery-1-1"], scene.destination) == {}
    errors.paused_until.clear()
    assert list(errors_of(["delivery-1-1"], scene.destination)) == ["delivery-1-1"]


class Nonsense(StreamRequestHandler):
    """Answers each command with a number that Python does not convert."""

    def handle(self) -> None:
        while self.request.recv(65_536):
            self.request.sendall(b":" + b"9" * 5000 + b"\r\n")


def test_a_result_backend_that_answers_nonsense_keeps_no_report_from_being_settled(scene, shop):
    with ThreadingTCPServer(("127.0.0.1", 0), Nonsense) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        scene.destination.result_backend = f"redis://127.0.0.1:{server.server_address[1]}/0"
        scene.destination.save()
        scene.mapping("shop.fail", max_attempts=1)
        shop.worker()

        scene.record()

        scene.wait_for_states("dead")
        server.shutdown()
    assert attempts() == [(1, "failed")]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff" * 100,
        b"[" * 100_000,
        b'{"result": 7}',
        b'{"result": {"exc_type": "' + b"x" * 2_000_000,
        b'{"result": {"exc_type": ["E"], "exc_message": {"a": null}}, "traceback": 7}',
    ],
    ids=["nothing", "no text", "nested", "no error", "huge", "other types"],
)
def test_a_result_is_not_trusted(scene, shop, content):
    scene.destination.result_backend = shop.broker_url
    scene.destination.save()
    with Redis.from_url(shop.broker_url) as client:
        client.set("celery-task-meta-delivery-1-1", content)

    found = errors_of(["delivery-1-1", "delivery-2-1"], scene.destination)

    assert [error.error for error in found.values()] in ([], ["['E']: {'a': None}"])
