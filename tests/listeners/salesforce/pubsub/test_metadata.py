"""Each call names the org in its metadata."""

from __future__ import annotations

import pytest

from listeners.salesforce.errors import StreamRefused
from listeners.salesforce.pubsub.endpoint import metadata_of, tenant_of
from listeners.salesforce.rest.records import long_id
from listeners.salesforce.tokens.tokens import Token


def token(access_token="secret", org_id=None, instance_url="https://org.example"):
    return Token(access_token, instance_url, org_id)


@pytest.mark.parametrize(
    ("short", "full"),
    [
        ("00D3i000000abcD", "00D3i000000abcDEAQ"),
        ("001A0000006Vm9r", "001A0000006Vm9rIAC"),  # from Salesforce's own notes on ids
        ("001A0000006Vm9rIAC", "001A0000006Vm9rIAC"),
    ],
)
def test_an_id_of_fifteen_characters_is_completed(short, full):
    assert long_id(short) == full


def test_the_org_is_that_of_the_login():
    assert tenant_of(token("00D000000000009!x", "00D000000000001")) == "00D000000000001EAA"


def test_without_a_login_the_org_is_that_of_the_access_token():
    assert tenant_of(token("00D000000000009!AQ.x")) == "00D000000000009EAA"


@pytest.mark.parametrize("access_token", ["secret", "00D000000000009", "00Dx!y", "!", "eyJ0.e30.x"])
def test_what_is_no_org_is_not_taken_for_one(access_token):
    assert tenant_of(token(access_token)) is None


@pytest.mark.parametrize(
    "bad", [token("00D000000000009!a\nb"), token("x\u20ac", "00D000000000001EAA")]
)
def test_the_error_of_an_unsendable_token_does_not_contain_it(bad):
    with pytest.raises(StreamRefused) as refused:
        metadata_of(bad)

    assert bad.access_token not in str(refused.value)
