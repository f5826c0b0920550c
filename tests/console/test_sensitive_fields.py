"""Values of sensitive fields are masked on every page and in every file, unless a permission says
otherwise."""

import json

import pytest
from django.contrib.auth.models import Group, Permission
from django.db import connection
from django.test.utils import CaptureQueriesContext

from audit.log.masking import MASKED, Sight
from audit.models import Quarantined
from handlers.models import DeliveryAttempt
from handlers.sdk.outcomes import storable
from listeners.field_masking import fields_of, flaws, masked, redacted
from tests.console.conftest import NOW
from tests.sample_data import make_mapping

pytestmark = pytest.mark.slow

SECRET = "078-05-1120"
DATA = {
    "SSN__c": SECRET,
    "Name": {"FirstName": "Jonas", "LastName": "Keller"},
    "MailingAddress": {"City": "Berlin", "Geo": {"Lat": 52.5}},
    "Phone": None,
    "Tags": ["a", "b"],
}


def mask(*patterns: str, entity="Contact", data=DATA):
    return masked(data, fields_of(patterns, entity), "***")


@pytest.mark.parametrize("pattern", ["SSN__c", "ssn__C", "*.SSN__c", "Contact.SSN__c", "con*.SSN*"])
def test_a_field_is_meant_by_its_name_in_any_case(pattern):
    assert mask(pattern) == {**DATA, "SSN__c": "***"}


@pytest.mark.parametrize("pattern", ["Account.SSN__c", "SSN", "Contact.Name.SSN__c", "SN__c"])
def test_other_fields_and_entities_are_not_meant(pattern):
    assert mask(pattern) == DATA


def test_what_is_below_a_field_is_meant_too_and_keeps_its_names():
    assert mask("MailingAddress")["MailingAddress"] == {"City": "***", "Geo": {"Lat": "***"}}
    assert mask("*.Name.LastName")["Name"] == {"FirstName": "Jonas", "LastName": "***"}
    assert mask("Phone", "Tags") == {**DATA, "Phone": "***", "Tags": "***"}
    assert DATA["SSN__c"] == SECRET, "the change itself stays as it is"


def test_a_text_is_shown_without_the_values_in_any_written_form():
    data = {"A": 'say "hi"\n', "B": 42, "C": "x", "D": True, "E": ["Berlin"]}
    text = f"A {data['A']} {data!r} {json.dumps(data)} 42 142 x True"
    found = redacted(text, data, fields_of(("*",), "Account"), "***")
    assert "hi" not in found
    assert "Berlin" not in found
    assert found.endswith("*** 142 x True")
    assert redacted(text, data, fields_of(("Other",), "Account"), "***") == text


@pytest.mark.parametrize("value", ["a\tb", "Müller", "a\x1bb", 'it\'s "x"', "\\n", "plain"])
@pytest.mark.parametrize(
    "written", [repr, json.dumps, lambda value: json.dumps(value, ensure_ascii=False)]
)
def test_each_form_of_a_value_is_masked_whole(value, written):
    fields = fields_of(("A",), "Account")

    for form in (value, written(value)[1:-1]):
        assert redacted(f"<{form}>", {"A": value}, fields, "***") == "<***>"


def test_a_text_is_shown_without_the_rest_of_a_truncated_value():
    secret = ", ".join(f"Straße {number}" for number in range(2000))
    fields = fields_of(("*",), "Account")
    for form in (secret, repr(secret), json.dumps(secret), json.dumps(secret, ensure_ascii=False)):
        found = redacted(storable(f"ValueError: {form} is odd"), {"A": secret}, fields, "***")
        assert "Stra" not in found
        assert "1999" not in found
        assert found.endswith(" is odd")


def test_a_pattern_that_names_no_field_is_refused():
    assert flaws(["SSN__c", "*.Name.LastName", "Account.Billing*"]) == []
    for wrong in ("SSN__c", [""], ["a.b.c.d"], ["a b"], [7], ["a."], {"a": 1}):
        assert flaws(wrong)


@pytest.fixture
def marked(listener, make_entry, make_delivery):
    """A change of a listener with a sensitive field, and a delivery that failed with its value."""
    listener.sensitive_fields = ["SSN__c", "Contact.Name"]
    listener.save()
    earlier = make_entry(entity_name="Contact", changed_data=DATA)
    entry = make_entry(
        entity_name="Contact",
        record_id=earlier.record_id,
        transaction_key=earlier.transaction_key,
        sequence_number=2,
        changed_data={**DATA, "SSN__c": "219-09-9999"},
        changed_fields=["SSN__c", "Name.LastName"],
    )
    error = f"ValueError: no such person as 219-09-9999, {DATA['Name']}"
    mapping = make_mapping(listener, "update", entity="Contact")
    delivery = make_delivery(entry, state="dead", error=error, mapping=mapping)
    DeliveryAttempt.objects.create(
        delivery=delivery,
        number=1,
        outcome="failed",
        started_at=NOW,
        finished_at=NOW,
        error=error,
        traceback=f"Traceback\n{error}",
    )
    quarantined = Quarantined.objects.create(
        listener=listener, raw='{"SSN__c": "219-09-9999"', digest="0", error="odd", received_at=NOW
    )
    return entry, delivery, quarantined


def pages(entry, delivery, quarantined) -> tuple[str, ...]:
    log = "/admin/audit/auditlogentry/"
    return (
        log,
        f"{log}{entry.pk}/change/",
        f"{log}record/{entry.record_id}/",
        f"{log}export/csv/",
        f"{log}export/jsonl/",
        "/admin/handlers/delivery/",
        f"/admin/handlers/delivery/{delivery.pk}/change/",
        f"/admin/handlers/delivery/dead-letters/?state={delivery.state}",
        f"/admin/audit/quarantined/{quarantined.pk}/change/",
        "/admin/",
        f"/admin/listeners/listener/{entry.listener_id}/change/",
        f"/admin/listeners/listener/{entry.listener_id}/drawing/",
        f"/admin/handlers/handlermapping/{delivery.mapping_id}/change/",
        "/api/v1/audit-log/",
        f"/api/v1/audit-log/{entry.pk}/",
        "/api/v1/deliveries/",
        f"/api/v1/deliveries/{delivery.pk}/",
    )


@pytest.fixture
def told(client, marked, django_user_model):
    """Returns the text of each page for a user with this role and these further permissions."""

    def read(role: str, *more: str) -> dict[str, str]:
        user = django_user_model.objects.create_user(role, is_staff=True)
        user.groups.add(Group.objects.get(name=role))
        user.user_permissions.set(Permission.objects.filter(codename__in=more))
        client.force_login(user)
        found = {}
        for page in pages(*marked):
            response = client.get(page)
            assert response.status_code == 200, page
            body = response.getvalue() if response.streaming else response.content
            found[page] = body.decode()
        return found

    return read


@pytest.mark.parametrize("role", ["CDC Viewer", "CDC Administrator"])
def test_no_page_and_no_file_has_a_sensitive_value(told, role):
    for page, text in told(role).items():
        for value in (SECRET, "219-09-9999", "Keller"):
            assert value not in text, page


def test_other_values_are_shown_and_the_mask_marks_sensitive_ones(told):
    found = told("CDC Viewer")
    entry_page = found[next(page for page in found if page.endswith("/change/"))]
    assert "Berlin" in entry_page
    assert "•••" in entry_page
    assert "no such person as •••" in entry_page
    [row, _] = json.loads(found["/api/v1/audit-log/"])["results"]
    assert row["changed_data"]["Name"] == {"FirstName": "***", "LastName": "***"}
    assert row["changed_data"]["MailingAddress"]["City"] == "Berlin"


def test_the_permission_shows_the_values(told):
    found = told("CDC Viewer", "view_sensitive")
    for page, text in found.items():
        if page not in ("/admin/", "/admin/audit/auditlogentry/"):
            assert "219-09-9999" in text, page
            assert "•••" not in text, page


def test_masking_takes_no_query_for_each_row(told, client, marked, make_entry, make_delivery):
    def counted() -> list[int]:
        numbers = []
        for page in pages(*marked):
            with CaptureQueriesContext(connection) as queries:
                response = client.get(page)
                if response.streaming:
                    response.getvalue()
            numbers.append(len(queries))
        return numbers

    told("CDC Viewer")
    before = counted()
    entry = marked[0]
    for number in range(4):
        fields = {"entity_name": "Contact", "record_id": entry.record_id, "changed_data": DATA}
        more = make_entry(**fields, received_at=NOW, sequence_number=10 + number)
        mine = {"mapping": marked[1].mapping, "error": f"odd {SECRET}"}
        make_delivery(more, state="dead", **mine)
    assert counted() == before


@pytest.mark.parametrize(
    ("page", "field"),
    [
        ("audit/auditlogentry/", "changed_data"),
        ("audit/auditlogentry/export/csv/", "changed_data"),
        ("handlers/delivery/", "error"),
        ("handlers/delivery/", "entry__changed_data"),
        ("handlers/delivery/", "attempt_log__traceback"),
        ("audit/quarantined/", "raw"),
    ],
)
def test_no_address_of_a_list_asks_for_a_value(told, client, page, field):
    told("CDC Viewer")
    assert client.get(f"/admin/{page}?{field}__contains=219").status_code == 400


def test_values_are_masked_unless_the_reader_sees_all(marked):
    entry = marked[0]
    assert MASKED.data(entry)["SSN__c"] == "***"
    assert Sight(sees_all=True).data(entry) == entry.changed_data
