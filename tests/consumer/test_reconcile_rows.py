"""Rows of a query are read also from servers that omit fields or return more than was requested."""

import pytest

from consumer.reconciliation.salesforce_rows import Row, rows
from listeners.salesforce.errors import TransportFailed
from listeners.salesforce.rest.client import RestClient

AT_ONE = "1970-01-01T00:00:01.000+0000"
AT_TWO = "1970-01-01T00:00:02.000+0000"


class Org(RestClient):
    """Answers each query with one page."""

    def __init__(self, *page) -> None:
        self._answer = page

    def query(self, soql, *, deleted=False):
        self.soql = soql
        return iter([list(self._answer)])


def asked(*page, since=None, until=None) -> list[Row]:
    [found] = rows(Org(*page), "Account", since, until, deleted=True)
    return found


def test_without_its_stamp_a_row_changed_when_it_was_modified_or_created():
    times = {"CreatedDate": AT_ONE, "LastModifiedDate": AT_TWO}

    assert asked({"Id": "1", **times}) == [Row("1", 1000, 2000, 2000, is_deleted=False)]
    assert asked({"Id": "1", "CreatedDate": AT_ONE}) == [Row("1", 1000, 1000, 1000, False)]


def test_rows_outside_of_the_bounds_are_left_out():
    page = [{"Id": "1", "SystemModstamp": AT_ONE}, {"Id": "2", "SystemModstamp": AT_TWO}]

    assert [row.record_id for row in asked(*page, since=1_500)] == ["1", "2"]
    assert [row.record_id for row in asked(*page, since=2_000)] == ["2"]
    assert [row.record_id for row in asked(*page, until=2_000)] == ["1"]


def test_only_a_comparison_with_deleted_records_asks_for_them():
    """After a mass deletion, their pages would come before those of records that exist."""
    org = Org({"Id": "1", "SystemModstamp": AT_ONE, "IsDeleted": True})

    assert list(rows(org, "Account", None, None, deleted=False)) == [[]]
    assert " WHERE IsDeleted = false ORDER BY " in org.soql
    [[row]] = rows(org, "Account", None, None, deleted=True)
    assert row.is_deleted
    assert "IsDeleted =" not in org.soql


@pytest.mark.parametrize("row", [{"SystemModstamp": AT_ONE}, {"Id": "1"}, None])
def test_a_row_that_says_too_little_is_no_answer(row):
    with pytest.raises(TransportFailed, match="row"):
        asked(row)
