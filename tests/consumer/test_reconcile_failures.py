"""A comparison that fails is retried, gives its reason, and is finally left to an operator."""

from datetime import timedelta

import pytest
from django.utils import timezone

from audit.jobs.claim import SENT_AGAIN, ClaimLost
from audit.models import Incident, Reconciliation
from consumer.host.threads import relay_thread
from consumer.reconciliation import job as reconciliation_job
from consumer.reconciliation import schedule
from consumer.reconciliation.claim import ReconciliationClaim
from listeners.models import Listener, Position
from tests.clock import a_moment_ago
from tests.consumer.hearing import hear
from tests.consumer.losing import Entity, asked, run, unseen_setup
from tests.sample_data import make_listener, make_mapping
from tests.servers import wait_for
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
    made = Entity(org)
    made.create(Name="heard")
    hear(org, made.listener)
    return made


def incident_of(entity, kind="replay_lost") -> Incident:
    return Incident.objects.get(listener=entity.listener, kind=kind)


def test_an_org_that_does_not_answer_is_asked_again(org, entity):
    entity.create(Name="lost")
    job = entity.lose()
    org.fault("http_status", target="rest", status=503, times=1)
    before = timezone.now()

    reconciliation_job.run(job.pk)

    job.refresh_from_db()
    assert (job.state, job.attempts) == ("waiting", 1)
    assert job.due_at > before
    assert "HTTP 503" in job.error
    incident = incident_of(entity)
    assert "will be retried at" in incident.action
    assert "HTTP 503" in incident.action

    assert run(job).added == 1
    assert incident_of(entity).closed_at


def test_what_is_refused_for_good_is_given_up_and_taken_up_again_by_an_operator(org, entity):
    job = entity.lose()
    entity_name = job.entity_name
    Reconciliation.objects.update(
        entity_name="Nothing__c", attempts=reconciliation_job.MOST_ATTEMPTS - 1
    )
    Listener.objects.update(channel="/data/ChangeEvents")

    with unseen_setup(org):
        reconciliation_job.run(job.pk)

    job.refresh_from_db()
    assert job.state == "failed"
    assert "Nothing__c" in job.error
    failure = incident_of(entity, "reconciliation")
    assert "INVALID_TYPE" in failure.summary
    assert f"reconcile_cdc --listener {entity.listener.name}" in failure.remedy
    assert not incident_of(entity).closed_at
    Reconciliation.objects.update(entity_name=entity_name)

    assert schedule.retry(entity.listener, timezone.now()) == 1
    reconciliation_job.run(job.pk)

    assert incident_of(entity).closed_at


def test_one_entity_that_is_refused_holds_up_no_other(org, entity):
    Listener.objects.filter(pk=entity.listener.pk).update(channel="/data/ChangeEvents")
    make_mapping(entity.listener, entity="Nothing__c", handler="tests.skip")
    entity.create(Name="lost")
    job = entity.lose()

    with unseen_setup(org):
        reconciliation_job.run(job.pk)

    job.refresh_from_db()
    assert (job.state, job.added) == ("waiting", 1)
    assert job.cursor["done"] == [entity.name]
    assert "INVALID_TYPE" in job.error


def test_a_job_sent_to_many_workers_runs_once(org, entity):
    job = entity.lose()
    first = ReconciliationClaim.of(job.pk, timezone.now())

    assert first is not None
    assert ReconciliationClaim.of(job.pk, timezone.now()) is None


def test_a_worker_that_lost_its_claim_writes_nothing_more(org, entity):
    job = entity.lose()
    old = ReconciliationClaim.of(job.pk, timezone.now())
    Reconciliation.objects.update(claimed_until=a_moment_ago())
    assert ReconciliationClaim.of(job.pk, timezone.now())

    with pytest.raises(ClaimLost):
        old.release(timezone.now())


def test_a_slice_whose_time_is_over_leaves_the_rest_to_the_next(org, entity):
    job = entity.lose()

    reconciliation_job.run(job.pk, budget=-1)

    job.refresh_from_db()
    assert (job.state, job.claimed_until, job.compared) == ("waiting", None, 1)
    assert run(job).compared == 1


def test_a_wider_window_restarts_the_same_job(entity):
    first = entity.lose()
    Reconciliation.objects.update(cursor={"done": ["x"]}, compared=5, state="running")

    second = entity.lose()

    assert second.pk == first.pk
    assert (second.cursor, second.compared, second.state) == ({}, 0, "waiting")
    assert second.window_start == first.window_start
    assert second.window_end > first.window_end


def test_it_waits_for_a_listener_that_is_on_its_way(entity):
    Listener.objects.update(enabled=True)
    job = entity.lose()
    before = timezone.now()

    reconciliation_job.run(job.pk)

    job.refresh_from_db()
    assert (job.state, job.attempts, job.compared) == ("waiting", 0, 0)
    assert before < job.due_at < timezone.now() + timedelta(seconds=20)
    long_ago = timezone.now() - timedelta(hours=1)
    Reconciliation.objects.update(window_start=long_ago, window_end=long_ago)
    before = timezone.now()

    reconciliation_job.run(job.pk)

    job.refresh_from_db()
    assert job.due_at > before + timedelta(seconds=25)


def test_while_the_listener_stands_still_the_incident_stays_open(entity):
    """With on_replay_lost: stop, changes lost until the listener continues are compared then."""
    Listener.objects.update(on_replay_lost="stop")
    entity.create(Name="lost")
    job = entity.lose()
    Position.objects.update(state="failed")
    reconciliation_job.run(job.pk)
    assert len(entity.added()) == 1
    assert "The listener is stopped" in incident_of(entity).action
    entity.create(Name="lost too")
    reconciliation_job.run(job.pk)
    assert (len(entity.added()), incident_of(entity).closed_at) == (1, None)

    Position.objects.update(state="stopped")
    job = run(job)

    assert (len(entity.added()), job.compared, job.added) == (2, 3, 1)
    assert incident_of(entity).closed_at


def test_a_channel_of_many_entities_of_which_none_is_known_is_not_called_complete(org):
    listener = make_listener(enabled=False)
    job = asked(listener, timezone.now())

    reconciliation_job.run(job.pk)

    job.refresh_from_db()
    assert job.state == "waiting"
    assert "Name an entity with reconcile_cdc --entity" in job.error


def test_due_jobs_are_sent_once_in_a_while(entity, broker):
    entity.lose()
    now = timezone.now()

    assert schedule.start_due(now) == 1
    assert schedule.start_due(now) == 0
    assert schedule.start_due(now + 2 * SENT_AGAIN) == 1


def test_a_listener_process_sends_a_due_job_without_a_repair(entity, broker):
    job = entity.lose()
    thread = relay_thread(repairs=())
    thread.start()

    wait_for(lambda: Reconciliation.objects.get(pk=job.pk).due_at > job.due_at, what="its message")

    thread.stop()
    thread.join(10)
