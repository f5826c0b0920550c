"""The version guard, by single cases and by simulated histories of a record."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from mirror.apply.guard import (
    MARGIN,
    Row,
    Verdict,
    event_time,
    judge_deletion,
    judge_deletion_read,
    judge_event,
    judge_read,
    milliseconds,
    read_time,
)

pytestmark = pytest.mark.slow

APPLY, SKIP, READ = Verdict.APPLY, Verdict.SKIP, Verdict.READ
SECOND = 1000
BASE = 1_790_000_000_000


def second(ms):
    return read_time(ms // SECOND * SECOND)


# --- single cases -------------------------------------------------------------------------------


def from_event(version, at=None, **flags):
    return Row(second(BASE + version), event_time(BASE + (at or version), 1), **flags)


def from_read(version, read_at, **flags):
    return Row(second(BASE + version), read_time(BASE + read_at), **flags)


def event(row, version, at=None, *, whole=False, first=True):
    at = event_time(BASE + (version if at is None else at), 1)
    return judge_event(row, second(BASE + version), at, is_whole=whole, is_first_attempt=first)


def test_an_event_without_last_modified_date_is_read_again():
    at = event_time(BASE, 1)
    row = from_event(0)
    assert judge_event(row, None, at, is_whole=True, is_first_attempt=True) is READ


def test_an_update_without_a_row_is_read():
    assert event(None, 0) is READ
    assert event(Row(None, None, is_complete=False), 0) is READ
    assert event(None, 0, whole=True) is APPLY


def test_an_old_create_that_is_redelivered_after_its_tombstone_is_gone_is_read():
    assert event(None, 0, whole=True, first=False) is READ


def test_a_partial_update_older_than_the_loaded_row_is_skipped_whole():
    assert event(from_read(60_000, 90_000), 30_000) is SKIP


def test_an_update_of_the_second_in_which_the_row_was_read_is_read_again():
    row = from_read(60_000, 60_000)
    assert event(row, 60_400) is READ
    # A bulk load may see a change that was committed long after the load began.
    assert event(from_read(600_000, 0), 600_400) is READ


def test_commit_timestamps_are_never_compared_with_a_versions_second():
    # Saved at 10 s and committed at 310 s, when the row had been read long before.
    assert event(from_read(5_000, 100_000), 10_000, at=310_000) is APPLY
    # Saved at 10 s and committed at 60 s, read at 100 s with that version: the row has it.
    assert event(from_read(10_000, 100_000), 10_000, at=60_000) is SKIP


def test_events_of_one_second_apply_in_the_order_of_their_chain():
    row = from_event(10_100)
    assert event(row, 10_200) is APPLY
    assert event(row, 10_000) is READ  # behind it, after the position was moved back


def test_a_redelivered_event_never_moves_a_row_back():
    row = from_event(20_000)
    assert event(row, 10_000, first=False) is READ
    assert event(row, 20_000, first=False) is READ
    assert event(row, 30_000, first=False) is APPLY  # a retry, while later events wait behind it


def test_a_delete_older_than_the_row_that_was_read_is_skipped():
    row = from_read(50_000, 90_000)
    assert judge_deletion(row, event_time(BASE + 40_000, 1), is_first_attempt=True) is SKIP


def test_a_delete_and_a_read_at_the_same_time_are_decided_by_a_read():
    row = from_read(50_000, 90_000)
    assert judge_deletion(row, event_time(BASE + 91_000, 1), is_first_attempt=True) is READ
    assert judge_deletion(row, event_time(BASE + 93_000, 1), is_first_attempt=True) is APPLY


def test_a_record_restored_and_read_during_a_load_is_not_deleted_by_its_old_delete():
    row = from_read(600_000, 0)  # restored at 600 s, while the load that began at 0 s ran
    assert judge_deletion(row, event_time(BASE + 300_000, 1), is_first_attempt=True) is READ
    same_second = event_time(BASE + 600_500, 1)
    assert judge_deletion(row, same_second, is_first_attempt=True) is READ


def test_a_tombstone_refuses_what_is_older_and_is_cleared_by_an_undelete():
    tombstone = from_event(50_000, 60_000, is_deleted=True)
    assert event(tombstone, 40_000) is SKIP
    assert event(tombstone, 70_000) is READ  # restored without an event that we saw
    assert event(tombstone, 70_000, whole=True) is APPLY
    assert judge_read(tombstone, second(BASE + 50_000), read_time(BASE + 30_000)) is SKIP
    assert judge_read(tombstone, second(BASE + 50_000), read_time(BASE + 60_000)) is READ
    assert judge_read(tombstone, second(BASE + 50_000), read_time(BASE + 70_000)) is APPLY


def test_a_loaded_row_overwrites_only_an_older_version():
    row = from_event(50_000)
    at = read_time(BASE + 51_000)
    assert judge_read(row, second(BASE + 60_000), at) is APPLY
    assert judge_read(row, second(BASE + 50_000), at) is READ
    assert judge_read(row, second(BASE + 40_000), at) is SKIP
    assert judge_read(row, None, at) is READ


def test_a_page_that_a_load_applies_again_needs_no_reads():
    row = from_read(50_000, 60_000)
    assert judge_read(row, row.version, read_time(BASE + 60_000)) is SKIP


def test_a_slow_read_does_not_overwrite_what_a_long_load_saw_later():
    row = from_read(300_000, 0)
    assert judge_read(row, second(BASE + 5_000), read_time(BASE + 100_000)) is SKIP
    confirmed = judge_read(row, second(BASE + 5_000), read_time(BASE + 100_000), is_confirmed=True)
    assert confirmed is APPLY


def test_a_read_overwrites_an_event_although_another_servers_clock_was_behind():
    row = from_event(50_000)
    assert event(row, 49_000, 50_500) is READ
    assert judge_read(row, second(BASE + 49_000), read_time(BASE + 60_000)) is APPLY


def test_a_read_after_the_rows_version_includes_it_although_the_clock_was_behind():
    row = from_read(41_000, 30_000)  # as a load saw it; another server's clock is a second behind
    assert judge_read(row, second(BASE + 40_000), read_time(BASE + 43_000)) is SKIP
    assert judge_read(row, second(BASE + 40_000), read_time(BASE + 44_000)) is APPLY


def test_a_newer_version_of_an_earlier_read_does_not_move_the_rows_time_back():
    row = from_event(50_000)
    for read_at, verdict in ((49_000, READ), (50_000, READ), (51_000, APPLY)):
        assert judge_read(row, second(BASE + 60_000), read_time(BASE + read_at)) is verdict


def test_a_missing_record_is_deleted_only_by_a_read_after_all_that_the_row_knows():
    row = from_event(50_000)
    assert judge_deletion_read(row, read_time(BASE + 60_000)) is APPLY
    assert judge_deletion_read(row, read_time(BASE + 51_000)) is READ
    assert judge_deletion_read(row, read_time(BASE + 40_000)) is SKIP
    assert judge_deletion_read(None, read_time(BASE)) is APPLY


def test_times_of_rows_tell_events_from_reads():
    at = event_time(BASE + 5, 70_000)
    assert at == event_time(BASE + 5, 999)
    assert Row(None, at).is_from_event
    assert not Row(None, read_time(BASE + 5)).is_from_event
    assert milliseconds(at) == BASE + 6
    assert milliseconds(read_time(BASE + 5)) == BASE + 5


# --- simulated histories ------------------------------------------------------------------------

FIELDS = ("a", "b", "c")


@dataclass
class Change:
    """A change of the record, with the state after it. `number` is its place in the history."""

    number: int
    kind: str
    commit: int
    version: int
    sequence: int
    body: dict[str, int]
    state: dict[str, int]
    is_deleted: bool


@dataclass
class Stored:
    row: Row
    values: dict[str, int]  # field → the number of the change that set it
    number: int  # the last change that the row is known to include


@dataclass
class Mirror:
    """A row with its dirty mark, and the product's operations on both."""

    stored: Stored | None = None
    since: int | None = None

    def _mark(self, since):
        self.since = max(self.since or 0, since)

    def _put(self, row, values, *, is_step=True):
        before, self.stored = self.stored, Stored(row, values, max(values.values()))
        if before is None or not is_step:
            return
        for name in FIELDS:
            assert values[name] >= before.values[name], f"{name} went back"

    @property
    def row(self):
        return self.stored.row if self.stored else None

    def event(self, change, attempt):
        if self.since is not None:
            self._mark(change.commit)
            return
        at = event_time(change.commit, change.sequence)
        first = attempt == 1
        if change.kind == "DELETE":
            verdict = judge_deletion(self.row, at, is_first_attempt=first)
        else:
            version = second(change.version)
            verdict = judge_event(
                self.row,
                version,
                at,
                is_whole=change.kind != "UPDATE",
                is_first_attempt=first,
            )
        if verdict is READ:
            self._mark(change.commit)
        elif verdict is APPLY and change.kind == "DELETE":
            assert not (self.stored and change.number < self.stored.number), "deleted by an old one"
            values = dict.fromkeys(FIELDS, change.number)
            version = self.row.version if self.row else None
            self._put(Row(version, at, is_deleted=True), values)
        elif verdict is APPLY:
            values = (self.stored.values if self.stored else {}) | change.body
            self._put(Row(version, at), values)

    def read(self, change, read_at):
        """Apply a read that began at `read_at` and returned the state after `change`."""
        at = read_time(read_at)
        if change is None or change.is_deleted:
            verdict = judge_deletion_read(self.row, at)
        else:
            verdict = judge_read(self.row, second(change.version), at)
        if verdict is APPLY and (change is None or not change.is_deleted or self.row):
            self._apply_read(change, at)
        known = milliseconds(self.row.synced_at) if self.row else 0
        if verdict is READ:
            self._mark(max(known, read_at))
        return verdict

    def _apply_read(self, change, at):
        if change is None:  # not created yet: a row of it cannot be there
            assert self.stored is None
            return
        values = dict(change.state)
        if change.is_deleted:
            values = dict.fromkeys(FIELDS, change.number)
            self._put(Row(self.row.version, at, is_deleted=True), values)
        else:
            self._put(Row(second(change.version), at), values)


def history_of(rng):
    """Return the changes of a record in the order of their commits, which is that of their
    versions: the record is locked between a save and its commit."""
    changes, state, is_deleted = [], {}, False
    now = BASE + rng.randrange(SECOND)
    for number in range(rng.randint(2, 14)):
        now += rng.choice((1, 7, 300, 900, 1500, 30_000))
        version = now // SECOND * SECOND
        if rng.random() < 0.2:
            now += rng.choice((500, 5_000, 300_000))  # a long transaction
        if not changes:
            kind = "CREATE"
        elif is_deleted:
            kind = "UNDELETE"
        else:
            kind = rng.choices(("UPDATE", "DELETE"), (6, 1))[0]
        is_deleted = kind == "DELETE"
        body = {}
        if kind == "UPDATE":
            body = dict.fromkeys(rng.sample(FIELDS, rng.randint(1, 3)), number)
        elif not is_deleted:
            body = dict.fromkeys(FIELDS, number)
        state = state | body
        sequence = rng.randint(1, 3)
        changes.append(Change(number, kind, now, version, sequence, body, dict(state), is_deleted))
    return changes


def state_at(changes, moment):
    return next((change for change in reversed(changes) if change.commit <= moment), None)


def steps_of(rng, changes):
    """Return the steps of a simulation in order: events in the order of their chain, redeliveries
    of earlier ones, and reads that are written some time after they were taken."""
    steps = [(change.commit + rng.randint(50, 4_000), "event", change, 1) for change in changes]
    moments = sorted(step[0] for step in steps)
    steps = [
        (moment, *step[1:]) for moment, step in zip(moments, steps, strict=True)
    ]  # in the order of their chain
    end = changes[-1].commit + 10_000
    for moment, _, change, _ in list(steps):
        if rng.random() < 0.3:  # redelivered as recorded
            steps.append((moment + rng.choice((0, 1, 1_000, 60_000)), "event", change, 2))
    for _ in range(rng.randint(0, 4)):  # loads, sweeps and other reads
        begun = rng.randrange(BASE - 5_000, end)
        taken = begun + rng.choice((0, 1, 500, 3_000, 60_000, 600_000))
        written = taken + rng.choice((0, 10, 2_000, 30_000))
        steps.append((written, "read", state_at(changes, taken), begun))
    return sorted(steps, key=lambda step: step[0])


@pytest.mark.parametrize("start", range(8))
def test_a_row_never_goes_back_and_equals_the_record_after_the_reads(start):
    for seed in range(start * 2500, (start + 1) * 2500):
        rng = random.Random(seed)
        changes = history_of(rng)
        mirror = Mirror()
        for moment, kind, change, detail in steps_of(rng, changes):
            try:
                if kind == "event":
                    mirror.event(change, detail)
                else:
                    mirror.read(change, detail)
                if mirror.since is not None and rng.random() < 0.5:
                    read_dirty(mirror, changes, moment)
            except AssertionError as error:
                raise AssertionError(f"seed {seed}: {error}") from error
        quiet = max(changes[-1].commit, mirror.since or 0) + 1_000_000
        if mirror.since is not None:
            read_dirty(mirror, changes, quiet)
        assert mirror.since is None, f"seed {seed}: still to be read"
        last = changes[-1]
        assert mirror.stored is not None, f"seed {seed}"
        assert mirror.row.is_deleted == last.is_deleted, f"seed {seed}"
        if not last.is_deleted:
            assert mirror.stored.values == last.state, f"seed {seed}"


def read_dirty(mirror, changes, moment):
    """Read a dirty record at `moment`, and remove its mark if the read began late enough."""
    if moment <= mirror.since + MARGIN // timedelta(milliseconds=1):
        return
    if mirror.read(state_at(changes, moment), moment) is not READ:
        mirror.since = None


def test_events_of_a_record_alone_need_no_reads():
    """Without loads and redeliveries every event is applied when it arrives."""
    for seed in range(500):
        changes = history_of(random.Random(seed))
        mirror = Mirror()
        for change in changes:
            mirror.event(change, 1)
            assert mirror.since is None
            assert mirror.stored.row.is_deleted == change.is_deleted


def test_times_are_aware():
    assert read_time(0) == datetime(1970, 1, 1, tzinfo=UTC)
