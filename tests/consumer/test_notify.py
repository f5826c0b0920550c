"""Incidents are sent by e-mail and to a webhook: once when opened, and once when closed."""

import json
import threading
from datetime import timedelta
from email import message_from_string
from email.policy import default

import pytest
from django.db import connection
from django.utils import timezone

from audit.models import Incident, Trouble
from cdcproject.conf.alerting import Mail
from consumer.alerts.channels import SIGNATURE, signature
from consumer.alerts.send import BACKOFF, CLAIM, LEFT_TO_OTHERS, send_due
from tests.notice_receivers import MailServer, Webhook


@pytest.fixture
def now():
    return timezone.now()


@pytest.fixture
def webhook(settings):
    server = Webhook()
    settings.CDC_INCIDENT_WEBHOOK = server.url
    yield server
    server.close()


@pytest.fixture
def mail_server(settings):
    server = MailServer()
    to = ["ops@example.com", "dev@example.com"]
    settings.CDC_MAIL = Mail(to, "cdc@example.com", "127.0.0.1", server.port, "", "", False, False)
    yield server
    server.close()


def report(listener, kind="outage", now=None, **fields) -> Incident:
    trouble = Trouble(kind, "", f"{kind} happened", "do this", action="it is tried", **fields)
    return Incident.objects.report(listener.pk, trouble, now or timezone.now())


def test_opening_and_closing_are_sent_once_each(listener, webhook, settings, now):
    settings.CDC_PUBLIC_URL = "https://cdc.example.com"
    incident = report(listener, now=now)
    for seconds in range(3):
        report(listener, now=now + timedelta(seconds=seconds))
        send_due(now + timedelta(seconds=seconds))
    assert webhook.told == [("outage", "open")]

    Incident.objects.close(listener.pk, "outage", now + timedelta(minutes=1), note="it is over")
    for minutes in (2, 3):
        send_due(now + timedelta(minutes=minutes))

    assert webhook.told == [("outage", "open"), ("outage", "closed")]
    first, last = map(json.loads, webhook.bodies)
    assert first["summary"] == "outage happened"
    assert (first["action"], first["remedy"]) == ("it is tried", "do this")
    assert (first["id"], first["listener"]) == (incident.pk, listener.name)
    assert first["url"] == f"https://cdc.example.com/admin/audit/incident/{incident.pk}/change/"
    assert first["opened_at"] == now.isoformat().replace("+00:00", "Z")
    assert last["note"] == "it is over"


def test_an_incident_closed_before_its_notification_is_sent_once(listener, webhook, now):
    report(listener, now=now)
    Incident.objects.settle(now, by="ann")
    for seconds in (1, 300):
        send_due(now + timedelta(seconds=seconds))
    assert webhook.told == [("outage", "closed")]


def test_a_post_is_signed_when_there_is_a_secret(listener, webhook, settings, now):
    report(listener, now=now)
    settings.CDC_INCIDENT_WEBHOOK_SECRET = "the secret"
    send_due(now)
    [(headers, body)] = webhook.posts
    assert headers[SIGNATURE] == signature(body, "the secret")
    assert headers[SIGNATURE] != signature(body, "another")
    assert headers["Content-Type"] == "application/json"
    assert b"the secret" not in body


@pytest.mark.parametrize("answer", [(500, {}), (302, {"Location": "/elsewhere"})])
def test_a_refused_notification_is_sent_again_later(listener, webhook, now, answer):
    webhook.answers = [answer]
    report(listener, now=now)

    assert send_due(now) == 0

    incident = Incident.objects.get()
    assert len(webhook.posts) == 1  # no redirect is followed
    assert incident.told == {}
    assert now < incident.notify_due_at <= now + timedelta(seconds=BACKOFF.base)
    assert send_due(now) == 0
    assert send_due(incident.notify_due_at) == 1
    assert webhook.told == [("outage", "open")] * 2


def test_an_unreachable_channel_holds_up_no_other_and_gets_no_duplicate(
    listener, webhook, mail_server, settings, now
):
    settings.CDC_INCIDENT_WEBHOOK = "http://127.0.0.1:1/hook"
    report(listener, now=now)
    send_due(now)
    assert len(mail_server.mails) == 1

    settings.CDC_INCIDENT_WEBHOOK = webhook.url
    send_due(now + timedelta(hours=2))

    assert webhook.told == [("outage", "open")]
    assert len(mail_server.mails) == 1


def test_a_mail_says_what_the_incident_says(listener, mail_server, now):
    report(listener, now=now)
    send_due(now)
    [text] = mail_server.mails
    mail = message_from_string(text, policy=default)
    assert mail["Subject"] == f"[open] {listener.name}: outage happened"
    assert (mail["From"], mail["To"]) == ("cdc@example.com", "ops@example.com, dev@example.com")
    assert len(mail_server.recipients) == 2
    body = mail.get_content()
    assert "Action taken: it is tried" in body
    assert "What to do: do this" in body


def test_a_mail_server_that_refuses_is_asked_again_later(listener, mail_server, now):
    mail_server.refuses = "450 busy"
    report(listener, now=now)
    assert send_due(now) == 0
    mail_server.refuses = ""
    assert send_due(now + timedelta(hours=2)) == 1
    assert len(mail_server.mails) == 1


def test_a_password_that_cannot_even_be_sent_is_tried_again_later(
    listener, settings, now, mail_server, caplog
):
    mail_server.offers_login = True
    to, server = ["a@b.de"], ("127.0.0.1", mail_server.port)
    settings.CDC_MAIL = Mail(to, "c@d.de", *server, "me", "hunter2ä", False, False)
    report(listener, now=now)
    assert send_due(now) == 0
    assert Incident.objects.get().notify_due_at > now
    assert "hunter2" not in caplog.text


def test_a_recipient_that_the_mail_server_refuses_is_logged(listener, mail_server, now, caplog):
    mail_server.refuses = "550 unknown"
    mail_server.refused = "dev@"
    report(listener, now=now)
    assert send_due(now) == 1
    assert "dev@example.com" in caplog.text


def test_secrets_of_a_channel_are_in_no_log(listener, settings, now, capsys, caplog):
    settings.CDC_INCIDENT_WEBHOOK = "http://127.0.0.1:1/hook?key=hunter2"
    settings.CDC_MAIL = Mail(["a@b.de"], "c@d.de", "127.0.0.1", 1, "user", "hunter2", False, False)
    report(listener, now=now)
    send_due(now)
    said = caplog.text + "".join(capsys.readouterr()) + repr(settings.CDC_MAIL)
    assert "alert not sent" in said
    assert "hunter2" not in said


def test_nothing_is_due_without_a_channel(listener, now, settings, webhook):
    settings.CDC_INCIDENT_WEBHOOK = ""
    report(listener, now=now)
    send_due(now + LEFT_TO_OTHERS)
    settings.CDC_INCIDENT_WEBHOOK = webhook.url  # configured later: no flood of old ones
    send_due(now + timedelta(hours=1))
    assert webhook.posts == []


def test_a_process_that_was_given_no_channel_leaves_it_to_one_that_was(
    listener, now, settings, webhook
):
    settings.CDC_INCIDENT_WEBHOOK = ""
    report(listener, now=now)
    send_due(now)
    settings.CDC_INCIDENT_WEBHOOK = webhook.url
    send_due(now + timedelta(seconds=30))
    assert webhook.told == [("outage", "open")]


@pytest.mark.django_db(transaction=True)
def test_several_processes_tell_it_once(transactional_db, make_listener, webhook, now):
    for number in range(6):
        report(make_listener(), now=now + timedelta(microseconds=number))
    together = threading.Barrier(3)

    def tell() -> None:
        together.wait()
        try:
            send_due(now + timedelta(seconds=1))
        finally:
            connection.close()

    threads = [threading.Thread(target=tell) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    told = sorted(json.loads(body)["id"] for body in webhook.bodies)
    assert told == sorted(Incident.objects.values_list("pk", flat=True))


def test_a_notification_claimed_by_a_dead_process_is_sent_by_another(listener, webhook, now):
    report(listener, now=now)
    Incident.objects.update(notify_due_at=now + CLAIM, notify_attempts=1)
    send_due(now)
    assert webhook.posts == []
    send_due(now + CLAIM)
    assert webhook.told == [("outage", "open")]


def test_a_closing_during_the_opening_notification_is_sent_as_well(
    listener, webhook, now, monkeypatch
):
    from consumer.alerts import channels

    report(listener, now=now)
    post = channels._post

    def close_meanwhile(notice):
        Incident.objects.settle(now, note="over")
        post(notice)

    monkeypatch.setattr(channels, "_post", close_meanwhile)
    send_due(now)
    send_due(now + timedelta(seconds=1))
    assert webhook.told == [("outage", "open"), ("outage", "closed")]
