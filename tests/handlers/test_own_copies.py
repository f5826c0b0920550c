"""Each call of a handler has its own copy of the change: what it does to it, no other call sees."""

import copy
from typing import Any

import pytest
from django.db import OperationalError

from audit.models import AuditLogEntry
from consumer.ingest.transaction import ingest
from handlers import EventData, cdc_handler
from handlers.sdk.events import Present
from handlers.worker import atomic_runs
from handlers.worker.run import run_deliveries
from tests.handlers.bundling import ids_of, make_due
from tests.running import run_delivery
from tests.sample_data import change, lease_of, make_mapping, received

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("broker", "journal")]

DATA = {
    "Name": {"FirstName": "Ann", "LastName": None},
    "Tags": [1, 1.5, True, None, {"deep": ["ü"]}],
    "Large": 2**80,
    "Small": -(2**70),
    "Zero": -0.0,
}
EXTRA = {"depth": [1, None]}
OPTIONS = {"fields": ["Name"], "nested": {"a": 1}}
SEEN: list[Any] = []
ERRORS: list[Exception] = []


def spoil(event: EventData) -> None:
    """Note the event, change all of it that can be changed, and raise the next error."""
    SEEN.append(copy.deepcopy((event.changed_data, event.metadata.extra, event.options)))
    event.changed_data["Name"].clear()
    event.changed_data["Tags"][-1]["deep"].append("more")
    event.changed_data.pop("Large")
    event.metadata.extra["later"]["depth"].clear()
    event.metadata.extra.clear()
    event.options["fields"].append("Phone")
    event.options["nested"].clear()
    if ERRORS:
        raise ERRORS.pop()


@cdc_handler(name="tests.spoil")
def spoil_one(event: EventData) -> None:
    spoil(event)


@cdc_handler(name="tests.spoil_atomic", atomic=True)
def spoil_atomic(event: EventData) -> None:
    spoil(event)


@cdc_handler(name="tests.spoil_all", batch=10)
def spoil_all(events: list[EventData]) -> None:
    for event in events:
        spoil(event)


@pytest.fixture(autouse=True)
def nothing_seen():
    SEEN.clear()
    ERRORS.clear()


def deliver(listener, handler, *, mappings=1):
    """Return the ids of the deliveries of one change to several mappings of the handler."""
    made = [
        make_mapping(listener, handler=handler, options=OPTIONS, ordering="unordered")
        for _ in range(mappings)
    ]
    ingest(listener, lease_of(listener), received(change(data=DATA, later=EXTRA)), made)
    return ids_of(handler=handler)


def assert_unspoiled(calls: int) -> None:
    assert len(SEEN) == calls
    for data, extra, options in SEEN:
        assert repr(sorted(data.items())) == repr(sorted(data_of_the_log().items()))
        assert {name: data[name] for name in DATA} == DATA
        assert (extra, options) == ({"later": EXTRA}, OPTIONS)


def data_of_the_log():
    return AuditLogEntry.objects.get().changed_data


@pytest.mark.parametrize("handler", ["tests.spoil", "tests.spoil_atomic", "tests.spoil_all"])
def test_the_calls_of_other_mappings_in_the_same_message_get_the_change_unchanged(
    listener, handler
):
    ids = deliver(listener, handler, mappings=3)

    assert run_deliveries(ids, handler) == "3 succeeded"

    assert_unspoiled(calls=3)


def test_an_atomic_handler_that_runs_again_within_an_attempt_gets_the_change_unchanged(
    listener, monkeypatch
):
    [pk] = deliver(listener, "tests.spoil_atomic")
    deadlocks = [OperationalError("deadlock detected")]
    settle = atomic_runs._settle

    def settle_late(ended):
        if deadlocks:
            raise deadlocks.pop()
        return settle(ended)

    monkeypatch.setattr(atomic_runs, "_settle", settle_late)

    assert run_delivery(pk) == "succeeded"

    assert_unspoiled(calls=2)


def test_a_retry_gets_the_change_unchanged(listener):
    [pk] = deliver(listener, "tests.spoil")
    ERRORS.append(ValueError("fails"))

    assert run_delivery(pk) == "failed"
    make_due()
    assert run_delivery(pk) == "succeeded"

    assert_unspoiled(calls=2)


def test_present_values_are_copied_too(listener):
    deliver(listener, "tests.spoil")
    entry = AuditLogEntry.objects.select_related("listener").get()
    present = Present(copy.deepcopy(DATA), ("Tags",))

    spoil(EventData.of(entry, options=OPTIONS, present=present))

    assert present.changed_data == DATA
    assert OPTIONS == {"fields": ["Name"], "nested": {"a": 1}}
