"""The audit log becomes partitioned, and one table again, with all that is in it."""

import threading

import psycopg
import pytest
from django.core.management import CommandError
from django.db import IntegrityError, connection
from django.utils import timezone

from audit.models import OperatorAction
from audit.partitions import brief, splitting
from audit.partitions.table import HISTORY, REST, TABLE, is_partitioned, parts
from audit.partitions.upkeep import keep_up
from handlers.models import Delivery
from listeners.models import Position
from tests.commands.running import run
from tests.partitions.parts import ago, committed, entries, receive, rows_in, schema, tables
from tests.sample_data import make_mapping

pytestmark = pytest.mark.usefixtures("one_table")


@pytest.fixture
def recorded(listener):
    """Five entries with their deliveries, some of a year ago."""
    make_mapping(listener)
    receive(listener, *(committed(ago(90 * number), f"001{number}") for number in range(5)))
    return listener


def test_what_was_recorded_is_there_before_and_after(recorded):
    before, made = entries(), schema()

    run("partition_audit_log")
    assert is_partitioned()
    assert entries() == before
    assert rows_in(HISTORY) == 5
    assert Delivery.objects.filter(entry__record_id="0013").count() == 1
    receive(recorded, committed(ago(0), "later"))
    assert [one["id"] for one in entries()] == sorted(one["id"] for one in entries())
    assert entries()[-1]["id"] > before[-1]["id"]
    both = entries()

    Position.objects.update(lease_until=None)
    run("partition_audit_log", "--undo")
    assert not is_partitioned()
    assert entries() == both
    assert schema() == made
    assert tables() == [TABLE]
    receive(recorded, committed(ago(0), "last"))
    assert entries()[-1]["id"] > both[-1]["id"]


def test_a_dry_run_changes_nothing(recorded):
    made = schema()

    said = run("partition_audit_log", "--dry-run")

    assert said.lines[-1] == "dry run: nothing was changed"
    assert schema() == made
    run("partition_audit_log")
    assert "copy about" in run("partition_audit_log", "--undo", "--dry-run").out
    assert is_partitioned()
    assert {one.details["is now"] for one in OperatorAction.objects.all()} == {"partitioned"}


def begin(steps: int) -> None:
    for _, step in list(splitting.steps(timezone.now()))[:steps]:
        step()


@pytest.mark.parametrize("steps", range(5))
def test_it_goes_on_where_it_was_broken_off(recorded, steps):
    before = entries()
    begin(steps)
    receive(recorded, committed(ago(0), "meanwhile"))
    if steps == 2:
        with connection.cursor() as cursor:  # as an interrupted build leaves it
            cursor.execute(
                "UPDATE pg_index SET indisvalid = false "
                "WHERE indexrelid = 'entry_by_id_history'::regclass"
            )

    run("partition_audit_log")

    assert entries()[:-1] == before
    assert {HISTORY, REST} < {part.name for part in parts()}
    assert receive(recorded, committed(ago(0), "after")).entries == 1


def test_what_was_prepared_is_forgotten(recorded):
    made = schema()
    begin(3)
    assert schema() != made

    run("partition_audit_log", "--undo")

    assert schema() == made


def test_changes_are_recorded_while_it_is_partitioned(recorded):
    stop = threading.Event()
    sent = []

    def receive_more():
        try:
            while not stop.is_set():
                message = committed(ago(0), f"m{len(sent)}")
                receive(recorded, message)
                sent.append(message)
        finally:
            connection.close()

    receiving = threading.Thread(target=receive_more)
    receiving.start()
    try:
        run("partition_audit_log")
    finally:
        stop.set()
        receiving.join()
    receive(recorded, committed(ago(0), "after"))

    records = [one["record_id"] for one in entries()]
    assert sent
    assert records[5:] == [f"m{number}" for number in range(len(sent))] + ["after"]
    assert len({one["id"] for one in entries()}) == len(records)


def test_who_reads_for_long_is_waited_for(recorded, monkeypatch):
    monkeypatch.setattr(brief, "PATIENCE", 0.05)
    monkeypatch.setattr(brief, "PAUSE", 0)
    monkeypatch.setattr(splitting, "TRIES", 3)
    with psycopg.connect(**connection.get_connection_params()) as reader:
        reader.execute(f"SELECT count(*) FROM {TABLE}")
        with pytest.raises(CommandError, match="Try again"):
            run("partition_audit_log")
        receive(recorded, committed(ago(0), "meanwhile"))

    run("partition_audit_log")

    assert len(entries()) == 6


def test_of_two_at_once_the_second_is_refused(recorded):
    """It would leave a check behind that refuses what is committed in months to come."""
    with psycopg.connect(**connection.get_connection_params()) as other:
        other.execute("SELECT pg_advisory_lock(hashtext(%s))", [brief.CHANGING])
        with pytest.raises(CommandError, match="is at work"):
            run("partition_audit_log")
    assert not is_partitioned()

    run("partition_audit_log")

    assert is_partitioned()


def test_so_it_is_where_a_pooler_gives_each_transaction_another_session(one_table):
    with brief.alone():
        connection.close()
        with pytest.raises(brief.AnotherRuns), brief.alone():
            pass
    with brief.alone():
        pass


def test_a_check_that_was_left_behind_is_gone_before_it_refuses_anything(recorded):
    begin(1)
    later = ago(-60)
    keep_up(timezone.now())
    with pytest.raises(IntegrityError, match="entry_before_"):
        receive(recorded, committed(later, "later"))

    keep_up(later)

    assert receive(recorded, committed(later, "later")).entries == 1


@pytest.mark.parametrize(
    ("made", "dropped", "said"),
    [
        (f"CREATE VIEW mine AS SELECT id FROM {TABLE}", "DROP VIEW mine", "the view mine"),
        (
            f"CREATE TRIGGER mine BEFORE UPDATE ON {TABLE} FOR EACH ROW "
            "EXECUTE FUNCTION suppress_redundant_updates_trigger()",
            f"DROP TRIGGER mine ON {TABLE}",
            "the trigger mine",
        ),
        (
            f"CREATE PUBLICATION mine FOR TABLE {TABLE}",
            "DROP PUBLICATION mine",
            "the publication mine",
        ),
        (
            f"CREATE TABLE mine (entry bigint CONSTRAINT to_entry REFERENCES {TABLE})",
            "DROP TABLE mine",
            "mine refers to it by to_entry",
        ),
        (
            f"ALTER TABLE {TABLE} ENABLE ROW LEVEL SECURITY",
            f"ALTER TABLE {TABLE} DISABLE ROW LEVEL SECURITY",
            "row level security",
        ),
        (
            f"CREATE UNIQUE INDEX mine ON {TABLE} (id, channel)",
            "DROP INDEX mine",
            "the unique index mine",
        ),
    ],
)
def test_what_would_be_lost_is_named_first(recorded, made, dropped, said):
    with connection.cursor() as cursor:
        cursor.execute(made)
    try:
        with pytest.raises(CommandError, match=said):
            run("partition_audit_log")
    finally:
        with connection.cursor() as cursor:
            cursor.execute(dropped)

    assert not is_partitioned()


def test_rights_of_others_stay(recorded):
    def readers():
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT grantee, privilege_type FROM information_schema.role_table_grants "
                "WHERE table_name = %s AND grantee <> current_user",
                [TABLE],
            )
            return cursor.fetchall()

    with connection.cursor() as cursor:
        cursor.execute("CREATE ROLE auditor")
        cursor.execute(f"GRANT SELECT ON {TABLE} TO auditor")
    try:
        run("partition_audit_log")
        assert readers() == [("auditor", "SELECT")]
        Position.objects.update(lease_until=None)
        run("partition_audit_log", "--undo")
        assert readers() == [("auditor", "SELECT")]
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP OWNED BY auditor")
            cursor.execute("DROP ROLE auditor")


def test_it_is_not_undone_while_a_listener_runs(recorded):
    run("partition_audit_log")

    with pytest.raises(CommandError, match="Stop the listeners first"):
        run("partition_audit_log", "--undo")

    assert is_partitioned()


def test_a_change_in_the_far_future_is_named(recorded):
    receive(recorded, committed(ago(-900)))

    with pytest.raises(CommandError, match="in the audit log says that it was committed after"):
        run("partition_audit_log")
