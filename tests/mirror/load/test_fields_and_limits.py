"""Fields that change during a load, objects with many fields, and limits."""

from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.utils import timezone

from listeners.clock import database_clock
from mirror import budget, runs, service
from mirror.load import fields, writer
from mirror.models import DirtyRow, Mirror, MirrorRun
from mirror.status import status_of
from tests.at_once import in_threads, somebody_waits_for_a_lock
from tests.mirror.crm.models import Account
from tests.mirror.load.loading import load_of, loaded, mirror_of, work_on
from tests.servers import wait_for

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("broker"),
]


def test_trap_fields_that_appear_during_a_load_are_read_too(org):
    [record_id] = org.create("Account", Name="Acme")
    mirror = mirror_of(org)
    org.fault("job_stuck", times=1)
    run = work_on(load_of(mirror), until="query job")

    org.entity("Account", fields={"Score__c": "double"})
    org.update("Account", record_id, Score__c=5.5)
    org.clear_faults()
    run = work_on(run)

    mirror.refresh_from_db()
    assert (run.state, run.cursor["round"]) == ("done", 2)
    assert Account.objects.get(pk=record_id).raw["Score__c"] == 5.5
    assert "Score__c" in mirror.described


def test_the_first_load_of_a_model_that_does_not_fit_fails(org):
    org.entity("Account", hidden=["Phone"])
    mirror = mirror_of(org)

    run = loaded(mirror)

    assert run.state == "failed"
    assert "crm.Account.phone: Account has no field for it" in run.error
    assert not Account.all_objects.exists()
    mirror.refresh_from_db()
    assert mirror.in_sync_since is None


def test_the_first_load_of_an_object_without_changes_fails(org):
    org.entity("Account", selected=False)

    run = loaded(mirror_of(org))

    assert run.state == "failed"
    assert "/data/ChangeEvents does not carry changes of Account" in run.error


def test_the_first_load_of_an_object_whose_changes_are_filtered_fails(org):
    mirror = mirror_of(org)
    mirror.listener.channel = org.channel(
        "Filtered__chn", "Account", filters={"Account": "Name = 'Acme'"}
    )
    mirror.listener.save()

    run = loaded(mirror)

    assert run.state == "failed"
    assert "filters changes of Account (Name = 'Acme')" in run.error


def test_a_field_that_is_hidden_later_does_not_stop_a_load(org):
    [record_id] = org.create("Account", Name="Acme", Phone="1")
    mirror = mirror_of(org)
    assert loaded(mirror).state == "done"
    org.entity("Account", hidden=["Phone"])

    service.request_run(mirror, "load")

    assert work_on(load_of(mirror)).state == "done"
    assert Account.objects.get(pk=record_id).phone == "1"


def test_an_object_with_many_fields_is_read_by_id_over_rest(org, monkeypatch):
    monkeypatch.setattr(fields, "LONGEST_QUERY", 100)
    org.fault("rest_error", target="bulk", channel="create", code="INVALIDENTITY", times=None)
    [acme, gone] = org.create("Account", {"Name": "Acme", "Phone": "1"}, {"Name": "Gone"})
    org.delete("Account", gone)
    mirror = mirror_of(org)

    run = loaded(mirror)

    assert (run.state, run.done) == ("done", 2)
    assert Account.objects.get(pk=acme).phone == "1"
    assert Account.all_objects.get(pk=gone).is_deleted


def test_a_load_leaves_a_tenth_of_the_daily_calls_to_others():
    class Client:
        usage: tuple[int, int] | None = None

    client = Client()
    assert budget.pause(client) is None
    client.usage = (899, 1000)
    assert budget.pause(client) is None

    client.usage = (900, 1000)
    pause = budget.pause(client)

    assert pause is not None
    assert "900 of 1,000 are used" in pause.reason


def test_an_object_that_does_not_exist_fails_with_what_to_do(org):
    mirror = mirror_of(org)
    org.fault("rest_error", target="rest", channel="describe", code="NOT_FOUND", status=404)

    run = loaded(mirror)

    assert run.state == "failed"
    assert "Account" in run.error
    assert "View All Records" in run.error


def test_a_mirror_has_one_run_at_a_time(org):
    mirror = mirror_of(org)
    now = database_clock.now()
    claim = runs.RunClaim.of(load_of(mirror).pk, now)
    other, _ = runs.request(mirror, "verify", now)

    assert runs.RunClaim.of(other.pk, now) is None

    other.refresh_from_db()
    assert other.waits_for == "Load of the same mirror"
    claim.release(now)
    assert runs.RunClaim.of(other.pk, now) is not None


def test_few_loads_run_at_once(org):
    mirrors = [mirror_of(org, model) for model in ("crm.Account", "crm.Contact", "crm.Opportunity")]
    now = database_clock.now()
    claims = [runs.RunClaim.of(load_of(mirror).pk, now) for mirror in mirrors]

    assert [claim is None for claim in claims] == [False, False, True]
    last = load_of(mirrors[2])
    assert (last.waits_for, last.due_at > now) == ("2 other loads, the most at once", True)


@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has one writer")
def test_loads_of_two_mirrors_are_counted_one_after_the_other(org):
    accounts, contacts = mirror_of(org), mirror_of(org, "crm.Contact")
    run = load_of(contacts)

    with transaction.atomic():
        Mirror.objects.select_for_update().get(pk=accounts.pk)
        [claiming] = in_threads(lambda: runs.RunClaim.of(run.pk, database_clock.now()))
        wait_for(somebody_waits_for_a_lock)
    claiming.result(30)

    run.refresh_from_db()
    assert run.state == "running"


def test_an_unreadable_value_from_salesforce_is_reported(org):
    def read(claim):
        raise ValueError("Invalid isoformat string: '?'")

    run = load_of(mirror_of(org))

    runs.work(run.pk, {"load": read})

    run.refresh_from_db()
    assert run.state == "waiting"
    assert "Invalid isoformat string: '?'" in run.waits_for


@pytest.fixture
def unique_phones(transactional_db):
    with connection.cursor() as cursor:
        cursor.execute("CREATE UNIQUE INDEX unique_phone ON crm_account (phone)")
        yield
        cursor.execute("DROP INDEX unique_phone")


@pytest.mark.usefixtures("unique_phones")
def test_a_row_that_the_database_refuses_does_not_stop_a_load(org):
    org.create("Account", *({"Name": name, "Phone": name[0]} for name in ("a", "b", "b2", "c")))
    mirror = mirror_of(org)

    run = loaded(mirror)

    assert (run.state, Account.objects.count()) == ("done", 3)
    refused = DirtyRow.objects.get(reason="failed")
    assert refused.record_id not in Account.objects.values_list("pk", flat=True)
    assert "unique" in refused.error.lower()
    assert status_of(mirror, timezone.now()).in_sync_as_of is None


@pytest.mark.usefixtures("unique_phones")
def test_many_rows_that_the_database_refuses_fail_a_load_with_one_of_their_ids(org, monkeypatch):
    monkeypatch.setattr(writer, "MOST_REFUSED", 2)
    ids = org.create("Account", *({"Name": str(n), "Phone": "1"} for n in range(5)))

    run = loaded(mirror_of(org))

    assert run.state == "failed"
    assert "refuses more than 2 rows of crm.Account" in run.error
    assert any(one in run.error for one in ids)


def test_a_run_without_progress_fails_in_the_end(org, monkeypatch):
    mirror = mirror_of(org)
    run = load_of(mirror)
    MirrorRun.objects.update(tries=runs.MOST_TRIES)

    assert runs.RunClaim.of(run.pk, database_clock.now() + timedelta(seconds=1)) is None

    run.refresh_from_db()
    assert (run.state, run.is_right) == ("failed", False)
