"""The rules by which a record counts as complete, without an org or a database."""

import pytest

from audit.models import AuditLogEntry
from consumer.reconciliation.backfill import PartResult
from consumer.reconciliation.evidence import Certainty, Rule, Seen
from consumer.reconciliation.logged_state import state_after
from consumer.reconciliation.progress import Progress
from consumer.reconciliation.salesforce_rows import Row

LIVING = Row("001", created=1_000, modified=10_000, stamp=10_000, is_deleted=False)
HOUSEKEPT = Row("001", created=1_000, modified=10_000, stamp=20_000, is_deleted=False)
DELETED = Row("001", created=1_000, modified=5_000, stamp=10_000, is_deleted=True)


def seen(change_type="UPDATE", commit=10_300, as_of=None, read_at=None, modified=10_000) -> Seen:
    return Seen(change_type, commit, as_of, read_at, modified)


@pytest.mark.parametrize(
    ("row", "entry", "sight"),
    [
        (LIVING, seen(commit=11_000), Certainty.SURE),
        (LIVING, seen(commit=10_999), Certainty.SAME_SECOND),
        (LIVING, seen(commit=10_100, modified=9_000), Certainty.NO),
        (LIVING, seen(commit=9_900, modified=9_000), Certainty.NO),
        (LIVING, seen("GAP_UPDATE", 10_300, modified=None), Certainty.SAME_SECOND),
        (LIVING, seen("GAP_UPDATE", 9_900, modified=None), Certainty.NO),
        (LIVING, seen("DELETE", 10_300, modified=None), Certainty.NO),
        (LIVING, seen("DELETE", 12_000, modified=None), Certainty.SURE),
        (LIVING, seen(as_of=10_000, read_at=11_000), Certainty.SURE),
        (LIVING, seen(as_of=10_000, read_at=10_999), Certainty.SAME_SECOND),
        (LIVING, seen(commit=12_000, as_of=9_000, read_at=9_500), Certainty.NO),
        (LIVING, seen(as_of=11_000, read_at=11_500), Certainty.SURE),
        (HOUSEKEPT, seen(commit=10_300), Certainty.SAME_SECOND),
        (DELETED, seen("DELETE", 10_300, modified=None), Certainty.SURE),
        (DELETED, seen("GAP_DELETE", 10_300, modified=None), Certainty.SURE),
        (DELETED, seen("DELETE", 9_999, modified=None), Certainty.NO),
        (DELETED, seen("UPDATE", 12_000), Certainty.NO),
    ],
)
def test_an_entry_shows_the_newest_change_or_it_does_not(row, entry, sight):
    assert entry.shows(row) is sight


def test_before_a_loss_the_newest_change_is_enough():
    trusting, careful = (Rule(20_000, None, trusts_second=trusts) for trusts in (True, False))

    assert trusting.is_met(LIVING, [seen()])
    assert not careful.is_met(LIVING, [seen()])
    assert careful.is_met(LIVING, [seen(commit=11_000)])
    assert not trusting.is_met(LIVING, [])


@pytest.mark.parametrize(
    ("whole", "is_met"),
    [
        (seen("CREATE", 9_001), True),
        (seen("CREATE", 9_000), False),
        (seen("UNDELETE", 9_500), True),
        (seen("UPDATE", 9_500), False),
        (seen(as_of=10_000, read_at=9_500), True),
        (seen(as_of=10_000, read_at=8_000), False),
    ],
)
def test_since_a_loss_the_whole_record_from_after_it_is_needed(whole, is_met):
    """An update that arrived may hide a lost one."""
    rule = Rule(0, 9_000, trusts_second=True)

    assert rule.is_met(LIVING, [seen(commit=12_000), whole]) is is_met
    assert not Rule(0, None, trusts_second=True).is_met(LIVING, [seen(commit=12_000), whole])
    assert rule.is_met(DELETED, [seen("DELETE", 10_300, modified=None)])


def rows(*stamps: int) -> list[Row]:
    return [Row(str(n), 0, stamp, stamp, False) for n, stamp in enumerate(stamps)]


def test_a_second_that_is_compared_again_is_counted_once():
    progress = Progress()
    progress.begin("Account")
    progress.advance(rows(1000, 2000, 2000), PartResult(missing=1))

    resumed = Progress.of(progress.cursor())
    resumed.begin("Account")
    assert resumed.stamp == 2000
    resumed.advance(rows(2000, 2000), PartResult())
    resumed.advance(rows(2000, 3000), PartResult())

    assert (resumed.total.compared, resumed.total.missing) == (5, 1)
    assert (resumed.stamp, resumed.counted) == (3000, 1)


def entry(change_type: str, second: int, **fields) -> AuditLogEntry:
    data = {"Name": "Acme", "LastModifiedDate": "1970-01-01T00:00:10.000Z"}
    return AuditLogEntry(
        source="stream",
        change_type=change_type,
        commit_timestamp=second * 1000,
        transaction_key=f"{second}",
        sequence_number=1,
        changed_data={} if change_type == "DELETE" else data,
        **fields,
    )


def test_a_restore_counts_though_the_record_was_read_before_its_deletion_came():
    """The record was read at second 40, and the restore did not change its LastModifiedDate."""
    read = entry("UPDATE", 10, as_of=10_000, read_at=40_000)

    deleted = state_after([read, entry("DELETE", 20)])
    restored = state_after([read, entry("DELETE", 20), entry("UNDELETE", 30)])

    assert deleted.is_deleted
    assert not restored.is_deleted
    assert restored.is_whole
    assert restored.values["Name"] == "Acme"


def test_a_restore_that_a_record_read_later_contains_does_not_replace_it():
    read = entry("UPDATE", 35, as_of=35_000, read_at=40_000)
    read.changed_data["Name"] = "renamed since"

    state = state_after([read, entry("DELETE", 20), entry("UNDELETE", 30)])

    assert state.values["Name"] == "renamed since"
