"""A record is found by its id; its page shows all that happened to it, with values before and
after."""

import re

import pytest
from playwright.sync_api import expect

from consumer.ingest.transaction import ingest
from tests.sample_data import change, lease_of, make_mapping, received

pytestmark = pytest.mark.anywhere

RECORD = "0015g00000EqG9GAAV"


def test_a_record_is_found_with_what_changed_and_all_that_happened_to_it(visitor, listener):
    lease, mapping = lease_of(listener), make_mapping(listener, "update")
    created = change("CREATE", [RECORD], data={"Name": "Acme", "Phone": "+49 30 1234567"})
    moved = change("UPDATE", [RECORD], data={"Phone": "+49 30 7654321"}, changedFields=["Phone"])
    ingest(listener, lease, received(created, change(), moved), [mapping])

    visitor.log_in("CDC Viewer")
    page = visitor.page
    visitor.go_to("Audit log")
    visitor.look("3 shown")
    page.get_by_role("search").get_by_role("textbox").fill(RECORD[:15])
    page.keyboard.press("Enter")
    visitor.look("2 shown", f"History of {RECORD[:15]}")
    page.get_by_role("row").filter(has_text="UPDATE").get_by_role("link").first.click()
    visitor.look("Changed fields")
    phone = page.get_by_role("row").filter(has=page.get_by_role("rowheader", name="Phone"))
    expect(phone.get_by_role("cell")).to_have_text(
        [re.compile(r"^\+49 30 1234567 \d+$"), "+49 30 7654321", "string"]
    )
    page.get_by_role("link", name="History of this record").click()
    visitor.look("changes of all listeners")
    expect(page.get_by_role("listitem").filter(has_text="received by")).to_contain_text(
        [re.compile("UPDATE.*7654321.*tests.remember", re.S), re.compile("CREATE.*Acme", re.S)]
    )
