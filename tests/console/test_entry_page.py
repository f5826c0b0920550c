"""An entry's page shows its fields, header, deliveries and attempts, all of them escaped."""

from datetime import timedelta

import pytest

from console.admin.audit_log import entry as audit_log_entry
from console.admin.audit_log.entry import raw_event
from console.admin.audit_log.field_rows import field_rows
from handlers.models import DeliveryAttempt
from tests.console.conftest import NOW


@pytest.fixture
def page(admin_client):
    def html(entry) -> str:
        return admin_client.get(f"/admin/audit/auditlogentry/{entry.pk}/change/").content.decode()

    return html


def test_each_field_stands_with_its_json_type(make_entry):
    entry = make_entry(
        changed_data={
            "Name": {"FirstName": "Jonas", "Salutation": None},
            "Amount": 12.5,
            "IsWon": False,
            "Count": 0,
            "Notes": "",
            "Tags": ["a", "b"],
        }
    )
    assert [(row.name, row.value, row.kind) for row in field_rows(entry)] == [
        ("Name.FirstName", "Jonas", "string"),
        ("Name.Salutation", "null (cleared)", "null"),
        ("Amount", "12.5", "number"),
        ("IsWon", "false", "boolean"),
        ("Count", "0", "number"),
        ("Notes", "(empty)", "string"),
        ("Tags", '[\n  "a",\n  "b"\n]', "array"),
    ]


def test_a_field_that_was_named_and_not_sent_is_not_left_out(make_entry):
    entry = make_entry(
        changed_fields=["Name", "Secret__c"], changed_data={"Name": {"LastName": "Keller"}}
    )
    assert [row.name for row in field_rows(entry)] == ["Name.LastName", "Secret__c"]


def test_a_text_that_was_sent_as_a_diff_says_so(make_entry):
    entry = make_entry(diff_fields=["Description"], changed_data={"Description": "@@ -1 +1 @@"})
    assert [row.note for row in field_rows(entry)] == ["sent as a unified diff"]


def test_the_header_distinguishes_empty_lists_from_missing_ones(page, make_entry):
    html = page(make_entry(changed_fields=["Phone"], nulled_fields=[], diff_fields=None))
    assert "not sent" in html
    assert "none" in html
    assert "transaction-" in html


def test_values_from_outside_are_escaped(page, make_entry):
    html = page(
        make_entry(
            entity_name="<script>alert(1)</script>",
            record_id="<script>alert(2)</script>",
            change_origin="<script>alert(3)</script>",
            changed_data={"<script>alert(4)</script>": "<script>alert(5)</script>"},
        )
    )
    assert "<script>alert(" not in html
    for number in range(1, 6):
        assert f"&lt;script&gt;alert({number})&lt;/script&gt;" in html


def test_deliveries_stand_with_their_attempts_and_tracebacks(page, make_entry, make_delivery):
    entry = make_entry()
    delivery = make_delivery(entry, state="dead", attempts=2, error="ValueError: <odd>")
    for number in (1, 2):
        DeliveryAttempt.objects.create(
            delivery=delivery,
            number=number,
            outcome="failed",
            started_at=NOW,
            finished_at=NOW,
            worker="celery@worker-1",
            error="ValueError: <odd>",
            traceback=f"Traceback, number {number}\n<script>alert(1)</script>",
        )
    html = page(entry)
    assert "Dead" in html
    assert "2 attempts" in html
    assert "celery@worker-1" in html
    assert "Traceback, number 1\n&lt;script&gt;" in html
    assert "Traceback, number 2" in html
    assert "ValueError: &lt;odd&gt;" in html
    assert "<script>alert(" not in html


def test_a_first_attempt_that_succeeded_stands_there_too(page, make_entry, make_delivery):
    entry = make_entry()
    finished_at = NOW + timedelta(seconds=1.25)
    times = {"started_at": NOW, "finished_at": finished_at}
    make_delivery(entry, state="succeeded", attempts=1, worker="worker-7", **times)

    html = page(entry)

    assert "Attempt 1" in html
    assert f"{NOW:%Y-%m-%d %H:%M:%S}, 1.250 s, worker-7" in html


def test_a_delivery_that_waits_for_its_handler_says_so(page, make_entry, make_delivery):
    entry = make_entry()
    make_delivery(entry, state="queued", handler="gone.handler")
    assert "No handler is registered under the name" in page(entry)


def test_an_entry_that_went_to_no_handler_says_so(page, make_entry):
    assert "Recorded only" in page(make_entry())


def test_a_delivery_has_a_page_of_its_own(admin_client, make_delivery):
    delivery = make_delivery(state="skipped", error="nothing to do")
    html = admin_client.get(f"/admin/handlers/delivery/{delivery.pk}/change/").content.decode()
    assert "nothing to do" in html
    assert f"/admin/audit/auditlogentry/{delivery.entry_id}/change/" in html


def test_before_and_after_stand_side_by_side(page, make_entry):
    told = make_entry(record_id="0015g00000EqG9GAAV", changed_data={"Phone": "+49 30 1"})
    html = page(make_entry(record_id="0015g00000EqG9GAAV", changed_data={"Phone": "+49 30 2"}))
    assert html.index("+49 30 1") < html.index("+49 30 2")
    assert f"/admin/audit/auditlogentry/{told.pk}/change/" in html


def test_the_others_of_a_transaction_are_linked_and_not_all_of_a_big_one(
    page, make_entry, monkeypatch
):
    monkeypatch.setattr(audit_log_entry, "SIBLINGS", 2)
    made = [make_entry(transaction_key="one", sequence_number=number) for number in range(4)]
    make_entry()
    html = page(made[3])
    links = [f"/{one.pk}/change/" in html for one in made]
    assert links[:3] == [True, True, False]
    assert "?q=tx:one" in html


def test_the_raw_event_is_in_the_form_in_which_it_came(make_entry):
    fields = {"transaction_key": "one", "record_count": 2, "commit_number": None}
    entries = [make_entry(record_id=f"00{n}", replay_id="7", **fields) for n in (1, 2)]
    assert raw_event(entries[1]) == {
        "channel": "/data/ChangeEvents",
        "data": {
            "payload": {
                "Phone": "+49 30 1234567",
                "ChangeEventHeader": {
                    "recordIds": ["001", "002"],
                    "entityName": "Account",
                    "changeType": "UPDATE",
                    "transactionKey": "one",
                    "sequenceNumber": 1,
                    "commitTimestamp": 1_764_000_000_000,
                },
            },
            "event": {"replayId": 7},
        },
    }


def test_more_deliveries_and_attempts_need_no_more_queries(
    page, make_entry, make_delivery, django_assert_max_num_queries
):
    entry = make_entry(transaction_key="one")
    for number in range(6):
        make_entry(transaction_key="one", sequence_number=2 + number)
        delivery = make_delivery(entry, state="dead", attempts=1)
        DeliveryAttempt.objects.create(
            delivery=delivery, number=1, outcome="failed", started_at=NOW, finished_at=NOW
        )
        chain = f"chain {number}"
        make_delivery(state="queued", chain=chain)
        make_delivery(entry, state="blocked", chain=chain)
    page(entry)  # reads what is cached
    with django_assert_max_num_queries(13):
        page(entry)
