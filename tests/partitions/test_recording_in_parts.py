"""Recording into parts: once each, in order, and whether there is a part or not."""

from typing import Any

import pytest
from django.core.management import call_command
from django.db import IntegrityError, connection, transaction
from django.db.models import CharField
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from audit import keyset
from audit.models import AuditLogEntry
from audit.partitions import ahead
from audit.partitions.months import Month, milliseconds
from audit.partitions.table import REST, TABLE, name_of, parts
from audit.partitions.upkeep import keep_up, keep_up_and_look
from tests.partitions.parts import ago, committed, entries, receive, rows_in
from tests.sample_data import make_mapping

pytestmark = pytest.mark.usefixtures("months")


def heard(count: int) -> list[dict[str, Any]]:
    """Changes of half a year and more, of the future too."""
    return [committed(ago(300 - 10 * number), f"001{number}") for number in range(count)]


@pytest.mark.parametrize("may_be_known", [True, False])
def test_an_event_that_is_sent_again_adds_nothing(listener, may_be_known):
    make_mapping(listener)
    messages = heard(60)
    assert receive(listener, *messages, may_be_known=may_be_known).entries == 60
    before = entries()

    again = receive(listener, *messages[30:], *messages[:30], may_be_known=may_be_known)
    assert (again.entries, again.repeated) == (0, 60)
    more = receive(listener, *messages, *heard(25), may_be_known=may_be_known)
    assert (more.entries, more.repeated) == (25, 60)

    assert entries()[:60] == before
    assert [one["record_id"] for one in before] == [f"001{number}" for number in range(60)]
    assert len([part for part in parts() if rows_in(part.name)]) > 6


def test_the_database_refuses_a_second_one(listener):
    receive(listener, *heard(60))

    for entry in AuditLogEntry.objects.all()[::7]:
        entry.pk = None
        with pytest.raises(IntegrityError, match="duplicate key"), transaction.atomic():
            entry.save(force_insert=True)


def test_a_month_without_a_part_is_recorded_and_gets_one_later(listener):
    far, farther = ago(-150), ago(-151)
    receive(listener, committed(far, "far"), committed(farther, "farther"))
    before = entries()
    assert rows_in(REST) == 2

    keep_up_and_look(ago(-150))

    assert entries() == before
    assert rows_in(name_of(Month.of(far))) >= 1
    assert rows_in(REST) == 0
    assert receive(listener, committed(far, "new")).entries == 1


def test_a_month_of_which_much_was_caught_stays_there(listener, monkeypatch):
    monkeypatch.setattr(ahead, "MOVED", 1)
    receive(listener, committed(ago(-150), "far"), committed(ago(-150), "too"))

    made = keep_up(ago(-150))

    assert name_of(Month.of(ago(-150))) not in made
    assert rows_in(REST) == 2


def test_parts_are_there_before_they_are_needed():
    names = {part.name for part in parts()}

    months = [Month.of(timezone.now()).next(number) for number in range(ahead.AHEAD + 1)]
    assert names.issuperset(map(name_of, months))
    assert keep_up(timezone.now()) == []


def test_pages_read_the_parts_that_they_are_about(listener):
    receive(listener, *heard(60))
    since, until = milliseconds(ago(60)), milliseconds(ago(59))
    within = AuditLogEntry.objects.filter(
        commit_timestamp__gte=since, commit_timestamp__lt=until
    ).order_by("commit_timestamp", "id")

    read = {part.name for part in parts() if f"on {part.name} " in within.explain()}
    assert 1 <= len(read) <= 2

    page = keyset.beside(AuditLogEntry.objects.all(), "", before=str(entries()[30]["id"]))
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")  # so small a table is read whole
        cursor.execute("SET LOCAL enable_bitmapscan = off")
        plan = page[:10].explain()
    assert "Merge Append" in plan
    assert "Sort Key: audit_auditlogentry.id DESC" in plan
    assert "->  Sort" not in plan


def constraints(table: str) -> dict[str, Any]:
    with connection.cursor() as cursor:
        return connection.introspection.get_constraints(cursor, table)


def test_migrations_change_all_parts(listener):
    """Those that there are, backwards and forwards, and one that adds a column."""
    receive(listener, *heard(60))
    before, made = entries(), constraints(TABLE)
    try:
        call_command("migrate", "audit", "0003", verbosity=0)
        assert "entry_user" not in constraints(TABLE)
    finally:
        with CaptureQueriesContext(connection) as captured:
            call_command("migrate", verbosity=0)

    assert constraints(TABLE) == made
    assert entries() == before
    with connection.cursor() as cursor:
        cursor.execute("SELECT indexrelid::regclass::text FROM pg_index WHERE NOT indisvalid")
        assert cursor.fetchall() == []
    built = [query["sql"] for query in captured if query["sql"].startswith("CREATE INDEX")]
    of_parts = [sql for sql in built if "entry_user" in sql and "ON ONLY" not in sql]
    assert len(of_parts) == len(parts())
    assert all("CONCURRENTLY" in sql for sql in of_parts)


def test_a_new_column_is_in_all_parts(listener):
    receive(listener, *heard(30))
    field = CharField(max_length=10, db_default="x")
    field.set_attributes_from_name("added")
    field.model = AuditLogEntry
    with connection.schema_editor() as editor:
        editor.add_field(AuditLogEntry, field)
    try:
        receive(listener, committed(ago(10), "new"))
        keep_up(ago(-200))
        receive(listener, committed(ago(-200), "newer"))
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT count(*) FROM {TABLE} WHERE added = 'x'")
            assert cursor.fetchone() == (32,)
    finally:
        with connection.schema_editor() as editor:
            editor.remove_field(AuditLogEntry, field)
