"""Alert messages about incidents, and the channels that send them: e-mail and a webhook.

NotSent   a channel did not accept the message; the reason is in the text, without secrets
"""

from __future__ import annotations

import hashlib
import hmac
import json
import smtplib
import ssl
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from email.message import EmailMessage
from email.utils import formatdate
from urllib.parse import urlsplit

import structlog
from django.conf import settings
from django.urls import get_script_prefix

from audit.models import Incident
from cdcproject.conf.alerting import Mail
from listeners import egress
from listeners.salesforce.http.allowlist import ANYWHERE

log = structlog.get_logger(__name__)

#: Seconds to wait for each response of the mail server.
MAIL_TIMEOUT = 10.0
#: Seconds for the whole webhook request.
WEBHOOK_SECONDS = 20.0
SIGNATURE = "X-CDC-Signature"


class NotSent(Exception):
    """A channel did not accept a notice. It is retried; if that keeps failing, check the channel's
    settings."""


@dataclass(frozen=True)
class Notice:
    """The content of an alert, without payloads and secrets. `state` is open or closed; times are
    UTC."""

    id: int
    state: str
    kind: str
    listener: str
    summary: str
    action: str
    remedy: str
    opened_at: str
    closed_at: str | None
    note: str
    url: str

    @classmethod
    def of(cls, incident: Incident) -> Notice:
        # Not reverse(): that would import the console and the API into a listener or a worker.
        page = f"{get_script_prefix()}admin/audit/incident/{incident.pk}/change/"
        return cls(
            id=incident.pk,
            state="open" if incident.is_open else "closed",
            kind=incident.kind,
            listener=incident.listener.name if incident.listener else "",
            summary=incident.summary,
            action=incident.action,
            remedy=incident.remedy,
            opened_at=_iso(incident.opened_at),
            closed_at=_iso(incident.closed_at) if incident.closed_at else None,
            note=incident.note,
            url=f"{settings.CDC_PUBLIC_URL}{page}",
        )


def channels() -> Mapping[str, Callable[[Notice], None]]:
    """Return the functions that send on the configured channels, by name. They raise NotSent."""
    found = {}
    if settings.CDC_MAIL.to:
        found["email"] = _mail
    if settings.CDC_INCIDENT_WEBHOOK:
        found["webhook"] = _post
    return found


def signature(body: bytes, secret: str) -> str:
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def _mail(notice: Notice) -> None:
    mail: Mail = settings.CDC_MAIL
    message = EmailMessage()
    listener, summary = _one_line(notice.listener), _one_line(notice.summary)
    message["Subject"] = f"[{notice.state}] {listener}: {summary}"
    message["From"], message["To"] = mail.sender, ", ".join(mail.to)
    message["Date"] = formatdate()
    message.set_content("\n\n".join(_lines(notice)))
    try:
        with _mail_server(mail) as server:
            refused = server.send_message(message)
    except (smtplib.SMTPException, OSError, ValueError) as error:
        # The error text of the server may repeat what was sent to it.
        raise NotSent(
            f"the mail server did not accept the message ({type(error).__name__})"
        ) from None
    if refused:
        log.warning("mail refused for some recipients", refused=sorted(refused))


def _one_line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 120 else f"{line[:120]}…"


def _mail_server(mail: Mail) -> smtplib.SMTP:
    """Return a connected SMTP client, logged in if a user is set."""
    context = ssl.create_default_context()
    server = (
        smtplib.SMTP_SSL(mail.host, mail.port, timeout=MAIL_TIMEOUT, context=context)
        if mail.tls
        else smtplib.SMTP(mail.host, mail.port, timeout=MAIL_TIMEOUT)
    )
    try:
        if mail.starttls:
            server.starttls(context=context)
        if mail.user:
            server.login(mail.user, mail.password)
    except BaseException:
        server.close()
        raise
    return server


def _lines(notice: Notice) -> list[str]:
    parts = [
        ("", notice.summary),
        ("Closed: ", notice.note if notice.state == "closed" else ""),
        ("Action taken: ", notice.action if notice.state == "open" else ""),
        ("What to do: ", notice.remedy if notice.state == "open" else ""),
        ("Open since: ", notice.opened_at),
        ("", notice.url),
    ]
    return [f"{name}{text}" for name, text in parts if text]


def _post(notice: Notice) -> None:
    """Send to the webhook of the settings. The body of its response is not read."""
    body = json.dumps(asdict(notice)).encode()
    headers = {"Content-Type": "application/json"}
    if settings.CDC_INCIDENT_WEBHOOK_SECRET:
        headers[SIGNATURE] = signature(body, settings.CDC_INCIDENT_WEBHOOK_SECRET)
    url = settings.CDC_INCIDENT_WEBHOOK
    try:
        answer = egress.post(url, body, headers, seconds=WEBHOOK_SECONDS, within=ANYWHERE)
    except egress.NotAnswered as error:
        raise NotSent(str(error)) from None
    if not 200 <= answer.status_code < 300:
        raise NotSent(f"{urlsplit(url).hostname} answered HTTP {answer.status_code}")


def _iso(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")
