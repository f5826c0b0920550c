"""Handlers such as users of the pytest plugin have, and what is left of their calls."""

from celery import shared_task
from django.contrib.auth.models import Group
from django.db import transaction

from handlers import BatchFailed, EventData, Retry, Skipped, cdc_handler

CALLS: list[object] = []


@cdc_handler
def as_told(event: EventData) -> object:
    """As the change's fields tell."""
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
    failed = {one: one.changed_data["Do"] for one in events if one.changed_data.get("Do")}
    if failed:
        later = Retry("this one later", after=60)
        raise BatchFailed({one: later if do == "wait" else "no" for one, do in failed.items()})


@cdc_handler(atomic=True)
def write(event: EventData) -> None:
    """A group of the change's name; and again where it says so."""
    Group.objects.create(name=event.changed_data["Name"])
    transaction.on_commit(lambda: CALLS.append("committed"))
    if event.changed_data.get("Twice"):
        Group.objects.create(name=event.changed_data["Name"])


@cdc_handler
def write_apart(event: EventData) -> None:
    """The same, not atomic."""
    Group.objects.create(name=event.changed_data["Name"])
    Group.objects.create(name=event.changed_data["Name"])


@shared_task(name="tests.elsewhere")
def elsewhere(**_: object) -> None:
    raise AssertionError("it is sent, and not run")


@cdc_handler
def send(event: EventData) -> None:
    elsewhere.delay(record=event.metadata.record_id)


@cdc_handler
def call_back(event: EventData) -> None:
    CALLS.append(event.salesforce.Account.get(event.metadata.record_id))


def groups() -> list[str]:
    """What was written; the roles are groups too."""
    return sorted(Group.objects.filter(name__startswith="-").values_list("name", flat=True))
