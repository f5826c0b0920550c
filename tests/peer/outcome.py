"""Checks of a burst's outcome: every change is recorded and handled once, whatever went wrong."""

from collections import Counter
from itertools import pairwise

from audit.models import AuditLogEntry
from handlers.models import Delivery
from tests.attempts import all_attempts
from tests.peer.payloads import Payload, changes_of, recorded_changes, runs_of
from tests.sample_handlers import read_journal
from tests.servers import PATIENCE_SECONDS, wait_for


def wait_until_recorded(count: int, seconds: float = PATIENCE_SECONDS) -> None:
    wait_for(
        lambda: AuditLogEntry.objects.count() >= count, seconds=seconds, what=f"{count} entries"
    )


def assert_recorded_once(payloads: list[Payload]) -> None:
    """Check that exactly these changes are recorded, in order, with the values that were sent."""
    assert recorded_changes() == changes_of(payloads)


def wait_until_handled(payloads: list[Payload], seconds: float = PATIENCE_SECONDS) -> None:
    wait_until_recorded(len(changes_of(payloads)), seconds)
    runs = sum(runs_of(payloads).values())
    wait_for(
        lambda: Delivery.objects.filter(state="succeeded").count() >= runs,
        seconds=seconds,
        what=f"{runs} deliveries",
    )


def assert_handled_once(payloads: list[Payload]) -> None:
    """Check that the handler ran once for each mapped change, and in order for each record."""
    journal = read_journal()
    assert Counter((line["record"], line["change"]) for line in journal) == runs_of(payloads)
    assert len({line["id"] for line in journal}) == len(journal)
    assert len(all_attempts()) == len(journal)
    of_record: dict[str, list[int]] = {}
    for line in journal:
        of_record.setdefault(line["record"], []).append(line["id"])
    assert all(first < then for ids in of_record.values() for first, then in pairwise(ids))
