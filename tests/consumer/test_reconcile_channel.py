"""A comparison delivers nothing that the listener's channel excludes, and says what it left out."""

from datetime import timedelta

import pytest
from django.core.management import CommandError
from django.utils import timezone

from audit.jobs.claim import ClaimLost
from audit.models import Incident, Reconciliation
from consumer.reconciliation import compare, schedule
from consumer.reconciliation import job as reconciliation_job
from consumer.reconciliation.claim import ReconciliationClaim
from consumer.reconciliation.progress import Progress
from tests.commands.running import run as run_command
from tests.consumer.hearing import hear
from tests.consumer.losing import Entity, asked, on_channel, run, unanswered, unseen_setup
from tests.sample_data import make_mapping
from tests.simulator.process import SimulatorProcess

pytestmark = [
    pytest.mark.slow,
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("broker"),
]

FILTER = "Industry = 'Energy'"


@pytest.fixture(scope="module")
def org():
    with SimulatorProcess("--connect-timeout", "5") as running_org:
        yield running_org


@pytest.fixture
def entity(org):
    """An entity on a custom channel, with a change that was received."""
    made = Entity(org)
    on_channel(made, made.name)
    made.create(Name="heard")
    hear(org, made.listener)
    return made


def incident_of(entity, kind) -> Incident:
    return Incident.objects.get(listener=entity.listener, kind=kind)


def reconcile(entity, *arguments):
    return run_command("reconcile_cdc", "--listener", entity.listener.name, *arguments).lines


def test_an_entity_that_is_no_member_is_left_out_and_named(org, entity):
    other = Entity(org)
    make_mapping(entity.listener, entity=other.name)
    other.create(Name="not of this channel")
    entity.create(Name="lost")

    job = run(entity.lose())

    assert [entry.entity_name for entry in entity.entries(source="reconcile")] == [entity.name]
    text = f"Not compared: {other.name}, since the channel {entity.listener.channel} does not carry"
    assert text in job.report
    assert incident_of(entity, "replay_lost").note == job.report


def test_an_entity_whose_name_ends_a_members_name_is_no_member(org, entity):
    """Line__c is not taken for Order_Line__c."""
    longer = f"Order_{entity.name}"
    org.entity(longer)
    on_channel(entity, longer)
    entity.create(Name="not of this channel")
    job = asked(entity.listener, timezone.now())

    reconciliation_job.run(job.pk)

    assert entity.added() == []


def test_a_filtered_entity_is_not_compared_and_the_others_are(org, entity):
    filtered = Entity(org)
    make_mapping(entity.listener, entity=filtered.name)
    on_channel(entity, entity.name, filtered.name, filters={filtered.name: FILTER})
    filtered.create(Name="perhaps excluded")
    entity.create(Name="lost")
    job = entity.lose()

    reconciliation_job.run(job.pk)

    job.refresh_from_db()
    assert [entry.entity_name for entry in entity.entries(source="reconcile")] == [entity.name]
    assert (job.state, job.attempts) == ("failed", 1)
    failure = incident_of(entity, "reconciliation")
    name = entity.listener.name
    assert f"filters it ({FILTER})" in failure.summary
    assert f"--listener {name} --entity {filtered.name} --ignore-filter" in failure.summary
    assert "close this incident and the one about their loss" in failure.remedy
    lost = incident_of(entity, "replay_lost")
    assert lost.closed_at is None
    assert "--ignore-filter" in lost.action


def test_an_operator_can_have_it_compared_despite_the_filter(org, entity):
    on_channel(entity, entity.name, filters={entity.name: FILTER})
    entity.create(Name="lost")
    job = entity.lose()
    reconciliation_job.run(job.pk)
    assert entity.added() == []

    lines = reconcile(entity, "--entity", entity.name, "--ignore-filter")

    assert any("Compared although the channel filters them" in line for line in lines)
    assert len(entity.added()) == 1
    job = run(job)
    assert f"excludes: {entity.name}" in job.report
    assert incident_of(entity, "replay_lost").closed_at
    assert incident_of(entity, "reconciliation").closed_at


@pytest.fixture
def half_done(org, entity, monkeypatch):
    """A comparison after a failure, in which one of two entities is filtered; returns the filtered
    entity and the job, which is given up after `most` failures."""

    def fail(most: int):
        first, second = sorted((entity, Entity(org)), key=lambda made: made.name)
        for made in (first, second):
            make_mapping(entity.listener, entity=made.name)
            made.create(Name="lost")
        on_channel(entity, first.name, second.name, filters={first.name: FILTER})
        job = entity.lose()
        with monkeypatch.context() as patch:
            patch.setattr(reconciliation_job, "MOST_ATTEMPTS", most)
            patch.setattr(compare, "_known_records", unanswered)
            reconciliation_job.run(job.pk)
        job.refresh_from_db()
        return first, job

    return fail


def decide_to_compare(entity, filtered) -> None:
    reconciliation_job.ignore_filter(entity.listener, filtered.name, timezone.now())


def test_the_decision_counts_for_a_comparison_that_waits_for_its_next_attempt(entity, half_done):
    filtered, job = half_done(most=2)
    assert (job.state, list(job.cursor["refused"])) == ("waiting", [filtered.name])

    decide_to_compare(entity, filtered)

    assert filtered.name in run(job).report
    assert filtered.name in {entry.entity_name for entry in entity.entries(source="reconcile")}


def test_the_decision_counts_for_a_comparison_that_failed_for_another_reason(entity, half_done):
    filtered, job = half_done(most=1)
    assert job.state == "failed"

    decide_to_compare(entity, filtered)
    assert schedule.retry(entity.listener, timezone.now()) == 1

    run(job)
    assert incident_of(entity, "replay_lost").closed_at
    assert incident_of(entity, "reconciliation").closed_at


def test_a_removed_filter_counts_for_a_comparison_that_failed_for_another_reason(entity, half_done):
    filtered, job = half_done(most=1)
    on_channel(entity, *job.cursor["figures"], filtered.name)

    assert schedule.retry(entity.listener, timezone.now()) == 1

    run(job)
    assert incident_of(entity, "replay_lost").closed_at


def test_the_decision_counts_for_a_comparison_that_runs(entity):
    on_channel(entity, entity.name, filters={entity.name: FILTER})
    entity.create(Name="lost")
    job = entity.lose()
    claim = ReconciliationClaim.of(job.pk, timezone.now())

    decide_to_compare(entity, entity)

    with pytest.raises(ClaimLost):
        claim.keep(Progress())
    assert run(job).added == 1


def test_the_decision_leaves_another_operators_comparison_alone(entity):
    claim = ReconciliationClaim.of_new(
        reconciliation_job.requested(
            entity.listener, "", *reconciliation_job.window(None, None, timezone.now()), "another"
        ),
        timezone.now(),
    )

    decide_to_compare(entity, entity)

    claim.keep(Progress())


def test_a_filter_that_was_removed_no_longer_holds_up_the_comparison(org, entity):
    on_channel(entity, entity.name, filters={entity.name: FILTER})
    job = entity.lose()
    reconciliation_job.run(job.pk)
    on_channel(entity, entity.name)

    assert schedule.retry(entity.listener, timezone.now()) == 1
    run(job)

    assert incident_of(entity, "reconciliation").closed_at


def test_without_a_look_into_the_setup_it_is_compared_and_the_doubt_named(org, entity):
    entity.create(Name="lost")
    job = entity.lose()

    with unseen_setup(org):
        job = run(job)

    assert len(entity.added()) == 1
    assert (
        f"Compared without knowing whether the channel carries or filters them: {entity.name}; "
        "this user cannot see the members of channels"
    ) in job.report


def test_a_loss_on_a_channel_that_carries_nothing_known_is_not_called_complete(org, entity):
    other = Entity(org)
    on_channel(entity, other.name)
    job = entity.lose()

    reconciliation_job.run(job.pk)

    job.refresh_from_db()
    assert (job.state, job.attempts) == ("failed", 1)
    assert f"{entity.name}: the channel {entity.listener.channel} does not carry it" in job.error
    assert incident_of(entity, "replay_lost").closed_at is None


def test_entities_that_are_left_out_do_not_restart_the_others(org, entity):
    for name in ("Absent_a__c", "Absent_b__c"):
        make_mapping(entity.listener, entity=name)
    later = timezone.now() + timedelta(hours=1)  # no record changed: one page is looked up
    job = asked(entity.listener, later, window_end=later + timedelta(hours=1))

    for _ in range(10):
        reconciliation_job.run(job.pk, budget=-1)

    job.refresh_from_db()
    assert job.state == "done"
    assert job.report.count("since the channel") == 2


def test_the_command_ends_with_an_error_if_no_channel_carries_the_entity(org, entity):
    other = Entity(org)

    with pytest.raises(CommandError, match="Nothing was compared"):
        reconcile(entity, "--entity", other.name)
    with pytest.raises(CommandError, match="Nothing was compared"):
        reconcile(entity, "--entity", other.name, "--dry-run")

    run_command("reconcile_cdc", "--entity", other.name)
    assert Reconciliation.objects.filter(listener=other.listener, state="done").exists()


def test_a_dry_run_does_not_compare_a_filtered_entity_either(org, entity):
    on_channel(entity, entity.name, filters={entity.name: FILTER})

    with pytest.raises(CommandError, match="filters it"):
        reconcile(entity, "--dry-run")
    lines = reconcile(entity, "--dry-run", "--entity", entity.name, "--ignore-filter")

    assert any("1 record changed in the window" in line for line in lines)


def test_the_option_needs_the_name_of_an_entity(entity):
    with pytest.raises(CommandError, match="needs --entity") as failed:
        reconcile(entity, "--ignore-filter")

    assert failed.value.returncode == 2
