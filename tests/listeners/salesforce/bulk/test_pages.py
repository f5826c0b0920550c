"""The client reads the pages of a query job's results, and reports broken ones."""

from __future__ import annotations

import gzip
from dataclasses import replace

import pytest

from listeners.salesforce.bulk.errors import PageIncomplete
from listeners.salesforce.errors import TransportFailed
from tests.listeners.salesforce.bulk.asking import JOB_ID, RESULTS, client, page, read
from tests.listeners.salesforce.scripted import Reply, ScriptedOrg

HEADER = '"Id","Name"\n'


def test_rows_come_in_chunks_with_the_locator_of_the_next_page(org: ScriptedOrg) -> None:
    org.tell(RESULTS, page(HEADER + '"1","a"\n"2","b"\n"3","c"\n', 3, "abc"))

    with client(org).page(JOB_ID, ["Id", "Name"]) as found:
        chunks = list(found.chunks(2))

    assert chunks == [[["1", "a"], ["2", "b"]], [["3", "c"]]]
    assert (found.rows, found.next_locator) == (3, "abc")


def test_the_last_page_has_no_locator(org: ScriptedOrg) -> None:
    org.tell(f"{RESULTS}?locator=abc&maxRecords=5", page(HEADER, 0))

    with client(org).page(JOB_ID, ["Id", "Name"], locator="abc", most=5) as found:
        assert list(found.chunks(2)) == []

    assert found.next_locator == ""


def test_a_value_may_have_line_breaks_quotes_and_nul_bytes(org: ScriptedOrg) -> None:
    org.tell(RESULTS, page(HEADER + '"1","a\n\r\n""b"", \0c\u2028d"\n', 1))

    assert read(client(org)) == [["1", 'a\n\r\n"b", \0c\u2028d']]


def test_a_compressed_page_is_read(org: ScriptedOrg) -> None:
    plain = page(HEADER + '"1","a"\n', 1)
    packed = gzip.compress(plain.body)
    org.tell(
        RESULTS, replace(plain, body=packed, headers=(*plain.headers, ("Content-Encoding", "gzip")))
    )

    assert read(client(org)) == [["1", "a"]]
    assert org.asked(RESULTS)[0].headers["Accept-Encoding"] == "gzip"


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        (HEADER + '"1","a"\n', 2),
        (HEADER + '"1","a"\n"2","b"\n', 1),
        (HEADER + '"1","a"\n"2"\n', 2),
        (HEADER + '"1","a"\n"2","b', 2),
        ('"1","a"\n', 1),
        ("", 1),
    ],
    ids=["a row too few", "a row too many", "a short row", "a cut value", "no header", "nothing"],
)
def test_a_page_with_other_rows_than_announced_is_incomplete(
    org: ScriptedOrg, text: str, rows: int
) -> None:
    org.tell(RESULTS, page(text, rows))

    with pytest.raises(PageIncomplete):
        read(client(org))


def test_a_page_without_a_number_of_records_is_incomplete(org: ScriptedOrg) -> None:
    org.tell(RESULTS, Reply((HEADER + '"1","a"\n').encode()))

    with pytest.raises(PageIncomplete, match="Sforce-NumberOfRecords"):
        read(client(org))


def test_a_cut_connection_is_an_error_and_the_page_can_be_read_again(org: ScriptedOrg) -> None:
    text = HEADER + '"1","a"\n'
    org.tell(RESULTS, page(text, 1, missing=10), page(text, 1))
    bulk = client(org)

    with pytest.raises(TransportFailed, match="closed the connection"):
        read(bulk)

    assert read(bulk) == [["1", "a"]]
