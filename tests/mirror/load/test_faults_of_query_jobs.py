"""Query jobs and pages that go wrong: a partial load is never a success."""

import pytest

from listeners.salesforce.errors import TransportFailed
from listeners.salesforce.rest.client import RestClient
from mirror.load import bulk
from mirror.models import MirrorRun
from tests.mirror.crm.models import Account
from tests.mirror.load.loading import load_of, loaded, mirror_of, work_on

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("broker"),
]

ROWS = 25


@pytest.fixture
def mirror(org):
    org.create("Account", *({"Name": f"Account {number}"} for number in range(ROWS)))
    return mirror_of(org)


def asked(org, method, part):
    calls = [call for call in org.api_requests() if part in str(call)]
    return [call for call in calls if call.get("method", method) == method]


def is_whole(run) -> bool:
    return run.state == "done" and run.done == Account.objects.count() == ROWS


def test_a_cut_page_is_read_again(org, mirror):
    org.fault("close", target="bulk", channel="results")

    run = loaded(mirror)

    assert is_whole(run)


def test_a_page_that_is_too_short_is_read_again(org, mirror):
    org.fault("short_page", times=2)

    run = loaded(mirror)

    assert is_whole(run)


def test_a_page_that_stays_too_short_fails_the_load(org, mirror, monkeypatch):
    monkeypatch.setattr("mirror.runs.MOST_TRIES", 3)
    org.fault("short_page", times=None)

    run = work_on(load_of(mirror))

    mirror.refresh_from_db()
    assert (run.state, run.is_right) == ("failed", False)
    assert "a page of 10 records has 9" in run.error
    assert (mirror.phase, mirror.in_sync_since) == ("loading", None)


def test_complaint_3_a_wrong_count_is_never_a_success(org, mirror):
    """ "Synch is missing a lot of records" (airbyte #27048): a partial load shown as success."""
    org.fault("job_miscount", records=3, times=None)

    run = loaded(mirror)

    assert (run.state, run.is_right) == ("failed", False)
    assert f"it has {ROWS + 3} records, but its pages have {ROWS}" in run.error
    assert "mirror load crm.Account" in run.error
    assert mirror.phase == "loading"


def test_a_wrong_count_of_one_job_is_made_up_for_by_the_next(org, mirror):
    org.fault("job_miscount", records=-1)

    assert is_whole(loaded(mirror))


def test_complaint_5_a_job_that_times_out_is_never_a_load_of_no_records(org, mirror):
    """Syncs were reported green with 0 records after QUERY_TIMEOUT (airbyte #17503, #19947). A job
    that failed is replaced a few times, and then fails the load."""
    org.fault("job_failed", error_message="QUERY_TIMEOUT", times=bulk.JOBS)

    run = loaded(mirror)

    assert (run.state, run.is_right) == ("failed", False)
    assert "QUERY_TIMEOUT" in run.error
    assert (mirror.phase, mirror.in_sync_since) == ("loading", None)


def test_complaint_6_a_stuck_job_is_aborted_at_its_deadline(org, mirror, settings):
    """ "Stuck in Jobs InProgress": endless waiting (airbyte #17148)."""
    settings.CDC_BULK_STUCK_SECONDS = 0.5
    org.fault("job_stuck")

    run = loaded(mirror)

    assert is_whole(run)
    assert asked(org, "PATCH", "jobs/query")


def test_a_job_that_is_gone_is_created_again(org, mirror):
    run = load_of(mirror)
    org.fault("rest_error", target="bulk", channel="results", code="NOT_FOUND", status=404)

    run = work_on(run)

    assert is_whole(run)


def test_a_refusal_after_the_last_page_does_not_load_again(org, mirror):
    org.fault("job_stuck", times=1)
    run = work_on(load_of(mirror), until="query job")
    org.clear_faults()
    org.fault("rest_error", target="rest", channel="describe",
              code="SERVER_UNAVAILABLE", status=503, times=3)  # fmt: skip

    run = work_on(run)

    assert is_whole(run)
    assert len(asked(org, "POST", "jobs/query")) == 1


def test_a_limit_of_bulk_api_after_the_last_page_is_a_load_by_rest(org, mirror, monkeypatch):
    run = killed_before_the_check(mirror, monkeypatch)
    org.fault("rest_error", target="bulk", code="LIMIT_EXCEEDED", status=400)

    run = work_on(run)

    assert (run.state, run.report["read_by"], run.report["rows"]) == ("done", "REST", ROWS)


def killed_before_the_check(mirror, monkeypatch) -> MirrorRun:
    """A load whose worker was killed after it had stored that the last page was read."""

    class Killed(BaseException):
        pass

    def die(self, job):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(bulk.BulkLoad, "_check", die)
        with pytest.raises(Killed):
            work_on(load_of(mirror))
    MirrorRun.objects.update(claimed_until=None)
    return load_of(mirror)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("INVALIDENTITY", "Entity 'Account' is not supported by the Bulk API."),
        ("LIMIT_EXCEEDED", "Max bulk v2 query jobs (10000) per 24 hrs has been reached."),
        ("FEATURENOTENABLED", "The Bulk API is not enabled for this org."),
    ],
)
def test_rest_is_used_when_bulk_api_refuses(org, mirror, code, message):
    org.fault("rest_error", target="bulk", channel="create", code=code, message=message, times=None)
    [gone] = org.create("Account", Name="Gone")
    org.delete("Account", gone)

    run = loaded(mirror)

    assert (run.state, run.report["read_by"], run.done) == ("done", "REST", ROWS + 1)
    assert code in run.report["rest_because"]
    assert Account.objects.count() == ROWS
    assert Account.all_objects.get(pk=gone).is_deleted
    assert mirror.phase == "in_sync"


def test_a_limit_of_all_calls_waits_and_continues(org, mirror):
    org.fault("rest_error", target="bulk", channel="results", code="REQUEST_LIMIT_EXCEEDED",
              message="TotalRequests Limit exceeded.", status=403)  # fmt: skip

    run = work_on(load_of(mirror), until="another attempt")

    assert run.state == "waiting"
    assert "REQUEST_LIMIT_EXCEEDED" in run.waits_for
    assert is_whole(work_on(run))


def test_a_login_that_is_refused_fails_no_load(org, mirror):
    org.fault("refuse_login")

    run = work_on(load_of(mirror), until="another attempt")

    assert run.state == MirrorRun.State.WAITING
    assert "login refused" in run.waits_for


@pytest.mark.parametrize("api", ["REST", "Bulk API"])
def test_counts_that_salesforce_does_not_answer_are_given_up(org, mirror, monkeypatch, api):
    """Salesforce counts millions of records for longer than the client waits for an answer."""
    query, counts = RestClient.query, []

    def silent_about_counts(self, soql, **options):
        if "COUNT(" not in soql:
            return query(self, soql, **options)
        counts.append(soql)
        raise TransportFailed("the org sent nothing for 30 s", is_silence=True)

    monkeypatch.setattr(RestClient, "query", silent_about_counts)
    if api == "REST":
        org.fault("rest_error", target="bulk", channel="create", code="LIMIT_EXCEEDED", times=None)

    run = loaded(mirror)

    assert is_whole(run)
    assert (run.report["read_by"], run.tries, bool(counts)) == (api, 0, True)
    assert (mirror.phase, mirror.rows_in_salesforce) == ("in_sync", None)


def test_a_count_that_cannot_be_asked_for_is_asked_for_again(org, mirror):
    """No answer because of the network says nothing about the count."""
    org.fault("close", target="rest", channel="query", times=1)

    run = loaded(mirror)

    assert is_whole(run)
    assert mirror.rows_in_salesforce == ROWS
