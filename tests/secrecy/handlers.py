"""Handlers that fail with secrets at hand; registered in the processes that tests start."""

import logging
import os

from django.db.models.signals import pre_save

from handlers import EventData, Retry, cdc_handler
from listeners.models import Connection

log = logging.getLogger(__name__)


@cdc_handler(name="secrecy.crash", max_attempts=2)
def crash(event: EventData) -> None:
    """Log a traceback and fail, with secrets among the local variables."""
    token = event.salesforce.session.request and event.options
    try:
        int(f"no number of {event.metadata.record_id}")
    except ValueError as error:
        log.exception("the record's id is no number")
        raise RuntimeError(f"crashed with {len(token)} options") from error


@cdc_handler(name="secrecy.unknown_record", max_attempts=1)
def unknown_record(event: EventData) -> None:
    event.salesforce.Account.get("001000000000000AAA")


@cdc_handler(name="secrecy.bad_query", max_attempts=1)
def bad_query(event: EventData) -> None:
    event.salesforce.query("SELECT Nothing FROM Nowhere")


@cdc_handler(name="secrecy.bad_write", max_attempts=1)
def bad_write(event: EventData) -> None:
    event.salesforce.Account.update(event.metadata.record_id, {"NoSuchField": event.listener})


@cdc_handler(name="secrecy.not_now", max_attempts=2)
def not_now(event: EventData) -> None:
    raise Retry(f"{event.salesforce!r} and {event!r} are not ready", after=0)


def fail_to_save(sender: type[Connection], instance: Connection, **_: object) -> None:
    raise RuntimeError(f"{instance!r} cannot be saved")


if os.environ.get("CDC_TEST_SAVING_FAILS"):
    pre_save.connect(fail_to_save, sender=Connection)
