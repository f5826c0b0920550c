"""Checks of the final state: every change is recorded and handled once and in order, whichever
process was killed."""

from collections import defaultdict
from itertools import pairwise

from django.db.models import Count

from audit.models import AuditLogEntry
from handlers.models import Delivery
from listeners.models import Position
from tests.sample_handlers import read_journal, written_groups
from tests.servers import PATIENCE_SECONDS, wait_for


def free_the_lease() -> None:
    """Make the lease expire."""
    Position.objects.update(lease_until="2020-01-01T00:00Z")


def wait_until_at_rest(changes: int, seconds: float = PATIENCE_SECONDS) -> None:
    """Wait until so many changes are recorded and each delivery has ended."""
    wait_for(
        lambda: AuditLogEntry.objects.count() == changes,
        seconds=seconds,
        what=f"the recording of {changes} changes",
    )
    wait_for(
        lambda: not Delivery.objects.filter(state__in=Delivery.UNENDED).exists(),
        seconds=seconds,
        what="the end of each delivery",
    )


def assert_each_is_recorded_once_and_handled(changes: int) -> None:
    assert AuditLogEntry.objects.count() == changes
    assert Delivery.objects.filter(state="succeeded").count() == changes
    identity = ("transaction_key", "sequence_number", "entity_name", "record_id", "change_type")
    twice = AuditLogEntry.objects.values(*identity).annotate(n=Count("id")).filter(n__gt=1)
    assert not twice.exists()


def assert_in_order(effects: list[tuple[str, int]]) -> None:
    """Check the order of effects, given as (record, entry): for each record, the first effects of
    its entries come in the order of the entries; repetitions are allowed."""
    of_record = defaultdict(list)
    for record, entry in effects:
        of_record[record].append(entry)
    for record, entries in of_record.items():
        firsts = list(dict.fromkeys(entries))
        assert all(a < b for a, b in pairwise(firsts)), (record, entries)


def noted_effects() -> list[tuple[str, int]]:
    """Return the effects of `tests.remember`."""
    return [(line["record"], line["id"]) for line in read_journal()]


def written_effects() -> list[tuple[str, int]]:
    """Return the effects of `tests.write_group`, which commits its row with its success."""
    names = written_groups().order_by("id").values_list("name", flat=True)
    entries = [int(name.partition("-")[0]) for name in names]
    records = dict(AuditLogEntry.objects.values_list("id", "record_id"))
    return [(records[entry], entry) for entry in entries]


#: Transaction key, sequence number, record.
Change = tuple[str, int, str]


def published_changes(org) -> list[Change]:
    """Return all changes that the simulated org has published, in its order."""
    headers = [event["header"] for event in org.state(records=0)["events"]]
    return [
        (header["transactionKey"], header["sequenceNumber"], record)
        for header in headers
        for record in header["recordIds"]
    ]


def recorded_changes(listener) -> list[Change]:
    """Return the recorded changes in order, with repetitions."""
    entries = AuditLogEntry.objects.filter(listener=listener).order_by("id")
    return list(entries.values_list("transaction_key", "sequence_number", "record_id"))
