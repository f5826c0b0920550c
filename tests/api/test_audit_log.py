import json
from datetime import timedelta

import pytest
from django.utils import timezone

from api.protocol.rendering import Renderer
from audit.models import AuditLogEntry
from handlers.models import Delivery
from handlers.reporting.export import COLUMNS
from tests.api.answers import errors, problem
from tests.api.requests import AUDIT_LOG
from tests.commands.running import record, run
from tests.sample_data import change, make_listener, make_mapping


def records(api, **filters) -> list[str]:
    return [row["record_id"] for row in api.get(AUDIT_LOG, filters).json()["results"]]


def test_an_entry_is_what_the_export_says(api, listener):
    make_mapping(listener)
    make_mapping(listener, handler="tests.skip")
    record(
        listener,
        change(data={"Name": "Zoë 雪", "Amount": 1.5, "Phone": None}, replay=77),
        change("DELETE", records=["001a", "001b"], changedFields=[]),
    )
    Delivery.objects.filter(handler="tests.skip").update(error="why", started_at=timezone.now())

    found = api.get(AUDIT_LOG).json()["results"]

    exported = [json.loads(line) for line in run("export_audit_log").lines]
    assert len(exported) == 3
    assert found == exported[::-1]
    assert tuple(found[0]) == COLUMNS
    assert api.get(f"{AUDIT_LOG}{exported[0]['id']}/").json() == exported[0]


def test_half_a_surrogate_pair_is_written_as_its_escape():
    """SQLite keeps it, PostgreSQL refuses it."""
    data = {"Name": "half \ud83d"}

    assert json.loads(Renderer().render(data)) == data
    assert "雪".encode() in Renderer().render({"Name": "雪"})


def test_filters_pick_together(api, listener):
    other = make_listener(name="other")
    record(listener, change(records=["001a"]), change("UPDATE", records=["001b"]))
    record(other, change(records=["003a"], entity="Contact"))

    assert records(api, listener="other") == ["003a"]
    assert records(api, entity="Account") == ["001b", "001a"]
    assert records(api, record_id="001b") == ["001b"]
    assert records(api, change_type="UPDATE") == ["001b"]
    assert records(api, entity="Contact", change_type="UPDATE") == []
    assert records(api, listener="nobody") == []


def test_times_bound_the_receipt(api, listener):
    record(listener, change(records=["001a"]), change(records=["001b"]))
    old = AuditLogEntry.objects.filter(record_id="001a")
    old.update(received_at=timezone.now() - timedelta(days=400))
    year_ago = timezone.now() - timedelta(days=365)

    for moment in (f"{year_ago:%Y-%m-%d}", f"{year_ago:%Y-%m-%dT%H:%M:%SZ}", year_ago.isoformat()):
        assert records(api, since=moment) == ["001b"]
        assert records(api, until=moment) == ["001a"]
    assert errors(api.get(AUDIT_LOG, {"since": "soon"})) == {"since": ["Enter a valid date/time."]}
    assert "entity" in errors(api.get(AUDIT_LOG, {"entity": "a\0"}))


def test_pages_are_the_newest_first_and_hold_each_entry_once(api, listener):
    record(listener, *(change(records=[f"001-{number}"]) for number in range(5)))

    first = api.get(AUDIT_LOG, {"page_size": 2}).json()
    record(listener, change(records=["001-later"]))
    second = api.get(first["next"]).json()
    third = api.get(second["next"]).json()

    pages = [[row["record_id"] for row in page["results"]] for page in (first, second, third)]
    assert pages == [["001-4", "001-3"], ["001-2", "001-1"], ["001-0"]]
    assert (first["previous"], third["next"]) == (None, None)
    assert api.get(third["previous"]).json()["results"] == second["results"]


@pytest.mark.parametrize("cursor", ["nonsense", "cD1hYmM=", "cD05OTk5OTk5OTk5OTk5OTk5OTk5OTk5"])
def test_a_made_up_cursor_is_no_server_error(api, listener, cursor):
    response = api.get(AUDIT_LOG, {"cursor": cursor})

    if response.status_code != 200:
        assert problem(response, 404)["detail"] == "Invalid cursor"


@pytest.mark.parametrize("count", [2, 20])
def test_a_page_takes_the_same_few_queries_for_any_size(
    api, listener, count, django_assert_num_queries
):
    make_mapping(listener)
    record(listener, *(change(records=[f"001-{number}"]) for number in range(count)))
    newest = AuditLogEntry.objects.first()

    with django_assert_num_queries(3):  # the token with its user, entries, deliveries
        assert len(api.get(AUDIT_LOG).json()["results"]) == count
    with django_assert_num_queries(3):
        api.get(f"{AUDIT_LOG}{newest.pk}/")


def test_nothing_can_be_changed(api, listener):
    record(listener, change())
    page = f"{AUDIT_LOG}{AuditLogEntry.objects.get().pk}/"

    for method in (api.put, api.patch, api.delete):
        problem(method(page, {}), 405)
    problem(api.post(AUDIT_LOG, {}), 405)


def test_what_is_not_there_is_not_found(api):
    for key in ("1", "0", "-1", "x", "9" * 40):
        problem(api.get(f"{AUDIT_LOG}{key}/"), 404)
