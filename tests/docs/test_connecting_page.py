"""docs/connecting.md describes each kind of login, and its command makes a working key."""

import re
import shlex
import subprocess

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


def test_the_certificate_verifies_what_the_key_signs(tmp_path):
    [command] = [text for text in blocks(PAGE, "sh") if text.startswith("openssl")]

    subprocess.run(shlex.split(command), cwd=tmp_path, check=True, capture_output=True)

    signed = jwt.encode({"sub": "cdc"}, (tmp_path / "cdc-key.pem").read_text(), "RS256")
    certificate = x509.load_pem_x509_certificate((tmp_path / "cdc-certificate.pem").read_bytes())
    key = certificate.public_key()
    assert jwt.decode(signed, key, ["RS256"]) == {"sub": "cdc"}


def test_the_sections_and_the_rows_of_the_kinds_have_one_order():
    kinds = "|".join(ORDER)
    rows = re.findall(rf"^\| \[`({kinds})`\]", TEXT, re.MULTILINE)
    sections = re.findall(rf"^### `({kinds})`$", TEXT, re.MULTILINE)

    assert rows == sections == list(ORDER)
