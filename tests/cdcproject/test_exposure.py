"""An installation for other machines has strict defaults; one for its own machine has open ones."""

import json
import subprocess
import sys

import pytest
from cryptography.fernet import Fernet
from environs import Env

from cdcproject.egress_policy import is_local, outbound, readable
from tests.cdcproject.test_settings import alone, refused
from tests.nursery import ROOT

NAMES = ("CDC_OUTBOUND_ALLOWED", "CDC_SECRET_VARIABLES", "CDC_SECRET_FOLDERS")
TLS = (
    "SECURE_SSL_REDIRECT", "SESSION_COOKIE_SECURE", "CSRF_COOKIE_SECURE", "SECURE_HSTS_SECONDS",
    "SECURE_PROXY_SSL_HEADER",
)  # fmt: skip


@pytest.fixture
def env(monkeypatch):
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    return Env()


@pytest.mark.parametrize(
    ("hosts", "debug", "expected"),
    [
        (["localhost", "127.0.0.1", "[::1]"], False, True),
        (["*"], False, True),
        (
            ["localhost", "testserver", "0.0.0.0", "127.0.0.2", "app.localhost", ".localhost"],
            False,
            True,
        ),
        (["10.0.0.1"], False, False),
        (["cdc.example.com"], True, True),
        (["cdc.example.com"], False, False),
        (["localhost", "cdc.example.com"], False, False),
        ([".example.com"], False, False),
    ],
)
def test_a_host_of_its_own_makes_an_installation_a_site(hosts, debug, expected):
    assert is_local(hosts, debug=debug) is expected


def test_a_site_reaches_the_internet_over_https_alone(env):
    site = outbound(env, local=False, debug=False)

    assert site.flaw("https://example.my.salesforce.com") == ""
    for url in ("http://example.com", "http://127.0.0.1:1", "https://10.0.0.1"):
        assert site.flaw(url) != "", url


def test_where_only_this_machine_is_served_loopback_is_reached_in_the_plain(env):
    local = outbound(env, local=True, debug=False)

    assert local.flaw("http://127.0.0.1:8080") == local.flaw("http://localhost:8080") == ""
    for url in ("http://example.com", "https://10.0.0.1", "https://169.254.169.254"):
        assert local.flaw(url) != "", url


def test_what_is_listed_takes_the_defaults_place(env, monkeypatch):
    monkeypatch.setenv("CDC_OUTBOUND_ALLOWED", "simulator, 10.0.0.0/8")
    listed = outbound(env, local=True, debug=False)
    monkeypatch.setenv("CDC_OUTBOUND_ALLOWED", "none")
    nothing = outbound(env, local=True, debug=False)

    assert listed.flaw("http://simulator:8080") == listed.flaw("http://10.2.3.4") == ""
    for one in (listed, nothing):
        assert one.flaw("http://127.0.0.1:8080") != ""


def test_a_site_reads_what_is_meant_for_salesforce(env, monkeypatch):
    assert readable(env, local=True).variables == ("*",)
    site = readable(env, local=False)
    assert site.variables == ("SF_*", "SALESFORCE_*")
    assert [str(folder) for folder in site.folders] == ["/run/secrets/salesforce"]

    monkeypatch.setenv("CDC_SECRET_VARIABLES", "none")
    monkeypatch.setenv("CDC_SECRET_FOLDERS", "/srv/a,/srv/b")
    assert readable(env, local=False).variables == ()
    assert [str(folder) for folder in readable(env, local=False).folders] == ["/srv/a", "/srv/b"]


def settings_with(**environment: str | None) -> dict[str, object]:
    """Return the TLS settings of a process with only these variables."""
    program = f"""
import json
from cdcproject import settings
print(json.dumps({{name: getattr(settings, name) for name in {TLS}}}))
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        check=True,
        cwd=ROOT,
        env=alone(environment),
        capture_output=True,
    )
    return json.loads(done.stdout)


def test_a_site_is_served_over_tls():
    site, local = settings_with(ALLOWED_HOSTS="cdc.example.com"), settings_with()

    for name in ("SECURE_SSL_REDIRECT", "SESSION_COOKIE_SECURE", "CSRF_COOKIE_SECURE"):
        assert site[name] is True
        assert local[name] is False
    assert site["SECURE_HSTS_SECONDS"] > 0 == local["SECURE_HSTS_SECONDS"]
    assert site["SECURE_PROXY_SSL_HEADER"] is None


def test_a_proxys_word_is_believed_where_proxies_are_named():
    site = settings_with(ALLOWED_HOSTS="cdc.example.com", CDC_TRUSTED_PROXIES="1")

    assert site["SECURE_PROXY_SSL_HEADER"] == ["HTTP_X_FORWARDED_PROTO", "https"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CDC_OUTBOUND_ALLOWED", "10.0.0.0/99"),
        ("CDC_OUTBOUND_ALLOWED", "https://crm.example"),
        ("CDC_SECRET_VARIABLES", "SF *"),
        ("CDC_SECRET_FOLDERS", "secrets"),
        ("CDC_TRUSTED_PROXIES", "-1"),
        ("CDC_TRUSTED_PROXIES", "one"),
        ("SECURE_HSTS_SECONDS", "-1"),
        ("CDC_HTTPS", "perhaps"),
        ("CDC_SESSION_HOURS", "0"),
        ("CDC_SIGN_IN_RATE", "often"),
    ],
)
def test_a_wrong_value_stops_the_start_and_is_named(name, value):
    code, said = refused({name: value})

    assert code == 1
    assert name in said
    assert said.count("\n") == 1


def test_djangos_own_check_for_deployment_finds_nothing(tmp_path):
    environment = {
        "SECRET_KEY": "".join(map(chr, range(40, 100))),
        "CDC_ENCRYPTION_KEYS": Fernet.generate_key().decode(),
        "ALLOWED_HOSTS": "cdc.example.com",
        "DATABASE_URL": f"sqlite:///{tmp_path}/db.sqlite3",
        "VAR_DIR": str(tmp_path),
    }

    def checked(**more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING"],
            cwd=ROOT,
            env=alone(environment | more),
            check=False,
            capture_output=True,
            text=True,
        )

    clean = checked()
    assert clean.returncode == 0, clean.stderr
    open_to_all = checked(ALLOWED_HOSTS="*", CDC_INCIDENT_WEBHOOK="http://hooks.example.com")
    assert open_to_all.returncode == 1
    assert "listeners.W002" in open_to_all.stderr
    assert "listeners.W003" in open_to_all.stderr
    assert environment["SECRET_KEY"] not in open_to_all.stderr
