"""The JWT bearer login sends the configured claims, signed with the configured key."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from listeners.connections.token_sources import token_source
from tests.settings_on_the_wire.orgs import only_login
from tests.settings_on_the_wire.stored import failure, failures, stored
from tests.simulator.process import SimulatorProcess

pytestmark = pytest.mark.anywhere

PRODUCTION, SANDBOX = "https://login.salesforce.com", "https://test.salesforce.com"


def claims(org: SimulatorProcess) -> dict[str, Any]:
    assertion = only_login(org)["form"]["assertion"]
    decoded: dict[str, Any] = jwt.decode(assertion, options={"verify_signature": False})
    return decoded


def new_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65_537, key_size=2_048)


def pem(key: rsa.RSAPrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def test_the_assertion_names_the_client_the_user_the_audience_and_a_near_end(
    org: SimulatorProcess,
) -> None:
    before = time.time()

    token_source(stored(org, "jwt_bearer")).get()

    told = claims(org)
    assert told["iss"] == org.credentials["client_id"]
    assert told["sub"] == org.credentials["username"]
    assert told["aud"] == PRODUCTION
    assert before < told["exp"] <= time.time() + 180
    assert only_login(org)["outcome"] == "ok"


@pytest.mark.parametrize(
    ("fields", "audience"),
    [
        ({"is_sandbox": False}, PRODUCTION),
        ({"is_sandbox": True}, SANDBOX),
        ({"audience": SANDBOX}, SANDBOX),
        ({"is_sandbox": True, "audience": PRODUCTION}, PRODUCTION),
    ],
)
def test_the_audience_is_the_one_that_is_set_or_else_that_of_the_kind_of_org(
    org: SimulatorProcess, fields: dict[str, Any], audience: str
) -> None:
    token_source(stored(org, "jwt_bearer", **fields)).get()

    assert claims(org)["aud"] == audience


def test_the_orgs_own_domain_can_be_the_audience(org: SimulatorProcess) -> None:
    assert failures(stored(org, "jwt_bearer", audience=org.url)) == []


def test_a_client_secret_is_sent_only_where_one_is_set(org: SimulatorProcess) -> None:
    token_source(stored(org, "jwt_bearer", client_secret="")).get()

    assert set(only_login(org)["form"]) == {"grant_type", "assertion"}


@pytest.mark.parametrize("way", ["plain", "env", "env with \\n", "file"])
def test_the_private_key_is_taken_from_where_it_is(
    org: SimulatorProcess, way: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    key = org.credentials["private_key"]
    (tmp_path / "key.pem").write_text(key)
    written = key.replace("\n", "\\n") if "\\n" in way else key
    monkeypatch.setenv("KEY_OF_THE_APP", written)
    where = {"plain": key, "file": f"file:{tmp_path}/key.pem"}.get(way, "env:KEY_OF_THE_APP")

    token_source(stored(org, "jwt_bearer", private_key=where)).get()

    assert only_login(org)["outcome"] == "ok"


def test_an_org_that_holds_the_keys_public_half_lets_it_in_and_no_other(tmp_path: Path) -> None:
    key = new_key()
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "public.pem").write_bytes(public)
    with SimulatorProcess("--jwt-public-key", str(tmp_path / "public.pem")) as org:
        assert failures(stored(org, "jwt_bearer", private_key=pem(key))) == []

        reason = failure(stored(org, "jwt_bearer", private_key=pem(new_key())))

    assert reason.startswith("login refused: invalid_grant: invalid assertion. Check the private")


def test_a_key_that_is_none_is_named_and_nothing_is_sent(
    org: SimulatorProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEY_OF_THE_APP", "not a key")

    reason = failure(stored(org, "jwt_bearer", private_key="env:KEY_OF_THE_APP"))

    assert "the private key cannot sign" in reason
    assert "not a key" not in reason
    assert org.token_requests() == []
