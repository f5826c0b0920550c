"""Handlers for tests, which write lines to a file that other processes can read."""

import asyncio
import json
import logging
import os
import signal
import time
from pathlib import Path

import structlog
from django.contrib.auth.models import Group
from django.db import transaction
from django.db.models import QuerySet

from handlers import BatchFailed, EventData, Retry, Skipped, cdc_handler, salesforce_client
from listeners.models import Connection

JOURNAL = Path(os.environ["CDC_TEST_FOLDER"]) / "journal.jsonl"


def note(event: EventData, **more) -> None:
    """Append one line in one write, so that lines of several processes do not mix."""
    line = {
        "id": event.id,
        "record": event.metadata.record_id,
        "change": event.metadata.change_type,
        "attempt": event.attempt,
        **more,
    }
    with JOURNAL.open("a") as journal:
        journal.write(json.dumps(line) + "\n")


def read_journal():
    if not JOURNAL.exists():
        return []
    return [json.loads(line) for line in JOURNAL.read_text().splitlines()]


@cdc_handler(name="tests.remember")
def remember(event: EventData) -> None:
    """Note the event."""
    note(event)


@cdc_handler(name="tests.note_record")
def note_record(event: EventData) -> None:
    """Note the mirrored row."""
    row = event.record
    columns = row and {"name": row.name, "phone": row.phone, "is_deleted": row.is_deleted}
    note(event, data=event.changed_data, row=columns)


@cdc_handler(name="tests.note_fields")
def note_fields(event: EventData) -> None:
    """Note what the event carries. Fail if it has the field `Fail` and the option allows it.

    Options: `fail` (default true).
    """
    note(
        event,
        data=event.changed_data,
        superseded=list(event.superseded_fields),
        nulled=event.metadata.nulled_fields,
        diffs=event.metadata.diff_fields,
    )
    if event.changed_data.get("Fail") and event.options.get("fail", True):
        raise ValueError("told to fail")


@cdc_handler(name="tests.note_fields_too")
def note_fields_too(event: EventData) -> None:
    note_fields(event)


@cdc_handler(name="tests.note_fields_of_all", batch=10)
def note_fields_of_all(events: list[EventData]) -> None:
    for event in events:
        note_fields(event)


@cdc_handler(name="tests.look_up")
def look_up(event: EventData) -> None:
    """Do something that is traced, as an instrumented library does."""
    from opentelemetry import trace

    with trace.get_tracer("crm").start_as_current_span("look up"):
        here = trace.get_current_span().get_span_context()
        note(event, trace=f"{here.trace_id:032x}", span=f"{here.span_id:016x}")


@cdc_handler(name="tests.say")
def say(event: EventData) -> None:
    """Log as a library does, and as the product does."""
    logging.getLogger("crm").warning("looked at")
    structlog.get_logger("crm").info("looked at it again")


@cdc_handler(name="tests.say_all", batch=10)
def say_all(events: list[EventData]) -> None:
    logging.getLogger("crm").warning("looked at all")


@cdc_handler(name="tests.repeat")
def repeat(event: EventData) -> None:
    """Note what the event carries, and fail with it in the error."""
    note(event, data=event.changed_data)
    raise ValueError(f"cannot handle {event.changed_data}")


@cdc_handler(name="tests.skip")
def skip(event: EventData) -> Skipped:
    return Skipped("nothing to do")


@cdc_handler(name="tests.fail")
def fail(event: EventData) -> None:
    note(event)
    raise ValueError("this handler always fails")


@cdc_handler(name="tests.retry_once")
def retry_once(event: EventData) -> None:
    note(event)
    if event.attempt == 1:
        raise Retry("not yet", after=0)


@cdc_handler(name="tests.retry_in_an_hour")
def retry_in_an_hour(event: EventData) -> None:
    if event.attempt == 1:
        raise Retry("later", after=3600)


@cdc_handler(name="tests.fail_twice")
def fail_twice(event: EventData) -> None:
    note(event)
    if event.attempt < 3:
        raise ValueError(f"attempt {event.attempt} fails")


def written_groups() -> QuerySet[Group]:
    """Return the groups that the next two handlers wrote, without those of the roles."""
    return Group.objects.filter(name__contains="-")


@cdc_handler(name="tests.write_group", atomic=True)
def write_group(event: EventData) -> None:
    """Write to the default database, then fail where the mapping says so."""
    Group.objects.create(name=f"{event.id}-{event.attempt}")
    if event.options.get("fail"):
        raise ValueError("after the write")


@cdc_handler(name="tests.write_group_apart")
def write_group_apart(event: EventData) -> None:
    Group.objects.create(name=f"{event.id}-{event.attempt}")
    raise ValueError("after the write")


@cdc_handler(name="tests.slow")
def slow(event: EventData) -> None:
    """Note begin and end, a while apart."""
    note(event, at="begin")
    time.sleep(float(event.options.get("seconds", 0.2)))
    note(event, at="end")


@cdc_handler(name="tests.one_try", max_attempts=1, queue="special")
def one_try(event: EventData) -> None:
    raise ValueError("no second try")


@cdc_handler(name="tests.fail_once_when_told", max_attempts=1)
def fail_once_when_told(event: EventData) -> None:
    """Fail the first attempt of a change with the field `Fail`."""
    note(event)
    if event.changed_data.get("Fail") and event.attempt == 1:
        raise ValueError("told to fail")


@cdc_handler(name="tests.call_back")
def call_back(event: EventData) -> None:
    """Read the record and write to it."""
    account = event.salesforce.Account.get(event.metadata.record_id)
    event.salesforce.Account.update(event.metadata.record_id, {"Description": account["Name"]})
    note(event, name=account["Name"])


@cdc_handler(name="tests.read_by_connection")
def read_by_connection(event: EventData) -> None:
    """Read the record with the client of the only connection."""
    name = Connection.objects.get().name
    note(event, name=salesforce_client(name).Account.get(event.metadata.record_id)["Name"])


@cdc_handler(name="tests.call_back_atomic", atomic=True)
def call_back_atomic(event: EventData) -> None:
    note(event, name=event.salesforce.Account.get(event.metadata.record_id)["Name"])


RELEASE = JOURNAL.with_name("release")


@cdc_handler(name="tests.hang_when_told")
def hang_when_told(event: EventData) -> None:
    """Wait with a change with the field `Hang` for a file, or until a soft time limit."""
    if event.changed_data.get("Hang"):
        note(event, at="hangs", pid=os.getpid())
        while not RELEASE.exists():
            time.sleep(0.02)
    note(event)


@cdc_handler(name="tests.hang_when_told_atomic", atomic=True)
def hang_when_told_atomic(event: EventData) -> None:
    hang_when_told(event)


@cdc_handler(name="tests.leave_open_when_told", max_attempts=1)
def leave_open_when_told(event: EventData) -> None:
    """Leave a transaction open for a change with the description "leave it open"."""
    note(event)
    if event.changed_data.get("Description") == "leave it open":
        transaction.set_autocommit(False)
        Group.objects.create(name=f"{event.id}-{event.attempt}")


@cdc_handler(name="tests.die_when_told")
def die_when_told(event: EventData) -> None:
    """Kill the process in the first attempt of a change with the field `Kill`."""
    note(event, at="begin")
    if event.changed_data.get("Kill") and event.attempt == 1:
        os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(1)


class Unheard(BaseException):
    """An exception that no library defines or catches."""


class Unreadable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("it has none")


@cdc_handler(name="tests.raise_unreadable")
def raise_unreadable(event: EventData) -> None:
    raise Unreadable


RAISED: dict[str, BaseException] = {
    "SystemExit": SystemExit(3),
    "KeyboardInterrupt": KeyboardInterrupt("of its own"),
    "GeneratorExit": GeneratorExit("of its own"),
    "CancelledError": asyncio.CancelledError("of its own"),
    "Unheard": Unheard("of its own"),
}


@cdc_handler(name="tests.raise_as_told", max_attempts=1)
def raise_as_told(event: EventData) -> None:
    """Raise the exception that the mapping's options name."""
    note(event, pid=os.getpid())
    raise RAISED[event.options["raise"]]


def note_all(events: list[EventData]) -> None:
    for event in events:
        note(event, batch=[one.id for one in events], options=event.options)


@cdc_handler(name="tests.batch", batch=10)
def batch(events: list[EventData]) -> None:
    """Note the events."""
    note_all(events)


@cdc_handler(name="tests.batch_as_told", batch=10)
def batch_as_told(events: list[EventData]) -> object:
    """Return or raise what the mapping's options say, or fail the changes that say so
    themselves."""
    note_all(events)
    match events[0].options.get("all"):
        case "skip":
            return Skipped("not today")
        case "retry":
            raise Retry("later", after=0)
        case "fail":
            raise ValueError("all of them")
        case "stranger":
            raise BatchFailed({-1: "nobody knows it"})
    errors: dict[EventData | int, Exception | Skipped | str] = {}
    for event in events:
        match event.changed_data.get("Fail"):
            case "raise":
                errors[event] = ValueError("this one")
            case "text":
                errors[event.id] = "as it says"
            case "retry":
                errors[event] = Retry("this one later", after=3600)
            case "skip":
                errors[event] = Skipped("this one not")
    raise BatchFailed(errors)


@cdc_handler(name="tests.write_groups", batch=10, atomic=True)
def write_groups(events: list[EventData]) -> None:
    """Write a row for each change; undo the rows of those with the field `Fail`."""
    errors: dict[EventData | int, Exception | Skipped | str] = {}
    for event in events:
        try:
            with transaction.atomic():
                Group.objects.create(name=f"{event.id}-{event.attempt}")
                if event.changed_data.get("Fail"):
                    raise ValueError("after the write")
        except ValueError as error:
            errors[event] = error
    if events[0].options.get("fail"):
        raise ValueError("all of them")
    if errors:
        raise BatchFailed(errors)


@cdc_handler(name="tests.batch_that_dies", batch=10)
def batch_that_dies(events: list[EventData]) -> None:
    """Kill the process for a change with the field `Kill`, unless the batch holds only that one."""
    note_all(events)
    if len(events) > 1 and any(event.changed_data.get("Kill") for event in events):
        os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(1)
