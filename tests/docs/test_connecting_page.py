"""docs/connecting.md describes each kind of login, and its command makes a working key."""

import base64
import hashlib
import os
import re
import shlex
import subprocess
from urllib.parse import parse_qs, urlsplit

import jwt
import pytest
from cryptography import x509

from docs.generator.logins import ORDER
from listeners.models import Connection
from tests.docs.examples import DOCS, blocks

PAGE = DOCS / "connecting.md"
TEXT = PAGE.read_text()


def test_there_is_a_section_for_each_kind_of_login():
    assert sorted(re.findall(r"^### `(\w+)`$", TEXT, re.MULTILINE)) == sorted(
        Connection.Auth.values
    )


@pytest.mark.parametrize("kind", Connection.Auth.values)
def test_it_says_what_the_kind_needs_and_shows_one(kind):
    section = TEXT.partition(f"\n### `{kind}`\n")[2].partition("\n### ")[0]

    assert f"<!-- from the code: login {kind} -->" in section
    assert f"\n    auth: {kind}\n" in section


@pytest.mark.process
def test_the_certificate_verifies_what_the_key_signs(tmp_path):
    [command] = [text for text in blocks(PAGE, "sh") if text.startswith("openssl")]

    subprocess.run(shlex.split(command), cwd=tmp_path, check=True, capture_output=True)

    signed = jwt.encode({"sub": "cdc"}, (tmp_path / "cdc-key.pem").read_text(), "RS256")
    certificate = x509.load_pem_x509_certificate((tmp_path / "cdc-certificate.pem").read_bytes())
    key = certificate.public_key()
    assert jwt.decode(signed, key, ["RS256"]) == {"sub": "cdc"}


@pytest.mark.process
def test_the_address_for_a_refresh_token_has_the_challenge_of_the_verifier():
    [script] = [text for text in blocks(PAGE, "sh") if text.startswith("verifier")]
    shown = subprocess.run(
        ["sh", "-euc", f'{script}\necho "$verifier"'],
        env={"PATH": os.environ["PATH"], "SF_CLIENT_ID": "3MVG9"},
        check=True,
        capture_output=True,
        text=True,
    )

    address, verifier = shown.stdout.split()
    digest = hashlib.sha256(verifier.encode()).digest()
    assert parse_qs(urlsplit(address).query) == {
        "response_type": ["code"],
        "client_id": ["3MVG9"],
        "redirect_uri": ["https://login.salesforce.com/services/oauth2/success"],
        "code_challenge": [base64.urlsafe_b64encode(digest).decode().rstrip("=")],
        "scope": ["api refresh_token"],
    }


def test_the_sections_and_the_rows_of_the_kinds_have_one_order():
    kinds = "|".join(ORDER)
    rows = re.findall(rf"^\| \[`({kinds})`\]", TEXT, re.MULTILINE)
    sections = re.findall(rf"^### `({kinds})`$", TEXT, re.MULTILINE)

    assert rows == sections == list(ORDER)
