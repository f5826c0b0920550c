import json

import pytest
from django.utils import timezone

from audit.models import Incident, OperatorAction, Trouble
from handlers.models import HandlerMapping
from listeners.salesforce.errors import TransportFailed
from listeners.salesforce.rest.client import RestClient
from mirror.models import Mirror, MirrorRun
from tests.mirror.adding import add, in_sync
from tests.sample_data import make_listener, make_mapping

pytestmark = pytest.mark.slow

MIRRORS = "/admin/mirror/mirror/"


@pytest.fixture
def mirror(listener):
    return add(listener)


def page(mirror, rest="") -> str:
    return f"{MIRRORS}{mirror.pk}/{rest}"


def text_of(response) -> str:
    assert response.status_code == 200, response.headers
    return " ".join(response.content.decode().split())


def differ(mirror, **fields):
    return mirror.differences.create(
        run=mirror.runs.first(),
        **{
            "record_id": "001000000000001AAA",
            "field": "Phone",
            "here": "+43 1",
            "there": "+43 2",
            "reason": "unexplained",
            "found_at": timezone.now(),
            **fields,
        },
    )


def test_without_mirrors_the_list_says_how_to_get_one(admin_client):
    assert "manage.py inspect_salesforce" in text_of(admin_client.get(MIRRORS))


def test_the_list_shows_rows_here_and_there(admin_client, mirror):
    in_sync(mirror)

    text = text_of(admin_client.get(MIRRORS))

    assert "crm.Account" in text
    assert "In sync" in text


def test_the_list_refreshes_its_table_with_the_filters(admin_client, mirror):
    mirror.runs.update(state="running", done=430, total=1000, started_at=timezone.now())
    Mirror.objects.update(phase="loading")

    chosen = f"listener__id__exact={mirror.listener_id}"
    assert f'data-refresh="{MIRRORS}rows/?{chosen}"' in text_of(
        admin_client.get(f"{MIRRORS}?{chosen}")
    )
    text = text_of(admin_client.get(f"{MIRRORS}rows/?{chosen}"))
    assert "Loading 43 %" in text
    assert "<html" not in text
    assert "crm.Account" not in text_of(admin_client.get(f"{MIRRORS}rows/?q=Contact"))


def test_the_list_is_refreshed_for_those_who_may_see_it(client, mirror):
    assert client.get(f"{MIRRORS}rows/").status_code == 302


def test_hourly_checks_of_fields_do_not_hide_other_runs(admin_client, mirror):
    in_sync(mirror)
    for state in ("done", "failed"):
        now = timezone.now()
        mirror.runs.create(
            kind="formulas",
            options={"schema_only": True},
            state=state,
            error="no answer" if state == "failed" else "",
            created_at=now,
            finished_at=now,
        )

    text = text_of(admin_client.get(page(mirror, "parts/")))

    assert text.count("Check of the object&#x27;s fields") == 2  # the failed one, and the reason
    listed = text_of(admin_client.get("/admin/mirror/mirrorrun/"))
    assert "compared with the model" in listed


def test_the_page_shows_a_load_in_progress_and_that_no_worker_runs_it(admin_client, mirror):
    mirror.runs.update(state="running", done=430, total=1000, started_at=timezone.now())
    Mirror.objects.update(phase="loading")

    text = text_of(admin_client.get(page(mirror, "parts/")))

    assert "Loading" in text
    assert 'aria-valuenow="43"' in text
    assert "43 %" in text
    assert "No worker consumes the queue cdc, so nothing runs." in text
    assert f"Listener {mirror.listener} is stopped." in text


def test_differences_have_both_values_and_the_reason(admin_client, mirror):
    in_sync(mirror)
    differ(mirror)

    text = text_of(admin_client.get(page(mirror, "change/")))

    assert "1 unexplained difference from Salesforce" in text
    for shown in ("001000000000001AAA", "Phone", "+43 1", "+43 2", "Unexplained", "Repair"):
        assert shown in text
    assert "+43 1" in text_of(admin_client.get("/admin/mirror/difference/"))


def test_open_incidents_are_linked(admin_client, mirror):
    now = timezone.now()
    trouble = Trouble(
        Incident.Kind.MIRROR_DIFFERS,
        mirror.model,
        "crm.Account differs",
        "Look at them.",
        window_start=now,
        window_end=now,
    )
    Incident.objects.report(mirror.listener_id, trouble, now)
    pk = Incident.objects.get().pk

    text = text_of(admin_client.get(page(mirror, "parts/")))
    assert f"/admin/audit/incident/{pk}/change/" in text
    assert "crm.Account differs" in text

    Incident.objects.update(closed_at=now)
    assert "crm.Account differs" not in text_of(admin_client.get(page(mirror, "parts/")))


def test_an_error_is_shown_once(admin_client, mirror):
    waits = {"error": "HTTP 503", "waits_for": "another attempt after: HTTP 503"}
    mirror.runs.update(state="waiting", **waits)

    assert text_of(admin_client.get(page(mirror, "parts/"))).count("HTTP 503") == 1


def test_sensitive_values_are_masked(as_a, mirror):
    mirror.listener.sensitive_fields = ["Account.Phone"]
    mirror.listener.save()
    differ(mirror)
    client = as_a("CDC Viewer")

    for address in (page(mirror, "change/"), "/admin/mirror/difference/"):
        text = text_of(client.get(address))
        assert "+43" not in text
        assert "•••" in text


@pytest.mark.parametrize(
    ("pattern", "field"),
    [
        ("*.Name.LastName", "LastName"),
        ("Account.Name", "FirstName"),
        ("BillingAddress", "BillingCity"),
        ("Account.BillingAddress.City", "BillingCity"),
        ("Site__c", "Site__Latitude__s"),
    ],
)
def test_parts_of_a_sensitive_compound_are_masked(as_a, mirror, pattern, field):
    mirror.listener.sensitive_fields = [pattern]
    mirror.listener.save()
    differ(mirror, field=field)
    differ(mirror, field="", here={field: "+43 1"}, there=None)

    text = text_of(as_a("CDC Viewer").get("/admin/mirror/difference/"))

    assert "+43" not in text
    assert text.count("•••") == 3


@pytest.mark.parametrize(
    ("what", "kind", "options"),
    [
        ("verify", "verify", {"depth": "sample"}),
        ("verify-full", "verify", {"depth": "full"}),
        ("repair", "repair", {}),
        ("accept-deletions", "repair", {"accept_deletions": True}),
    ],
)
def test_a_button_requests_a_run(admin_client, mirror, what, kind, options):
    in_sync(mirror)

    response = admin_client.post(page(mirror, f"request/{what}/"))

    assert response.url == page(mirror, "change/")
    run = MirrorRun.objects.get(state="waiting")
    assert (run.kind, run.options, run.requested_by) == (kind, options, "admin")
    assert OperatorAction.objects.first().action == "request_run"


def test_deletions_that_a_verification_refused_can_be_accepted(admin_client, mirror):
    in_sync(mirror)
    differ(mirror, field="IsDeleted", here=False, there=True, reason="hard_deleted")
    now = timezone.now()
    ended = {"kind": "verify", "state": "done", "created_at": now, "finished_at": now}
    mirror.runs.create(**ended, report={"refused_deletions": 1})
    mirror.runs.create(kind="sweep", state="done", created_at=now, finished_at=now)

    text = text_of(admin_client.get(page(mirror, "change/")))

    assert "Repair, and accept deletions" in text
    assert "1 record is not in Salesforce" in text
    mirror.runs.create(**ended)
    text = text_of(admin_client.get(page(mirror, "change/")))
    assert "Repair, and accept deletions" not in text


def test_a_request_that_a_waiting_run_does_too_says_so(admin_client, mirror):
    in_sync(mirror)
    admin_client.post(page(mirror, "request/verify-full/"))

    response = admin_client.post(page(mirror, "request/verify/"), follow=True)

    assert "It does what you requested too" in text_of(response)
    assert MirrorRun.objects.get(state="waiting").options == {"depth": "full"}


def test_an_unknown_button_is_no_page(admin_client, mirror):
    assert admin_client.post(page(mirror, "request/explode/")).status_code == 404


def test_a_load_is_confirmed_and_a_run_is_cancelled(admin_client, mirror):
    in_sync(mirror)
    assert "The table stays usable" in text_of(admin_client.get(page(mirror, "load/")))
    assert not MirrorRun.objects.filter(state="waiting").exists()

    admin_client.post(page(mirror, "load/"))
    run = MirrorRun.objects.get(state="waiting")
    admin_client.post(page(mirror, f"runs/{run.pk}/cancel/"), {"reason": "later"})

    run.refresh_from_db()
    assert run.state == "cancelled"
    assert OperatorAction.objects.first().reason == "later"


def test_a_mirror_is_added_once_the_org_knows_its_object(admin_client, org_listener, broker):
    form = {"model": "crm.Account", "listener": org_listener.pk, "database": "default"}
    form |= {"deletes": "soft", "verify": "daily"}

    lines = checked(admin_client, form)
    assert lines[-1] == {"end": True, "works": True}, lines
    assert any(line.get("text", "").startswith("records: ") for line in lines)

    response = admin_client.post(f"{MIRRORS}add/", form)

    mirror = Mirror.objects.get()
    assert response.url == page(mirror, "change/")
    assert mirror.salesforce_object == "Account"
    assert OperatorAction.objects.filter(action="add", object_type="mirror").count() == 1


def checked(admin_client, form) -> list[dict[str, str]]:
    findings = admin_client.post(f"{MIRRORS}check/", form)
    return [json.loads(line) for line in b"".join(findings.streaming_content).splitlines()]


def test_records_that_salesforce_does_not_count_in_time_are_no_reason_against_a_mirror(
    admin_client, org_listener, broker, monkeypatch
):
    form = {"model": "crm.Account", "listener": org_listener.pk, "database": "default"}
    form |= {"deletes": "soft", "verify": "daily"}

    def silent(*_, **__):
        raise TransportFailed("the org sent nothing for 10 s", is_silence=True)

    monkeypatch.setattr(RestClient, "query", silent)

    lines = checked(admin_client, form)

    assert lines[-1] == {"end": True, "works": True}, lines
    assert lines[-2]["text"] == "records: an unknown number to load"


def test_an_org_that_does_not_answer_is_said_at_the_listener(admin_client, transactional_db):
    listener = make_listener()
    form = {"model": "crm.Account", "listener": listener.pk, "database": "default"}

    text = text_of(
        admin_client.post(f"{MIRRORS}add/", form | {"deletes": "soft", "verify": "daily"})
    )

    assert "manage.py check_cdc_connection" in text
    assert not Mirror.objects.exists()


def test_deletes_and_verify_can_be_changed(admin_client, mirror):
    admin_client.post(page(mirror, "change/"), {"deletes": "hard", "verify": "hourly"})

    mirror.refresh_from_db()
    assert (mirror.deletes, mirror.verify, mirror.model) == ("hard", "hourly", "crm.Account")


def test_a_mirror_is_removed_and_its_table_stays(admin_client, mirror):
    assert "rows stay" in text_of(admin_client.get(page(mirror, "delete/")))

    admin_client.post(page(mirror, "delete/"), {"post": "yes"})

    assert not Mirror.objects.exists()
    assert not HandlerMapping.objects.exists()
    assert OperatorAction.objects.filter(action="delete", object_type="mirror").count() == 1


def test_a_mirror_that_handlers_follow_is_not_removed(admin_client, mirror):
    make_mapping(mirror.listener, "update", entity="Account", after="mirror")

    assert "Handlers run after this mirror" in text_of(admin_client.get(page(mirror, "delete/")))
    admin_client.post(page(mirror, "delete/"), {"post": "yes"})

    assert Mirror.objects.exists()


def test_a_mapping_of_a_mirror_is_read_only_and_links_to_it(admin_client, mirror):
    mapping = HandlerMapping.objects.filter(managed=True).first()
    address = f"/admin/handlers/handlermapping/{mapping.pk}/"

    text = text_of(admin_client.get(f"{address}change/"))

    assert "This mapping belongs to the mirror" in text
    assert page(mirror, "change/") in text
    assert admin_client.post(f"{address}change/", {"queue": "x"}).status_code == 403
    assert admin_client.post(f"{address}delete/", {"post": "yes"}).status_code == 403


def test_the_listener_shows_which_mirror_gets_its_changes(admin_client, mirror):
    text = text_of(admin_client.get(f"/admin/listeners/listener/{mirror.listener.pk}/change/"))

    assert "Keeps the mirror crm.Account" in text


def test_home_names_a_mirror_that_needs_attention(admin_client, mirror):
    in_sync(mirror)
    differ(mirror)

    text = text_of(admin_client.get("/admin/"))

    assert "mirror crm.Account: 1 unexplained difference from Salesforce" in text


def test_a_viewer_sees_and_does_nothing(as_a, mirror):
    client = as_a("CDC Viewer")

    assert "Load again" not in text_of(client.get(page(mirror, "change/")))
    assert client.post(page(mirror, "request/verify/")).status_code == 403
    assert client.post(page(mirror, "delete/"), {"post": "yes"}).status_code == 403


def test_a_run_has_a_page_with_its_report(admin_client, mirror):
    run = in_sync(mirror).runs.get()
    run.report = {"rows_in_salesforce": 60_000, "read_by": "Bulk API"}
    run.done = 60_000
    run.save()

    text = text_of(admin_client.get(f"/admin/mirror/mirrorrun/{run.pk}/change/"))

    assert "Records in Salesforce" in text
    assert "60,000" in text
    assert "read by Bulk API" in text
    assert "crm.Account" in text_of(admin_client.get("/admin/mirror/mirrorrun/"))
