"""A load beside changes that the stream brings: the rows end as the records are."""

from datetime import timedelta

import pytest
from django.utils import timezone

from listeners.clock import database_clock
from mirror import runs
from mirror.apply import release
from mirror.apply.upsert import write
from mirror.models import DirtyRow
from mirror.schema.columns import columns_of
from tests.mirror.crm.models import Account
from tests.mirror.load.loading import load_of, loaded, mirror_of, work_on
from tests.mirrored import (
    RELEASED,
    WAITING,
    end_mirror,
    make_follower,
    record,
    run_followers,
    states_of_followers,
    update,
)
from tests.sample_handlers import read_journal

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("broker"),
]


@pytest.mark.usefixtures("loads_that_settle")
def test_trap_hand_over_what_changes_between_the_load_and_its_end_is_swept(org):
    [changed, deleted] = org.create("Account", {"Name": "Before"}, {"Name": "Deleted"})
    mirror = mirror_of(org)
    run = work_on(load_of(mirror), until="settle")

    org.update("Account", changed, Name="After")
    org.delete("Account", deleted)
    [added] = org.create("Account", Name="Added")
    work_on(run)

    rows = {row.pk: row for row in Account.all_objects.all()}
    assert (rows[changed].name, rows[added].name) == ("After", "Added")
    assert rows[deleted].is_deleted
    assert (run.state, run.report["doubtful"], DirtyRow.objects.count()) == ("done", 0, 0)


def test_a_row_that_an_event_wrote_later_is_left_alone(org):
    [record_id] = org.create("Account", Name="Read")
    mirror = mirror_of(org)
    later = timezone.now().replace(microsecond=0) + timedelta(hours=1)
    row = (record_id, False, later, "{}", "Written by an event")
    columns = columns_of(Account).against(["Name"])
    write(columns, "default", ["salesforce_id", "is_deleted", "version", "raw", "name"], [row],
          later + timedelta(microseconds=1))  # fmt: skip

    loaded(mirror)

    assert Account.objects.get(pk=record_id).name == "Written by an event"


@pytest.mark.usefixtures("loads_that_settle")
def test_a_load_can_run_again_and_finds_what_the_stream_missed(org):
    [record_id] = org.create("Account", Name="Right")
    mirror = mirror_of(org)
    loaded(mirror)
    Account.all_objects.update(name="Wrong")
    run, is_new = runs.request(mirror, "load", database_clock.now())

    run = work_on(run)

    assert is_new
    assert (run.state, Account.objects.get(pk=record_id).name) == ("done", "Right")
    assert mirror.runs.filter(kind="verify", options={"depth": "ids"}).exists()


@pytest.mark.usefixtures("journal", "loads_that_settle")
def test_the_end_of_the_first_load_releases_the_handlers_that_run_after_the_mirror(org):
    [record_id] = org.create("Account", Name="Read")
    mirror = mirror_of(org)
    make_follower(mirror.listener)
    record(mirror.listener, update(records=[record_id], commitTimestamp=1_000))
    end_mirror()

    release.release_overdue()
    assert states_of_followers() == [WAITING]
    loaded(mirror)

    assert states_of_followers() == [RELEASED]
    run_followers()
    assert read_journal()[0]["row"]["name"] == "Read"
