from datetime import timedelta

import pytest
from django.core.management import CommandError
from django.utils import timezone

from audit.models import AuditLogEntry, Reconciliation
from consumer.reconciliation import judge
from handlers.models import Delivery
from tests.commands.running import run
from tests.consumer.hearing import hear
from tests.consumer.losing import Entity, unseen_setup
from tests.sample_data import make_listener, make_mapping
from tests.simulator.process import SimulatorProcess

pytestmark = [
    pytest.mark.slow,
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("broker"),
]


@pytest.fixture(scope="module")
def org():
    with SimulatorProcess("--connect-timeout", "5") as running_org:
        yield running_org


@pytest.fixture
def entity(org):
    """Two records, of which the log has lost one."""
    made = Entity(org)
    lost, _ = made.create({"Name": "lost"}, {"Name": "there"})
    hear(org, made.listener)
    AuditLogEntry.objects.filter(record_id=lost).delete()
    return made


def reconcile(entity, *arguments: str) -> list[str]:
    later = f"{timezone.now() + timedelta(minutes=1):%Y-%m-%dT%H:%M:%SZ}"
    until = [] if "--until" in arguments else ["--until", later]
    name = entity.listener.name
    return run("reconcile_cdc", "--listener", name, *until, *arguments).lines


def test_it_says_how_complete_the_log_is_and_records_what_is_missing(entity):
    lines = reconcile(entity)

    about = f"{entity.listener.name}: {entity.name}: "
    assert lines[1:] == [
        f"{about}2 records changed in the window: 1 is complete in the audit log, 1 was missing "
        "and is recorded now (compared 2, present 1, missing 1, added 1, known in part 0, looked "
        "up 2, deletions missing 0, deletions added 0)",
        f"{about}2 existing records of the audit log were looked up by id: no deletion is "
        "missing in the audit log",
        f"{entity.listener.name}: Not compared: the values of records that did not change in the "
        "window",
    ]
    [entry] = entity.entries(source="reconcile")
    assert entry.change_type == "CREATE"
    assert Delivery.objects.get(entry=entry).state == "queued"
    job = Reconciliation.objects.get()
    assert (job.reason, job.state, job.added) == ("asked", "done", 1)
    again = reconcile(entity)[1]
    assert "2 records changed in the window: 2 are complete in the audit log, none was" in again


def test_it_reports_complete_partly_known_and_missing_records(org):
    made = Entity(org)
    [old] = made.create(Name="older than the listener")
    made.begin()
    [gone, _] = made.create({"Name": "gone"}, {"Name": "whole"})
    made.update(old, Phone="2")
    hear(org, made.listener)
    made.delete(gone)
    org.post("recycle-bin/empty")
    made.begin()

    lines = reconcile(made)

    about = f"{made.listener.name}: {made.name}: "
    assert lines[1:5] == [
        f"{about}2 records changed in the window: 1 is complete in the audit log, 1 is known in "
        "part, none was missing (compared 2, present 1, missing 0, added 0, known in part 1, "
        "looked up 3, deletions missing 1, deletions added 1)",
        f"{about}3 existing records of the audit log were looked up by id: 1 no longer exists "
        "in Salesforce, and the missing deletion is recorded now",
        f"{about}Known in part means: the audit log does not reach back to the record's creation "
        "or to a read of the whole record, so only the fields that it has were compared",
        f"{made.listener.name}: Not compared: the values of records that did not change in the "
        "window",
    ]
    assert made.added() == [("DELETE", gone)]


def test_a_dry_run_only_counts_what_is_gone(org):
    made = Entity(org)
    [gone] = made.create(Name="gone")
    hear(org, made.listener)
    made.delete(gone)
    org.post("recycle-bin/empty")

    lines = reconcile(made, "--dry-run")

    assert "1 no longer exists in Salesforce, and the missing deletion is not recorded" in lines[2]
    assert "deletions missing 1, deletions added 0" in lines[1]
    assert made.added() == []


def test_on_a_channel_of_many_entities_it_says_which_are_left_out(entity):
    type(entity.listener).objects.update(channel="/data/ChangeEvents")

    assert reconcile(entity)[-1] == (
        f"{entity.listener.name}: Not compared: entities that no handler mapping or "
        "recorded change names"
    )


def test_a_dry_run_records_nothing(entity):
    lines = reconcile(entity, "--dry-run")

    assert "1 was missing and is not recorded" in lines[1]
    assert "added 0" in lines[1]
    assert not entity.added()
    assert not Reconciliation.objects.exists()


def test_times_and_the_entity_bound_it(entity):
    hour_ago = f"{timezone.now() - timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ}"
    assert "no record changed in the window" in reconcile(entity, "--until", hour_ago)[1]
    assert "2 records changed in the window" in reconcile(entity, "--since", hour_ago)[1]

    type(entity.listener).objects.update(channel="/data/ChangeEvents")
    lines = reconcile(entity, "--entity", "Account")
    assert f"{entity.listener.name}: Account: " in lines[1]


def test_what_cannot_be_compared_is_named_and_the_rest_is_compared(org, entity):
    type(entity.listener).objects.update(channel="/data/ChangeEvents")
    make_mapping(entity.listener, entity="Nothing__c", handler="tests.skip")

    with unseen_setup(org), pytest.raises(CommandError) as failed:
        reconcile(entity)

    assert failed.value.returncode == 1
    assert f"{entity.listener.name}: Nothing__c: REST request refused" in str(failed.value)
    assert len(entity.added()) == 1
    assert Reconciliation.objects.get().state == "failed"


def test_what_is_no_name_is_not_put_into_a_query(entity):
    with pytest.raises(CommandError, match="not a valid entity name"):
        reconcile(entity, "--entity", "Account WHERE Name != ''")


def test_a_channel_of_which_no_entity_is_known_asks_for_one(org):
    make_listener(name="new")

    with pytest.raises(CommandError, match="Name an entity with reconcile_cdc --entity"):
        run("reconcile_cdc", "--listener", "new")


def test_an_interrupted_one_is_left_to_the_workers(entity, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(judge, "incomplete", interrupt)
    with pytest.raises(SystemExit) as ended:
        reconcile(entity)

    assert ended.value.code == 130
    job = Reconciliation.objects.get()
    assert (job.state, job.claimed_until) == ("waiting", None)


def test_what_was_given_up_is_taken_up_again(entity):
    job = entity.lose()
    Reconciliation.objects.update(state="failed")

    lines = reconcile(entity)

    assert "failed comparisons queued for another try: 1" in lines[0]
    job.refresh_from_db()
    assert job.state == "waiting"


def test_what_retention_has_pruned_is_not_taken_for_missing(entity, settings):
    settings.CDC_RETENTION_DAYS = 7

    with pytest.raises(CommandError, match="more than CDC_RETENTION_DAYS \\(7\\) ago") as refused:
        reconcile(entity, "--since", "2026-01-01")

    assert refused.value.returncode == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--listener", "nobody"], "There is no listener 'nobody'"),
        (["--since", "soon"], "'soon' is not a time"),
        (["--since", "2026-01-02", "--until", "2026-01-01"], "--since must be before --until"),
    ],
)
def test_bad_usage_is_explained(db, arguments, message):
    with pytest.raises(CommandError) as refused:
        run("reconcile_cdc", *arguments)

    assert message in str(refused.value)
