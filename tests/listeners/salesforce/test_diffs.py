"""A diff in a change's body is recognized by its shape."""

from __future__ import annotations

from hashlib import sha256

import pytest

from listeners.salesforce.diffs import diff_names, is_diff, nulled_names

OLD, NEW = (sha256(text).hexdigest() for text in (b"old", b"new"))
DIFF = {"diff": f"--- {OLD}\n+++ {NEW}\n@@ -1,1 +1,1 @@\n-old\n+new"}


@pytest.mark.parametrize(
    "value",
    [
        DIFF,
        {"diff": f"--- \n+++ {NEW}\n@@ -0,0 +1,1 @@\n+new"},
        {"diff": f"--- {OLD}\n+++ "},
        {"diff": f"--- {OLD}\r\n+++ {NEW}\r\n@@ -1 +1 @@\r\n-old\r\n+new"},
    ],
)
def test_a_unified_diff_alone_in_an_object_is_a_diff(value: object) -> None:
    assert is_diff(value)


@pytest.mark.parametrize(
    "value",
    [
        None,
        "text",
        DIFF["diff"],
        {},
        {"City": "Bonn"},
        {"diff": None},
        {"diff": 1},
        {"diff": {"diff": DIFF["diff"]}},
        {"diff": ""},
        {"diff": "a text of its own"},
        {"diff": "--- a list\n- of things"},
        {"diff": f"+++ {NEW}\n--- {OLD}"},
        {"diff": f"--- {OLD}"},
        {"Diff": DIFF["diff"]},
        {**DIFF, "City": "Bonn"},
        [DIFF],
    ],
)
def test_nothing_else_is_a_diff(value: object) -> None:
    assert not is_diff(value)


def test_diffs_are_found_by_their_shape_where_no_list_was_sent() -> None:
    body = {
        "Name": {"FirstName": "Ada"},
        "Description": DIFF,
        "BillingAddress": {"City": "Bonn", "Street": DIFF},
        "Phone": None,
    }

    assert diff_names(body, None) == ("Description", "BillingAddress.Street")


def test_a_list_that_was_sent_says_it_all() -> None:
    assert diff_names({"Description": DIFF}, []) == ()
    assert diff_names({"Description": "@@ -1 +1 @@"}, ["Description"]) == ("Description",)


def test_cleared_fields_are_the_nulls_of_the_body() -> None:
    body = {"Phone": None, "Name": {"FirstName": None, "LastName": "L"}, "Fax": "", "Text": DIFF}

    assert nulled_names(body, None) == ("Phone", "Name.FirstName")
    assert nulled_names(body, []) == ()
