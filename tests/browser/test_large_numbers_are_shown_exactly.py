"""Numbers larger than JavaScript's safe integers, such as commit numbers, are shown exactly."""

import pytest
from playwright.sync_api import expect

from consumer.ingest.transaction import ingest
from tests.sample_data import change, lease_of, received

pytestmark = pytest.mark.anywhere

COMMIT_NUMBER = 1_716_381_784_922_292_225


def test_the_apis_documentation_shows_them_as_they_were_answered(visitor, listener):
    record(listener)
    visitor.log_in("CDC Administrator")

    visitor.page.goto("/api/docs/")
    operation = visitor.page.locator("#operations-audit-log-audit_log_list")
    operation.locator(".opblock-summary-control").click()
    operation.get_by_role("button", name="Try it out").click()
    operation.get_by_role("button", name="Execute").click()

    answer = operation.locator(".live-responses-table")
    expect(answer).to_contain_text(f'"commit_number": {COMMIT_NUMBER}')
    expect(answer).to_contain_text(f'"Total__c": {COMMIT_NUMBER}')


def test_the_console_shows_them_as_they_came(visitor, listener):
    record(listener)
    visitor.log_in("CDC Administrator")

    visitor.go_to("Audit log")
    visitor.page.get_by_role("row").filter(has_text="CREATE").get_by_role("link").first.click()

    visitor.look(str(COMMIT_NUMBER))


def record(listener):
    message = change("CREATE", data={"Total__c": COMMIT_NUMBER}, commitNumber=COMMIT_NUMBER)
    ingest(listener, lease_of(listener), received(message), [])
