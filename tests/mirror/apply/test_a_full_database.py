"""With a full database a mirror leaves nothing half done, and its state gives the reason."""

from contextlib import contextmanager

import pytest
from django.db import OperationalError, connection

from handlers.models import Delivery
from mirror import runs, service
from mirror.models import DirtyRow, Mirror
from tests.mirror.apply.changing import a_mirror, event, record, run_all
from tests.mirror.crm.models import Account

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("broker")]

LARGE = "x" * 3_000_000

_REFUSE = """
CREATE FUNCTION refuse_full() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE 'could not extend file: No space left on device' USING ERRCODE = '53100'; END $$;
CREATE TRIGGER full_disk BEFORE INSERT ON crm_account EXECUTE FUNCTION refuse_full();
"""


def execute(statement):
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchone() if cursor.description else None


@contextmanager
def full_database():
    """A full database: SQLite with a maximum of pages, PostgreSQL with a trigger that raises the
    error of a full disk."""
    if connection.vendor == "sqlite":
        [pages] = execute("PRAGMA page_count")
        [limit] = execute("PRAGMA max_page_count")
        execute(f"PRAGMA max_page_count = {pages + 50}")
    else:
        execute(_REFUSE)
    try:
        yield
    finally:
        if connection.vendor == "sqlite":
            execute(f"PRAGMA max_page_count = {limit}")
        else:
            execute("DROP FUNCTION refuse_full CASCADE")


def test_a_full_database_fails_the_batch_and_is_the_mirrors_problem(listener):
    a_mirror(listener)
    ids = [f"001{number:012d}AAA" for number in range(3)]
    record(listener, event("CREATE", 0, ids[:1], Name="Small"))
    record(listener, event("CREATE", 10, ids[1:], Name="Large", Description=LARGE))

    with full_database():
        run_all()
        assert not Account.all_objects.filter(name="Large").exists()
        problem = Mirror.objects.get().problem

    failed = Delivery.objects.filter(handler="mirror.apply", state="retrying")
    assert failed.count() >= 2
    assert problem.startswith("Rows cannot be written to the database 'default':")
    assert "Free space" in problem
    assert not DirtyRow.objects.exists()

    run_all()

    # A record that another attempt creates may have been deleted since: it is read.
    assert Account.all_objects.count() == 3
    incomplete = Account.all_objects.filter(is_complete=False)
    assert {*incomplete.values_list("pk", flat=True)} == {
        *DirtyRow.objects.values_list("record_id", flat=True)
    }
    assert not Delivery.objects.exclude(state="succeeded").exists()
    assert Mirror.objects.get().problem == ""


def test_a_run_waits_and_says_what_to_do(listener):
    def verify(claim):
        raise OperationalError("database or disk is full")

    run = service.request_run(a_mirror(listener), "verify")
    runs.work(run.pk, {"verify": verify})

    run.refresh_from_db()
    assert run.state == "waiting"
    assert "disk is full. Free space or raise the database's limit." in run.waits_for
