from django.utils import timezone

from audit.models import Incident, Trouble
from tests.api.answers import errors, problem
from tests.api.requests import INCIDENTS
from tests.sample_data import make_listener


def report(listener, kind: str, key="") -> Incident:
    trouble = Trouble(kind, key, summary=f"{kind} happened", remedy="do this")
    return Incident.objects.report(listener.pk, trouble, timezone.now())


def kinds(api, **filters) -> list[str]:
    return [row["kind"] for row in api.get(INCIDENTS, filters).json()["results"]]


def test_an_incident_says_what_happened_and_what_to_do(api, listener):
    incident = report(listener, "gap", "Account")

    row = api.get(f"{INCIDENTS}{incident.pk}/").json()

    assert row["listener"] == listener.name
    assert (row["kind"], row["key"], row["count"]) == ("gap", "Account", 1)
    assert (row["summary"], row["remedy"]) == ("gap happened", "do this")
    assert (row["open"], row["closed_at"]) == (True, None)


def test_filters_pick_together(api, listener):
    other = make_listener(name="other")
    report(listener, "gap")
    report(listener, "login")
    report(other, "gap")
    Incident.objects.close(listener.pk, "gap", timezone.now())

    assert kinds(api) == ["gap", "login", "gap"]
    assert kinds(api, open="true") == ["gap", "login"]
    assert kinds(api, open="false") == ["gap"]
    assert kinds(api, kind="login") == ["login"]
    assert kinds(api, listener="other", open="true") == ["gap"]
    assert "kind" in errors(api.get(INCIDENTS, {"kind": "odd"}))


def test_an_incident_is_acknowledged_once_and_stays_open(api, listener):
    page = f"{INCIDENTS}{report(listener, 'gap').pk}/"

    row = api.post(f"{page}acknowledge/").json()

    assert (row["open"], row["acknowledged_by"]) == (True, Incident.objects.get().acknowledged_by)
    assert row["acknowledged_by"].startswith("user")
    assert "closed or acknowledged" in problem(api.post(f"{page}acknowledge/"), 409)["detail"]


def test_an_incident_is_closed_with_a_note_and_may_come_again(api, listener):
    page = f"{INCIDENTS}{report(listener, 'gap').pk}/"

    row = api.post(f"{page}close/", {"note": "read by hand"}, format="json").json()

    assert (row["open"], row["note"]) == (False, "read by hand")
    assert row["closed_by"].startswith("user")
    problem(api.post(f"{page}close/", {"note": "again"}, format="json"), 409)
    assert report(listener, "gap").pk != row["id"]


def test_to_close_takes_the_permission_to_change(client_of, listener):
    incident = report(listener, "gap")
    page = f"{INCIDENTS}{incident.pk}/"

    for verb in ("close", "acknowledge"):
        problem(client_of("view_incident").post(f"{page}{verb}/"), 403)
    incident.refresh_from_db()
    assert incident.is_open
    assert client_of("change_incident").post(f"{page}close/").status_code == 200


def test_a_note_that_is_wrong_closes_nothing(api, listener):
    page = f"{INCIDENTS}{report(listener, 'gap').pk}/close/"

    assert "note" in errors(api.post(page, {"note": "x" * 1001}, format="json"))
    assert "reason" in errors(api.post(page, {"reason": "x"}, format="json"))
    assert Incident.objects.get().is_open


def test_nothing_can_be_changed(api, listener):
    page = f"{INCIDENTS}{report(listener, 'gap').pk}/"

    for method in (api.put, api.patch, api.delete):
        problem(method(page, {}), 405)
