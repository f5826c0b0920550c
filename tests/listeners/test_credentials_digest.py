"""Tokens are stored under a digest of the credentials, so that other credentials do not use
them."""

from __future__ import annotations

from typing import Any

import pytest
from django.db.models import BooleanField, FloatField, JSONField

from listeners.connections.token_sources import credentials_digest
from listeners.models import Connection
from listeners.models.connection_rules import KINDS
from tests.kinds_of_login import KINDS_WITH_A_LOGIN

#: Fields that decide how a token is requested and for how long it is used, not whose it is.
WHATEVER_THE_TOKEN = {"default_token_exp_time", "clock_skew", "credential_bearer", "token_store"}
OTHER_VALUES: dict[type, Any] = {
    BooleanField: True,
    FloatField: 1.5,
    JSONField: {"custom_payload": "audience=other"},
}


def other_value(name: str) -> Any:
    field = Connection._meta.get_field(name)
    return OTHER_VALUES.get(type(field), f"another-{name}")


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (kind, name)
        for kind in KINDS_WITH_A_LOGIN
        if kind != "refresh_token"
        for name in sorted(KINDS[kind].used_fields - WHATEVER_THE_TOKEN)
    ],
)
def test_another_value_of_a_field_is_another_digest(kind: str, name: str) -> None:
    before = Connection(auth=kind)
    after = Connection(auth=kind, **{name: other_value(name)})

    assert credentials_digest(after) != credentials_digest(before)


def test_another_kind_of_login_is_another_digest() -> None:
    kinds = [Connection(auth=kind, refresh_token="5Aep861") for kind in KINDS_WITH_A_LOGIN]

    assert len(set(map(credentials_digest, kinds))) == len(kinds)


def test_another_refresh_token_is_another_digest_and_no_other_setting_is() -> None:
    def digest(**fields: Any) -> str:
        return credentials_digest(Connection(auth="refresh_token", **fields))

    used_fields = KINDS["refresh_token"].used_fields - {"refresh_token"}
    others = {digest(refresh_token="5Aep861", **{name: other_value(name)}) for name in used_fields}

    assert others == {digest(refresh_token="5Aep861")}
    assert digest(refresh_token="5Aep862") not in others
