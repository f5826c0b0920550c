"""Handlers as users of the pytest plugin have them, and a list of their calls."""

from celery import shared_task
from django.contrib.auth.models import Group
from django.db import transaction

from handlers import BatchFailed, EventData, Retry, Skipped, cdc_handler

CALLS: list[object] = []


@cdc_handler
def as_told(event: EventData) -> object:
    """Do what the change's field `Do` says."""
    CALLS.append(event)
    told = event.changed_data.get("Do")
    if told == "skip":
        return Skipped("nothing to do")
    if told == "retry" and event.attempt == 1:
        raise Retry("not yet", after=60)
    if told == "fail":
        raise ValueError("no such account")
    return None


@cdc_handler(max_attempts=2, batch=3)
def batch_as_told(events: list[EventData]) -> None:
    CALLS.append(events)
    failed = [event for event in events if event.changed_data.get("Do")]
    if failed:
        raise BatchFailed(dict.fromkeys(failed, "no"))


@cdc_handler(atomic=True)
def write(event: EventData) -> None:
    """Add a group with the change's name, and again if the change has the field `Twice`."""
    Group.objects.create(name=event.changed_data["Name"])
    transaction.on_commit(lambda: CALLS.append("committed"))
    if event.changed_data.get("Twice"):
        Group.objects.create(name=event.changed_data["Name"])


@shared_task(name="tests.elsewhere")
def elsewhere() -> None:
    raise AssertionError("a test does not run the tasks that a handler sends")


@cdc_handler
def call_others(event: EventData) -> None:
    elsewhere.delay()
    CALLS.append(event.salesforce.Account.get(event.metadata.record_id))


def groups() -> list[str]:
    """Return the groups that `write` added."""
    return sorted(Group.objects.filter(name__startswith="-").values_list("name", flat=True))
