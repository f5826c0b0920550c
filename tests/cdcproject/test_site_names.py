"""A host or an origin that Django would never match stops start-up; every other one is accepted."""

import pytest
from django.http.request import validate_host
from environs import Env

from cdcproject.conf.site_names import hosts, origins


@pytest.fixture
def environment(monkeypatch):
    def make(name: str, value: str) -> Env:
        monkeypatch.setenv(name, value)
        return Env()

    return make


@pytest.mark.parametrize(
    ("host", "asked"),
    [
        ("*", "cdc.example.com"),
        (".example.com", "cdc.example.com"),
        ("CDC.Example.com", "cdc.example.com"),
        ("localhost", "localhost"),
        ("cdc-web", "cdc-web"),
        ("10.0.0.7", "10.0.0.7"),
        ("[2001:db8::1]", "[2001:db8::1]"),
    ],
)
def test_a_host_that_django_matches_is_accepted(environment, host, asked):
    found = hosts(environment("ALLOWED_HOSTS", host))

    assert found == [host]
    assert validate_host(asked, found)


@pytest.mark.parametrize(
    "host",
    [
        "*.example.com", "https://cdc.example.com", "cdc.example.com:8000", "cdc.example.com/admin",
        "::1", "cdc.example.com localhost", "cdc_web",
    ],
)  # fmt: skip
def test_a_host_that_matches_nothing_is_refused(environment, host):
    with pytest.raises(SystemExit, match=r"ALLOWED_HOSTS: .* matches no host; give names"):
        hosts(environment("ALLOWED_HOSTS", f"localhost,{host}"))


@pytest.mark.parametrize(
    "origin",
    [
        "https://cdc.example.com", "http://cdc-web:8000", "https://*.example.com",
        "https://*.example.com:8443", "http://[2001:db8::1]:8000", "http://10.0.0.7",
    ],
)  # fmt: skip
def test_an_origin_as_browsers_send_it_is_accepted(environment, origin):
    assert origins(environment("CSRF_TRUSTED_ORIGINS", origin)) == [origin]


@pytest.mark.parametrize(
    "origin",
    [
        "https://cdc.example.com/admin/", "https://cdc.example.com/", "cdc.example.com",
        "https://CDC.example.com", "https://user@cdc.example.com", "https://*", "https://cdc*.com",
        "https://cdc.example.com?a=b", "*.example.com",
    ],
)  # fmt: skip
def test_an_origin_that_matches_nothing_is_refused(environment, origin):
    with pytest.raises(
        SystemExit, match=r"CSRF_TRUSTED_ORIGINS: .* matches no origin; give a scheme"
    ):
        origins(environment("CSRF_TRUSTED_ORIGINS", f"https://a.example,{origin}"))


def test_without_the_variables_only_this_machine_is_served(monkeypatch):
    monkeypatch.delenv("ALLOWED_HOSTS", raising=False)
    monkeypatch.delenv("CSRF_TRUSTED_ORIGINS", raising=False)

    assert hosts(Env()) == ["localhost", "127.0.0.1", "[::1]"]
    assert origins(Env()) == []
