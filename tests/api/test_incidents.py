from django.utils import timezone

from audit.models import Incident
from audit.queries import Trouble
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


def test_nothing_can_be_changed(api, listener):
    page = f"{INCIDENTS}{report(listener, 'gap').pk}/"

    for method in (api.put, api.patch, api.delete):
        problem(method(page, {}), 405)
