"""Access to the broker is not enough to end a worker, forge its log or read its settings."""

import json
import re
import urllib.request
import uuid
from contextlib import contextmanager

import pytest
from django.conf import settings
from django.utils import timezone

from cdcproject.celery import app
from handlers.models import Delivery
from handlers.outbox import publish
from tests.bad_inputs.hostile_messages import (
    BROADCASTS,
    FORGED,
    HOSTILE,
    ITEMS,
    TASK,
    WITHOUT_TASK,
)
from tests.brokers import using
from tests.handlers.bundling import deliver
from tests.servers import free_port, wait_for

pytestmark = pytest.mark.anywhere

DISCARDED = "unreadable message discarded"


@pytest.fixture(params=["console", "json"])
def log_format(request):
    return request.param


@pytest.fixture
def start(processes, any_broker):
    """Starts a worker on a broker that this process uses too."""

    def start(log_format="console", **more):
        port = free_port()
        process = processes.born(
            "-m", "celery", "-A", "cdcproject", "--quiet", "worker", "-l", "INFO", "-c", "1",
            LOG_FORMAT=log_format, CDC_WORKER_METRICS_PORT=str(port),
            **any_broker.environment, **more,
        )  # fmt: skip
        process.wait_for_output("ready.")
        process.metrics = f"http://127.0.0.1:{port}/metrics"
        return process

    with using(any_broker.url):
        yield start


def count_of(worker, metric: str) -> float:
    text = urllib.request.urlopen(worker.metrics).read().decode()
    return sum(float(value) for value in re.findall(rf"^{metric}(?:{{.*}})? (\S+)$", text, re.M))


def handles_a_delivery(listener):
    """Check that a worker still handles a delivery."""
    [pk] = deliver(listener, TASK, 1)
    publish.publish([pk], timezone.now())
    wait_for(lambda: Delivery.objects.get(pk=pk).state == "succeeded", what="a good delivery")


def events_of(worker, log_format):
    """Return the events of the worker's log; a forged line is none of them."""
    lines = [line for line in worker.output.splitlines() if line.strip()]
    if log_format == "json":
        return [json.loads(line)["event"] for line in lines]
    begin = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z \[\w+ *\] ")
    return [line for line in lines if begin.match(line)]


def test_a_worker_discards_what_it_cannot_read_and_goes_on(
    start, any_broker, listener, journal, log_format
):
    worker = start(log_format)
    bad = [*HOSTILE, *WITHOUT_TASK]
    for one in bad:
        any_broker.send_raw("cdc", one.body, headers=one.headers, **one.properties)
    if any_broker.kind == "valkey":
        for item in ITEMS:
            with any_broker.connection() as connection:
                connection.default_channel.client.lpush("cdc", item)
        bad += ITEMS

    handles_a_delivery(listener)

    assert worker.is_running
    discarded = [line for line in events_of(worker, log_format) if DISCARDED in line]
    assert len(discarded) == len(bad)
    assert count_of(worker, "cdc_unreadable_messages_total") == len(bad)
    assert any_broker.waiting("cdc") == any_broker.waiting("cdc.unknown") == 0
    if any_broker.kind == "valkey":
        with any_broker.connection() as connection:
            redis = connection.default_channel.client
            wait_for(lambda: redis.hlen("cdc.unacked") == 0, what="every acknowledgement")
    assert not any(line.startswith("2026-01-01") for line in worker.output.splitlines())


def test_arguments_that_a_task_does_not_know_are_refused_with_the_reason(
    start, any_broker, listener, journal
):
    worker = start("json")
    any_broker.send_raw(
        "cdc", b'[[], {"delivery_ids": [1], "version": 2}, {}]',
        headers={"task": TASK, "id": "of-another-version"},
        content_type="application/json", content_encoding="utf-8",
    )  # fmt: skip

    handles_a_delivery(listener)

    lines = [json.loads(line) for line in worker.output.splitlines() if line.strip()]
    [discarded] = [line for line in lines if line["event"] == DISCARDED]
    assert discarded["reason"] == "the task does not take these arguments"
    assert discarded["level"] == "warning"


def test_control_messages_of_anybody_do_not_end_it(start, any_broker, listener, journal):
    worker = start()
    for body in BROADCASTS:
        broadcast(any_broker, body)

    handles_a_delivery(listener)

    assert worker.is_running
    wait_for(answered_ping, what="the answer to a ping")
    assert not any(line.startswith("2026-01-01") for line in worker.output.splitlines())


@contextmanager
def remote_control(timeout):
    """Yield Celery's inspection on a new connection, since a pooled one may have been closed."""
    with app.connection_for_write() as connection:
        yield app.control.inspect(timeout=timeout, limit=1, connection=connection)


def answered_ping():
    """Ping the workers once. A worker that still subscribes misses commands, so repeat until it
    answers."""
    with remote_control(timeout=5) as inspect:
        return inspect.ping()


def broadcast(any_broker, body):
    with any_broker.connection() as connection:
        channel = connection.default_channel
        if any_broker.kind == "valkey":
            channel.client.publish("/0.cdc.pidbox", body)  # not even an envelope
            envelope = {
                "body": body.decode("latin-1"), "headers": {"clock": "x"},
                "content-type": "application/json", "content-encoding": "utf-8",
                "properties": {"delivery_tag": str(uuid.uuid4()),
                               "delivery_info": {"exchange": "cdc.pidbox", "routing_key": ""}},
            }  # fmt: skip
            channel.client.publish("/0.cdc.pidbox", json.dumps(envelope))
        else:
            connection.Producer().publish(
                body, exchange="cdc.pidbox", content_type="application/json",
                content_encoding="utf-8", headers={"clock": "x"},
            )  # fmt: skip


@pytest.mark.parametrize("name", ["id", "task", "shadow", "argsrepr", "kwargsrepr"])
def test_a_newline_in_a_message_forges_no_line(start, any_broker, listener, name, log_format):
    worker = start(log_format)
    headers = {"task": TASK, "id": "x", name: f"x{FORGED}"}
    any_broker.send_raw(
        "cdc", b'[[], {"delivery_ids": [1]}, {}]', headers=headers,
        content_type="application/json", content_encoding="utf-8",
    )  # fmt: skip

    handles_a_delivery(listener)

    worker.terminate()
    lines = worker.output.splitlines()  # at U+2028 too
    assert any("forged line" in line for line in lines) or name.endswith("repr")
    assert not any(line.lstrip().startswith("2026-01-01") for line in lines)
    assert "\x1b" not in worker.output
    assert "\u2028" not in worker.output


SECRET = "hunter2-of-the-webhook"


def test_control_commands_neither_show_settings_nor_stop_anything(
    start, any_broker, listener, journal
):
    worker = start(
        CDC_INCIDENT_WEBHOOK=f"https://example.com/{SECRET}",
        OTEL_EXPORTER_OTLP_HEADERS=f"api-key={SECRET}",
        REDIS_URL=f"redis://:{SECRET}@localhost:1/0",
    )
    [name] = wait_for(answered_ping, what="the answer to a ping")
    commands = {
        "conf": {"with_defaults": True}, "dump_conf": {}, "report": {}, "shutdown": {},
        "pool_restart": {}, "pool_shrink": {"n": 1}, "pool_grow": {"n": 100},
        "autoscale": {"max": 0, "min": 0}, "cancel_consumer": {"queue": "cdc"},
        "add_consumer": {"queue": "celery"}, "rate_limit": {"task_name": TASK, "rate_limit": "1/h"},
        "time_limit": {"task_name": TASK, "soft": 0.001, "hard": 0.001}, "stats": {},
        "revoke": {"task_id": ["delivery-1-1"], "terminate": True},
        "terminate": {"task_id": ["delivery-1-1"], "signal": "KILL"},
        "revoke_by_stamped_headers": {"headers": {"a": "b"}}, "memdump": {}, "objgraph": {},
        "election": {"id": "1", "topic": "task", "action": {"task": TASK}}, "hello": {},
        "registered": {"taskinfoitems": ["app", "backend"]}, "active_queues": {}, "query_task": {},
    }  # fmt: skip

    for command, arguments in commands.items():
        with app.connection_for_write() as connection:
            answers = app.control.broadcast(
                command, arguments=arguments, reply=True, timeout=20, limit=1,
                connection=connection,
            )  # fmt: skip
        assert SECRET not in json.dumps(answers)
        assert settings.SECRET_KEY not in json.dumps(answers)
        if command not in ("stats", "registered", "active_queues", "query_task"):
            [answer] = answers
            assert answer == {name: {"error": "This worker does not support this command."}}

    handles_a_delivery(listener)
    assert worker.is_running
    assert SECRET not in worker.output
    with remote_control(timeout=20) as inspect:
        assert list(inspect.active_queues()[name]) != []
