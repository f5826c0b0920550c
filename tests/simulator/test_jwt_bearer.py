"""The JWT bearer grant accepts good assertions, and refuses others with the reason."""

import base64
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from tests.servers import PATIENCE_SECONDS
from tests.simulator.certificates import Authority
from tests.simulator.process import SimulatorProcess
from tests.simulator.wire_client import WireClient

pytestmark = pytest.mark.anywhere

GRANT_TYPE = "urn:ietf:params:oauth:grant-type:jwt-bearer"


def private_key(org: SimulatorProcess) -> rsa.RSAPrivateKey:
    key = serialization.load_pem_private_key(org.credentials["private_key"].encode(), None)
    assert isinstance(key, rsa.RSAPrivateKey)
    return key


def assertion(
    org: SimulatorProcess, key: rsa.RSAPrivateKey, algorithm: str = "RS256", **claims: Any
) -> str:
    """Return a good assertion with these claims replaced."""
    good = {
        "iss": org.credentials["client_id"],
        "sub": org.credentials["username"],
        "aud": "https://login.salesforce.com",
        "exp": int(time.time()) + 170,
    }
    signed = f"{encoded({'alg': algorithm})}.{encoded({**good, **claims})}"
    signature = key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
    return f"{signed}.{unpadded(signature)}"


def encoded(part: dict[str, Any]) -> str:
    return unpadded(json.dumps(part).encode())


def unpadded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def ask(org: SimulatorProcess, text: str) -> requests.Response:
    form = {"grant_type": GRANT_TYPE, "assertion": text}
    return requests.post(f"{org.url}/services/oauth2/token", data=form, timeout=PATIENCE_SECONDS)


@pytest.mark.parametrize(
    "audience",
    ["https://login.salesforce.com", "https://test.salesforce.com", "the org's own", ["x", "own"]],
)
def test_a_good_assertion_gives_a_token_that_works(
    shared_org: SimulatorProcess, shared_client: WireClient, audience: str | list[str]
) -> None:
    named = {"the org's own": shared_org.url}.get(str(audience), audience)
    told = (
        [shared_org.url if name == "own" else name for name in named]
        if isinstance(audience, list)
        else named
    )

    answer = ask(shared_org, assertion(shared_org, private_key(shared_org), aud=told)).json()

    shared_client.token = answer["access_token"]
    assert shared_client.get("/services/data/v60.0/limits").status_code == 200
    assert "refresh_token" not in answer


@pytest.mark.parametrize(
    "expires_at",
    [
        pytest.param(lambda: int(time.time()) + 300, id="five minutes ahead"),
        # Clients add 300, which are milliseconds then: too few for a busy machine.
        pytest.param(lambda: int(time.time() * 1000) + 200_000, id="in milliseconds"),
    ],
)
def test_expiry_times_that_shipping_clients_send_are_accepted(
    shared_org: SimulatorProcess, expires_at: Callable[[], int]
) -> None:
    text = assertion(shared_org, private_key(shared_org), exp=expires_at())

    assert ask(shared_org, text).status_code == 200


@pytest.mark.parametrize(
    ("claims", "error", "description"),
    [
        ({"iss": "nobody"}, "invalid_client_id", "client identifier invalid"),
        ({"sub": "nobody@example.com"}, "invalid_grant", "user hasn't approved this consumer"),
        ({"aud": "https://example.com"}, "invalid_grant", "audience is invalid"),
        ({"aud": None}, "invalid_grant", "audience is invalid"),
        ({"exp": "soon"}, "invalid_grant", "invalid assertion"),
        ({"exp": None}, "invalid_grant", "invalid assertion"),
        ({"algorithm": "RS512"}, "invalid_grant", "invalid assertion"),
    ],
)
def test_an_assertion_that_is_refused(
    shared_org: SimulatorProcess, claims: dict[str, Any], error: str, description: str
) -> None:
    response = ask(shared_org, assertion(shared_org, private_key(shared_org), **claims))

    assert response.status_code == 400
    assert response.json() == {"error": error, "error_description": description}


@pytest.mark.parametrize(
    ("seconds", "description"), [(-1, "expired authorization code"), (3_600, "invalid assertion")]
)
def test_an_assertion_is_valid_for_some_minutes(
    shared_org: SimulatorProcess, seconds: int, description: str
) -> None:
    expiry = int(time.time()) + seconds

    response = ask(shared_org, assertion(shared_org, private_key(shared_org), exp=expiry))

    assert response.status_code == 400
    assert response.json() == {"error": "invalid_grant", "error_description": description}


def test_the_signature_must_be_the_apps(shared_org: SimulatorProcess) -> None:
    other = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)

    response = ask(shared_org, assertion(shared_org, other))

    assert response.json()["error_description"] == "invalid assertion"


@pytest.mark.parametrize("text", ["", "a.b", "a.b.c", "W10.W10.W10", "é.é.é"])
def test_what_is_no_assertion_is_refused(shared_org: SimulatorProcess, text: str) -> None:
    response = ask(shared_org, text)

    assert response.status_code == 400
    assert response.json()["error_description"] == "invalid assertion"


def test_assertions_do_not_age_with_the_orgs_clock(org: SimulatorProcess) -> None:
    org.advance(7_300)

    assert ask(org, assertion(org, private_key(org))).status_code == 200


@pytest.mark.parametrize("kind", ["certificate", "public key"])
def test_the_apps_key_can_be_given(tmp_path: Path, kind: str) -> None:
    key = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
    path = Authority(tmp_path).issue("app", key).cert
    if kind == "public key":
        path.write_bytes(
            key.public_key().public_bytes(
                serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
            )
        )

    with SimulatorProcess("--jwt-public-key", str(path)) as org:
        response = ask(org, assertion(org, key))

    assert response.status_code == 200
    assert "private_key" not in org.credentials
