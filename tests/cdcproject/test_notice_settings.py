"""The settings of incident notifications come from the environment; a wrong value is named."""

import os

import pytest
from environs import Env

from cdcproject.conf.alerting import Mail, mail, web_address, webhook
from cdcproject.web.error_reports import SecretsStayHidden


@pytest.fixture
def environment(monkeypatch):
    """Returns an environment with only these variables of the notifications' names."""
    for name in list(os.environ):
        if name.startswith(("EMAIL_", "CDC_INCIDENT", "DEFAULT_FROM")):
            monkeypatch.delenv(name)

    def make(**variables: str) -> Env:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        return Env()

    return make


@pytest.mark.parametrize(
    ("read", "variables", "said"),
    [
        (webhook, {"CDC_INCIDENT_WEBHOOK_SECRET": "hunter2"}, "but CDC_INCIDENT_WEBHOOK is not"),
        (webhook, {"CDC_INCIDENT_WEBHOOK": "hook"}, "CDC_INCIDENT_WEBHOOK must be a URL"),
        (webhook, {"CDC_INCIDENT_WEBHOOK": "http://h:port/hunter2"}, "CDC_INCIDENT_WEBHOOK must"),
        (mail, {"CDC_INCIDENT_EMAILS": "ops"}, "CDC_INCIDENT_EMAILS: 'ops' is not an e-mail"),
        (mail, {"CDC_INCIDENT_EMAILS": "a@b.de"}, "EMAIL_HOST is not; give the mail server"),
        (mail, {"EMAIL_PORT": "0"}, "EMAIL_PORT is 0; give a port, 1 to 65535"),
        (
            mail,
            {"EMAIL_HOST": "mail.b.de:587"},
            "EMAIL_HOST is 'mail.b.de:587'; give only the host",
        ),
        (mail, {"EMAIL_HOST": "smtp://mail.b.de"}, "EMAIL_HOST is 'smtp://mail.b.de'; give only"),
        (mail, {"EMAIL_HOST_PASSWORD": "hunter2"}, "but EMAIL_HOST_USER is not"),
        *(
            (mail, {"DEFAULT_FROM_EMAIL": sender}, f"DEFAULT_FROM_EMAIL is {sender!r}; give one")
            for sender in ("CDC", "CDC <cdc>", "cdc@", "@b.de", "a@b.de, c@d.de", "A, B <a@b.de>")
        ),
        (mail, {"EMAIL_USE_TLS": "true", "EMAIL_USE_SSL": "true"}, "exclude each other"),
    ],
)
def test_a_wrong_value_is_named(environment, read, variables, said):
    with pytest.raises(SystemExit) as refused:
        read(environment(**variables))
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)
    assert "hunter2" not in str(refused.value)


def test_no_notification_is_sent_by_default(environment):
    assert webhook(environment()) == ("", "")
    assert mail(environment()).to == []
    assert web_address(environment(), "CDC_PUBLIC_URL") == ""


def test_everything_can_be_set(environment):
    env = environment(
        CDC_INCIDENT_EMAILS="a@b.de, c@d.de",
        DEFAULT_FROM_EMAIL="cdc@b.de",
        EMAIL_HOST="mail.b.de",
        EMAIL_PORT="587",
        EMAIL_HOST_USER="cdc",
        EMAIL_HOST_PASSWORD="secret",
        EMAIL_USE_TLS="true",
        CDC_INCIDENT_WEBHOOK="https://b.de/hook",
        CDC_INCIDENT_WEBHOOK_SECRET="hush",
    )
    found = mail(env)
    assert found == Mail(
        ["a@b.de", "c@d.de"], "cdc@b.de", "mail.b.de", 587, "cdc", "secret", True, False
    )
    assert "secret" not in repr(found)
    assert webhook(env) == ("https://b.de/hook", "hush")


@pytest.mark.parametrize(
    "sender",
    ["cdc@localhost", "cdc@host", "CDC <cdc@host>", "Example Inc. <cdc@b.de>", '"A, B" <cdc@b.de>'],
)
def test_a_sender_may_have_a_name_and_a_local_host(environment, sender):
    assert mail(environment(DEFAULT_FROM_EMAIL=sender)).sender == sender


def test_the_mail_server_may_be_an_address(environment):
    for host in ("mail", "192.0.2.1", "2001:db8::1"):
        assert mail(environment(EMAIL_HOST=host)).host == host


def test_an_error_page_shows_neither_the_address_of_the_webhook_nor_a_password(settings):
    settings.CDC_INCIDENT_WEBHOOK = "https://hooks.example.com/hunter2"
    settings.CDC_INCIDENT_WEBHOOK_SECRET = "hunter2"
    settings.CDC_MAIL = Mail(["a@b.de"], "c@d.de", "mail", 25, "me", "hunter2", False, False)
    assert "hunter2" not in repr(SecretsStayHidden().get_safe_settings())
