"""A mapping's page previews which of the last changes its form would match."""

import json

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group, Permission

from audit.models import AuditLogEntry
from console.designer.preview import LOOKED_AT
from handlers.models import HandlerMapping
from handlers.routing.router import miss, route
from listeners.models import Listener
from tests.console.conftest import NOW
from tests.sample_data import make_listener, make_mapping

pytestmark = [pytest.mark.slow, pytest.mark.django_db]

NEW = "/admin/handlers/handlermapping/add/preview/"


@pytest.fixture
def tried(admin_client, listener):
    """Posts a new mapping's form to the preview, and returns the page."""

    def post(client=admin_client, url=NEW, **fields) -> str:
        values = {
            "listener": listener.pk,
            "on": "update",
            "entity": "*",
            "handler": "tests.remember",
            "ordering": "per_record",
            "on_dead": "continue",
            "options": "{}",
            **fields,
        }
        response = client.post(url, values)
        assert response.status_code == 200
        return " ".join(response.content.decode().split())

    return post


def page_of(mapping: HandlerMapping) -> str:
    return f"/admin/handlers/handlermapping/{mapping.pk}/preview/"


def test_it_counts_and_lists_what_the_form_would_match(tried, make_entry):
    phone = make_entry(changed_fields=["Phone"])
    make_entry(changed_fields=["Name"])
    make_entry(change_type="CREATE")
    make_entry(entity_name="Contact", changed_fields=["Phone"])
    html = tried(entity="Account", changed_fields="Phone")
    assert "Of the 4 recorded changes, 1 would match." in html
    matching, _, others = html.partition("<details")
    assert phone.record_id in matching
    assert matching.count("<li") == 1
    for why in (
        "1 would not match: none of the watched fields changed",
        "1 would not match: another kind of change",
        "1 would not match: another entity",
    ):
        assert why in others


def test_nothing_of_it_is_saved(tried, listener, make_entry):
    mapping = make_mapping(listener, "update", entity="Account")
    make_entry(entity_name="Lead")
    assert "1 would match" in tried(url=page_of(mapping), entity="Lead")
    mapping.refresh_from_db()
    assert mapping.entity == "Account"
    tried(entity="Lead")
    assert HandlerMapping.objects.count() == 1


def test_without_a_handler_it_says_what_would_be_recorded_only(tried, make_entry):
    make_entry()
    assert "Of 1 recorded change, 1 would be recorded only." in tried(handler="")


def test_own_writes_are_left_out_with_their_reason(tried, make_entry):
    make_entry(change_origin="com/salesforce/api/rest/67.0;client=erp")
    html = tried(ignore_origins="erp")
    assert "0 would match" in html
    assert "written by client erp, which this mapping leaves out" in html


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        ("fetch", "Of 1 recorded change, 0 would match, 1 might."),
        ("deliver", "Of 1 recorded change, 1 would match."),
        ("record", "Of 1 recorded change, 0 would match."),
    ],
)
def test_a_gap_event_is_judged_by_what_the_listener_does_with_it(
    tried, listener, make_entry, policy, said
):
    Listener.objects.filter(pk=listener.pk).update(gap_policy=policy)
    make_entry(change_type="GAP_UPDATE", changed_data={})
    assert said in tried(changed_fields="Phone")


def test_wrong_input_is_answered_as_saving_would(tried):
    html = tried(condition='{"equals": 1}', on="create", changed_fields="Phone")
    assert "condition: &quot;equals&quot; needs &quot;field&quot;." in html
    assert "Only updates have changed fields; leave this empty." in html
    assert 'href="#id_condition"' in html


def test_a_new_form_asks_for_a_listener_without_an_error(admin_client, db):
    page = admin_client.post("/admin/handlers/handlermapping/add/preview/", {"entity": "*"})
    html = page.content.decode()
    assert "Fill in Listener, On, " in html
    assert "to see which recent changes would match." in html
    assert "<li" not in html


def test_the_last_changes_of_its_listener_alone_are_looked_at(
    tried, listener, django_assert_max_num_queries
):
    elsewhere = make_listener()
    rows = [
        AuditLogEntry(
            listener=elsewhere if number % 7 == 0 else listener,
            entity_name="Account",
            record_id=f"{number:018}",
            change_type="UPDATE",
            transaction_key=str(number),
            sequence_number=1,
            commit_timestamp=number,
            received_at=NOW,
        )
        for number in range(700)
    ]
    AuditLogEntry.objects.bulk_create(rows)
    with django_assert_max_num_queries(12):
        html = tried()
    assert f"Of the last {LOOKED_AT} recorded changes, {LOOKED_AT} would match." in html
    assert "and 450 older" in html
    assert f"{699:018}" in html or f"{698:018}" in html


def test_a_save_that_came_as_several_events_is_judged_as_a_whole(tried, make_entry):
    save = {"record_id": "0015g00000EqG9GAAV", "transaction_key": "t-1"}
    make_entry(**save, sequence_number=1, changed_data={"StageName": "Won"})
    make_entry(**save, sequence_number=2, changed_data={"Type": "New"})
    make_entry(changed_data={"Type": "New"})
    parts = [{"field": "StageName", "equals": "Won"}, {"field": "Type", "equals": "New"}]

    assert "Of the 3 recorded changes, 2 would match." in tried(
        condition=json.dumps({"all": parts})
    )


def test_the_oldest_save_is_judged_with_what_came_before_those_that_are_looked_at(
    tried, make_entry, monkeypatch
):
    monkeypatch.setattr("console.designer.preview.LOOKED_AT", 1)
    save = {"record_id": "0015g00000EqG9GAAV", "transaction_key": "t-1"}
    make_entry(**save, sequence_number=1, changed_data={"StageName": "Won"})
    make_entry(**save, sequence_number=2, changed_data={"Type": "New"})

    html = tried(condition=json.dumps({"field": "StageName", "equals": "Won"}))

    assert "Of 1 recorded change, 1 would match." in html


def test_a_condition_reveals_nothing_of_a_masked_value(client, tried, listener, make_entry):
    """Otherwise a user could find the value by trying conditions."""
    listener.sensitive_fields = ["SSN__c", "*.Name.LastName"]
    listener.save()
    make_entry(changed_data={"SSN__c": "219-09-9999", "Name": {"LastName": "Keller"}})
    make_entry(changed_data={"SSN__c": "1"}, entity_name="Lead")
    assert "you may not see" not in tried()
    administrator = _user(client, "CDC Administrator")
    for field, value in (("SSN__c", "219-09-9999"), ("SSN__c", "no"), ("Name.LastName", "Keller")):
        leaf = {"field": field, "equals": value}
        for condition in (leaf, {"any": [{"all": [leaf]}]}):
            html = tried(administrator, condition=json.dumps(condition))
            assert "0 would match, 2 might." in html
            assert "2 might match: the condition uses a value that you may not see" in html


def test_a_condition_on_another_field_is_evaluated(client, tried, listener, make_entry):
    listener.sensitive_fields = ["SSN__c"]
    listener.save()
    make_entry(changed_data={"SSN__c": "219-09-9999", "City": "Berlin"})
    condition = json.dumps({"field": "City", "equals": "Berlin"})

    assert "1 would match" in tried(_user(client, "CDC Administrator"), condition=condition)


def test_a_user_who_sees_the_values_may_use_them_in_a_condition(tried, listener, make_entry):
    listener.sensitive_fields = ["SSN__c"]
    listener.save()
    make_entry(changed_data={"SSN__c": "219-09-9999"})
    condition = json.dumps({"field": "SSN__c", "equals": "219-09-9999"})
    assert "1 would match" in tried(condition=condition)


def test_a_viewer_tries_the_mapping_as_it_is(client, tried, listener, make_entry):
    make_entry(entity_name="Lead")
    mapping = make_mapping(listener, "update", entity="Account")
    viewer = _user(client, "CDC Viewer")
    html = tried(viewer, page_of(mapping), entity="Lead")
    assert "0 would match" in html
    assert viewer.post(NEW, {}).status_code == 403


def test_a_user_who_may_not_view_the_audit_log_gets_no_preview(client, listener, django_user_model):
    user = django_user_model.objects.create_user("mia", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(content_type__model="handlermapping"))
    client.force_login(user)
    mapping = make_mapping(listener)
    assert client.post(page_of(mapping)).status_code == 403
    page = client.get(f"/admin/handlers/handlermapping/{mapping.pk}/change/").content.decode()
    assert "data-preview" not in page


def test_it_is_asked_for_by_post_alone(admin_client, listener):
    assert admin_client.get(NEW).status_code == 405
    assert admin_client.post(page_of(HandlerMapping(pk=99)), {}).status_code == 404


def test_what_keeps_a_change_away_is_what_routing_says(listener):
    """The preview's reasons always agree with the routing of changes."""
    kinds = ("CREATE", "UPDATE", "DELETE", "UNDELETE", "GAP_UPDATE", "GAP_OVERFLOW", "NEW_ONE")
    conditions = ({}, {"field": "Phone", "equals": "1"}, {"field": "Phone", "changed_to": "2"})
    seen = set()
    for kind in kinds:
        for record in ("001", "001*"):
            for changed in (None, ["Phone"], ["Name"]):
                entry = AuditLogEntry(
                    entity_name="Account",
                    record_id=record,
                    change_type=kind,
                    changed_fields=changed,
                    changed_data={"Phone": "1"},
                )
                for on in ("create", "update", "restore"):
                    for entity in ("*", "Account", "Lead"):
                        for condition in conditions:
                            mapping = HandlerMapping(
                                listener=listener,
                                on=on,
                                entity=entity,
                                handler="h",
                                condition=condition,
                                changed_fields=["Phone"] if on == "update" else [],
                            )
                            found = miss(entry, mapping)
                            assert (found is None) == bool(route(entry, [mapping]))
                            seen.add(found)
    assert len(seen) == 6


def _user(client, role: str):
    user = get_user_model().objects.create_user(role, is_staff=True)
    user.groups.add(Group.objects.get(name=role))
    client.force_login(user)
    return client
