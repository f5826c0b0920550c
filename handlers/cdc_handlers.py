"""The built-in handlers, registered with `@cdc_handler` like any other."""

import hashlib
import hmac
import json
import time
from typing import Any

import structlog

from handlers import EventData, Retry, cdc_handler
from listeners.egress import post, url_flaw
from listeners.secrets import reference_rules
from listeners.secrets.encrypted_field import REFERENCES, Secret

log = structlog.get_logger("handlers.log_change")

DEFAULT_TIMEOUT = 10.0


@cdc_handler(name="handlers.log_change")
def log_change(event: EventData) -> None:
    """Log the change: what happened to which record, and the names of its fields."""
    log.info(
        "change",
        id=event.id,
        listener=event.listener,
        entity=event.metadata.entity_name,
        change=event.metadata.change_type,
        record=event.metadata.record_id,
        fields=sorted(event.changed_data),
        commit_timestamp=event.metadata.commit_timestamp,
        attempt=event.attempt,
    )


def check_post_options(options: dict[str, Any]) -> None:
    """Raise ValueError unless `url` is set, `secret` is a reference and `timeout` is above 0."""
    unknown = set(options) - {"url", "secret", "timeout"}
    if unknown:
        raise ValueError(f"unknown option {', '.join(sorted(unknown))}; use url, secret, timeout")
    if not str(options.get("url", "")).startswith(("http://", "https://")):
        raise ValueError("url is needed and begins with https:// or http://")
    if refused := url_flaw(str(options["url"])):
        raise ValueError(f"url: {refused}")
    if "secret" in options and not str(options["secret"]).startswith(REFERENCES):
        raise ValueError("secret must be a reference, env:NAME or file:PATH")
    if refused := reference_rules.flaw(str(options.get("secret", ""))):
        raise ValueError(f"secret: {refused}")
    timeout = options.get("timeout", DEFAULT_TIMEOUT)
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not timeout > 0:
        raise ValueError("timeout must be a number of seconds above 0")


@cdc_handler(name="handlers.post_to_url", check_options=check_post_options)
def post_to_url(event: EventData) -> None:
    """POST the change to a URL as JSON, signed with HMAC-SHA256.

    Options: `url`, `secret` (env:NAME or file:PATH; without it the request is not signed),
    `timeout` (seconds for the whole request, default 10). Only the response's status is used; its
    body is not read. Headers: `Cdc-Event-Id` (the same for every attempt), `Cdc-Timestamp`
    (seconds since 1970) and `Cdc-Signature: sha256=HEX`, the HMAC of `<timestamp>.<body>`.
    """
    check_post_options(event.options)
    body = json.dumps(event.to_dict(), ensure_ascii=False).encode()
    headers = {"Content-Type": "application/json", **_signed(event, body)}
    seconds = event.options.get("timeout", DEFAULT_TIMEOUT)
    answer = post(event.options["url"], body, headers, seconds=seconds)
    status, retry_after = answer.status_code, answer.headers.get("Retry-After", "")
    if status in (429, 503) and retry_after.isdecimal():
        raise Retry(f"the server answered {status}", after=min(int(retry_after[:9]), 3600))
    if not 200 <= status < 300:
        raise RuntimeError(f"the server answered {status} {answer.reason}")


def _signed(event: EventData, body: bytes) -> dict[str, str]:
    timestamp = str(int(time.time()))
    headers = {"Cdc-Event-Id": str(event.id), "Cdc-Timestamp": timestamp}
    if "secret" in event.options:
        key = Secret.of(event.options["secret"]).reveal().encode()
        signature = hmac.new(key, f"{timestamp}.".encode() + body, hashlib.sha256)
        headers["Cdc-Signature"] = f"sha256={signature.hexdigest()}"
    return headers
