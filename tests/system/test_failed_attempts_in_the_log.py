"""A worker and a listener log failed attempts, lost runs and lost messages."""

import json

import pytest

from handlers.broker import queue_length
from handlers.models import Delivery
from tests.sample_data import make_mapping
from tests.servers import wait_for

pytestmark = pytest.mark.anywhere

AS_JSON = {"LOG_FORMAT": "json"}


def lines_about(process, text):
    lines = [json.loads(line) for line in process.output.splitlines() if line.startswith("{")]
    return [line for line in lines if text in line["event"]]


def test_a_failed_attempt_is_called_failed_and_not_succeeded(processes, simulator, org_listener):
    org_listener.mappings.all().delete()
    make_mapping(org_listener, "create", "tests.fail", max_attempts=2)
    worker = processes.worker(**AS_JSON)
    listener = processes.listener(**AS_JSON)
    listener.wait_for_output('"subscribed"')

    [record] = simulator.create("Account", Name="Acme")
    wait_for(lambda: Delivery.objects.filter(state="dead").exists(), what="the last attempt")

    delivery = Delivery.objects.get()
    wait_for(lambda: len(lines_about(worker, "of delivery")) == 2, what="a line of each attempt")
    first, last = lines_about(worker, "of delivery")
    assert first["event"] == f"attempt 1 of delivery {delivery.pk} failed"
    assert last["event"] == f"attempt 2 of delivery {delivery.pk} failed"
    about = {
        "listener": org_listener.name, "handler": "tests.fail", "delivery": delivery.pk,
        "entity": "Account", "record": record, "error": "ValueError", "level": "warning",
    }  # fmt: skip
    assert about.items() <= first.items()
    assert about.items() <= last.items()
    assert (first["state"], last["state"]) == ("retrying", "dead")
    assert first["next_retry"].startswith("20")
    assert "next_retry" not in last
    assert "sample_handlers.py:" in first["at"]
    assert not lines_about(worker, "succeeded in")


def test_a_lost_run_and_a_lost_message_are_named(processes, simulator, org_listener, broker):
    org_listener.mappings.all().delete()
    make_mapping(org_listener, "create", "tests.die_when_told")
    listener = processes.listener(CDC_CLAIM_SECONDS="4", **AS_JSON)
    listener.wait_for_output('"subscribed"')
    [record] = simulator.create("Account", Name="Acme", Kill=True)
    wait_for(lambda: queue_length("cdc") == 1, what="its message")
    broker.client().flushall()
    lost = "re-queued 1 delivery whose message was missing from the broker"
    listener.wait_for_output(lost)

    processes.worker(CDC_CLAIM_SECONDS="4", **AS_JSON)
    lost_run = "handler run lost: worker stopped responding; will retry"
    listener.wait_for_output(lost_run)

    about = {
        "listener": org_listener.name, "handler": "tests.die_when_told", "record": record
    }  # fmt: skip
    # Once more where the worker has received it and is slow to begin.
    requeued, *_ = lines_about(listener, lost)
    assert about.items() <= requeued.items()
    line, *_ = lines_about(listener, lost_run)
    assert about.items() <= line.items()
    assert (line["attempt"], line["state"]) == (1, "retrying")
    wait_for(lambda: Delivery.objects.get().state == "succeeded", what="the second attempt")
