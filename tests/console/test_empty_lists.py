"""An empty list says what it would show, or why nothing is shown."""

import pytest

from console.admin import keyset_list
from console.admin.audit_log.page import AuditLogAdmin

LOG = "/admin/audit/auditlogentry/"
ACTIONS = "/admin/audit/operatoraction/"


def shown(admin_client, url: str) -> str:
    return admin_client.get(url).content.decode()


@pytest.mark.parametrize(("url", "title"), [(LOG, "No changes"), (ACTIONS, "No actions yet")])
def test_a_list_without_rows_says_what_belongs_there(admin_client, url, title):
    assert title in shown(admin_client, url)


@pytest.mark.parametrize(
    "url",
    [
        f"{LOG}?q=Acme",
        f"{LOG}?state=dead",
        f"{LOG}?before=1",
        f"{ACTIONS}?object_type=delivery&object_id=1",
    ],
    ids=["search", "filter", "past the oldest", "history of one object"],
)
def test_a_selection_without_rows_does_not_claim_that_there_are_none(admin_client, url):
    page = shown(admin_client, url)

    assert "No results" in page
    assert "Reset filters" in page
    assert " yet</h2>" not in page


def test_a_cancelled_search_does_not_claim_that_nothing_matches(admin_client, monkeypatch):
    def give_up(*_):
        raise keyset_list.TookTooLong

    monkeypatch.setattr(keyset_list.KeysetChangeList, "page_query", give_up)

    page = shown(admin_client, LOG)

    assert "Search cancelled" in page
    assert "No results" not in page
    assert AuditLogAdmin.empty_title not in page
