"""A comparison in many slices looks up the members of the channel once, with requests to spare."""

import pytest

from consumer.reconciliation import compare
from consumer.reconciliation import job as reconciliation_job
from consumer.reconciliation.progress import Progress
from listeners.salesforce.channel_members import ChannelMembers
from listeners.salesforce.rest import org_requests
from listeners.salesforce.rest.client import RestClient
from tests.consumer.hearing import hear
from tests.consumer.losing import Entity, on_channel, run, unanswered, unseen_setup
from tests.sample_data import make_mapping
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
    """An entity on a custom channel, with a change that was received."""
    made = Entity(org)
    on_channel(made, made.name)
    made.create(Name="heard")
    hear(org, made.listener)
    return made


@pytest.fixture
def looked_up(monkeypatch):
    """The entities whose membership was looked up in the Setup, in this order."""
    names: list[str] = []
    coverage = ChannelMembers.coverage

    def seen(self, name):
        names.append(name)
        return coverage(self, name)

    monkeypatch.setattr(ChannelMembers, "coverage", seen)
    return names


def compare_in_slices(job, monkeypatch) -> int:
    """Compare one record in each slice; return the number of slices."""
    monkeypatch.setattr(compare, "CHUNK", 1)
    for slices in range(1, 20):
        reconciliation_job.run(job.pk, budget=-1)
        job.refresh_from_db()
        if job.state == "done":
            return slices
    raise AssertionError(job.state)


def test_an_entity_that_is_left_out_is_looked_up_once_for_all_slices(
    org, entity, monkeypatch, looked_up
):
    """To find out that no member is an entity takes a request for each member."""
    make_mapping(entity.listener, entity="Absent__c")
    for name in ("1", "2", "3"):
        entity.create(Name=name)
        org.advance(2)

    assert compare_in_slices(entity.lose(), monkeypatch) > 3

    assert looked_up.count("Absent__c") == 1


def test_an_entity_that_may_be_a_member_is_looked_up_once_for_all_slices(
    org, entity, monkeypatch, looked_up
):
    for name in ("1", "2", "3"):
        entity.create(Name=name)
        org.advance(2)
    job = entity.lose()

    with unseen_setup(org):
        assert compare_in_slices(job, monkeypatch) > 3

    assert looked_up == [entity.name]


def test_the_next_attempt_compares_what_the_channel_carries_by_then(org, entity, monkeypatch):
    first, second = sorted((entity, Entity(org)), key=lambda made: made.name)
    for made in (first, second):
        make_mapping(entity.listener, entity=made.name)
        made.create(Name="lost")
    on_channel(entity, second.name)
    job = entity.lose()
    with monkeypatch.context() as patch:
        patch.setattr(compare, "_known_records", unanswered)
        reconciliation_job.run(job.pk)
    on_channel(entity, first.name, second.name)

    job = run(job)

    assert "does not carry" not in job.report
    assert first.name in {entry.entity_name for entry in entity.entries(source="reconcile")}


def test_the_next_attempt_respects_a_filter_that_can_be_seen_by_then(org, entity, monkeypatch):
    entity.create(Name="lost")
    job = entity.lose()
    with unseen_setup(org), monkeypatch.context() as patch:
        patch.setattr(compare, "_known_records", unanswered)
        reconciliation_job.run(job.pk)
    on_channel(entity, entity.name, filters={entity.name: "Industry = 'Energy'"})

    reconciliation_job.run(job.pk)

    job.refresh_from_db()
    assert job.state == "failed"
    assert "filters it" in job.error


def test_members_are_not_read_with_the_requests_that_others_need(entity, monkeypatch):
    make_mapping(entity.listener, entity="Absent__c")
    asked_for: list[str] = []
    query_setup = RestClient.query_setup

    def seen(self, soql):
        asked_for.append(soql)
        return query_setup(self, soql)

    monkeypatch.setattr(RestClient, "query_setup", seen)
    monkeypatch.setattr(org_requests, "usage_of", lambda _: (95_000, 100_000))
    job = entity.lose()

    reconciliation_job.run(job.pk)

    job.refresh_from_db()
    assert (job.state, job.attempts) == ("waiting", 0)
    assert "daily API requests are used" in job.error
    assert not [soql for soql in asked_for if "Metadata" in soql]


def test_the_claim_is_renewed_while_members_are_read(entity):
    make_mapping(entity.listener, entity="Absent__c")
    steps: list[str] = []

    compare.compare(
        entity.lose(),
        Progress(),
        lambda _: steps.append("page"),
        renew=lambda: steps.append("renewed"),
    )

    assert steps[:2] == ["renewed", "page"]
