"""The page of background jobs shows all jobs that its reader may see."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission, User
from django.utils import timezone

from audit.db.row_count import Total
from audit.jobs import tracked
from audit.jobs.tracked import TrackedJob
from audit.models import OperatorAction, Reconciliation, Work
from console.job_items import running
from handlers.models import Redelivery
from tests.sample_data import ANN

OVERVIEW = "/admin/audit/work/overview/"


@pytest.fixture
def kinds(listener):
    """A running and an ended job of each kind."""
    now = timezone.now()
    begun = {"requested_by": "ann", "criteria": {"state": "dead"}, "requested_at": now}
    Redelivery.objects.create(**begun, state="running", total=400, done=100, started_at=now)
    Redelivery.objects.create(**begun, state="done", total=4, done=4, count=3, finished_at=now)
    window = {"window_end": now, "due_at": now, "created_at": now, "listener": listener}
    Reconciliation.objects.create(
        **window, reason="outage", state="running", compared=70, share=0.5
    )
    Reconciliation.objects.create(**window, reason="asked", state="failed", error="no such entity")
    TrackedJob.begin("prune", None, {"older_than_days": 30}, Total(1000, is_estimate=True))
    TrackedJob.begin("export", ANN, {"format": "csv"}, Total(10)).end(Work.State.BROKEN_OFF)


def test_what_runs_says_how_far_it_is_and_what_ended_stays(admin_client, kinds):
    page = admin_client.get(OVERVIEW)

    html = page.content.decode()
    assert {item.kind for item in page.context["running"]} == {
        "Pruning",
        "Reconciliation",
        "Redelivery",
    }
    for words in (
        "100 of 400, 25 %",
        "70 compared, about 50 %",
        "0 of about 1,000, 0 %",
        "the schedule",
        "3 redelivered",
        "no such entity",
        "Interrupted",
    ):
        assert words in html
    assert 'aria-valuenow="25"' in html
    for item in [*page.context["running"], *page.context["finished"]]:
        assert admin_client.get(item.href).status_code == 200
    parts = admin_client.get("/admin/audit/work/overview/parts/")
    assert "100 of 400" in parts.content.decode()


def test_it_takes_the_same_queries_for_any_number_of_jobs(
    admin_client, kinds, django_assert_max_num_queries
):
    admin_client.get(OVERVIEW)
    with django_assert_max_num_queries(11):
        admin_client.get(OVERVIEW)
    for state in ("running", "done"):
        now = timezone.now()
        rows = [Redelivery(requested_by="a", requested_at=now, state=state) for _ in range(40)]
        Redelivery.objects.bulk_create(rows)
    with django_assert_max_num_queries(11):
        admin_client.get(OVERVIEW)


@pytest.mark.parametrize(
    "path", ["/admin/handlers/redelivery/", "/admin/audit/reconciliation/", "/admin/audit/work/"]
)
def test_each_kind_has_a_read_only_list(admin_client, kinds, path):
    assert len(admin_client.get(path).context["cl"].result_list) == 2
    assert admin_client.get(f"{path}add/").status_code == 403


def test_a_user_who_may_view_one_kind_sees_only_that_kind(client, kinds):
    reader = User.objects.create_user("reader", is_staff=True)
    client.force_login(reader)
    assert client.get(OVERVIEW).status_code == 403

    reader.user_permissions.add(Permission.objects.get(codename="view_redelivery"))
    page = client.get(OVERVIEW)

    items = [*page.context["running"], *page.context["finished"]]
    assert {item.kind for item in items} == {"Redelivery"}
    assert [item.kind for item in running(timezone.now(), User.objects.get())] == ["Redelivery"]


def test_one_whose_process_died_is_lost_and_the_action_log_has_what_left(admin_user):
    export = TrackedJob.begin("export", ANN, {}, Total(None))
    export.row.done = 7
    now = timezone.now()
    assert tracked.mark_lost(now) == 0
    Work.objects.update(done=7)
    [item] = running(now + timedelta(minutes=2), admin_user)
    assert "No progress since" in item.state_name

    assert tracked.mark_lost(now + tracked.SILENCE * 2) == 1

    assert Work.objects.get().state == "lost"
    ended = OperatorAction.objects.get(action="export_ended")
    assert (ended.who, ended.details) == ("ann", {"rows": 7, "ended": "Lost: process stopped"})
