"""Bayeux messages and token answers, written from the protocol's documentation."""

from __future__ import annotations

from typing import Any

CHANNEL = "/data/ChangeEvents"
CLIENT_ID = "3ll1jkeest5ommhf1cfv2wbgmz1et"
CONNECT = "/meta/connect"
HANDSHAKE = "/meta/handshake"
SUBSCRIBE = "/meta/subscribe"


def accepted(channel: str, **more: Any) -> dict[str, Any]:
    return {"channel": channel, "clientId": CLIENT_ID, "successful": True, **more}


def refused(
    channel: str, error: str, reason: str | None = None, reconnect: str | None = None
) -> dict[str, Any]:
    message: dict[str, Any] = {"channel": channel, "error": error, "successful": False}
    if reason is not None:
        message["ext"] = {"sfdc": {"failureReason": reason}}
    if reconnect is not None:
        message["advice"] = {"reconnect": reconnect, "interval": 0}
    return message


def change(replay_id: int, channel: str = CHANNEL, **fields: Any) -> dict[str, Any]:
    header = {
        "entityName": "Account",
        "recordIds": [f"001{replay_id:015d}"],
        "changeType": "UPDATE",
        "transactionKey": f"0001ae4b-{replay_id}",
        "sequenceNumber": 1,
        "commitTimestamp": 1712694387000,
    }
    payload = {"ChangeEventHeader": header, "Name": "Acme", **fields}
    return {
        "channel": channel,
        "data": {"schema": "x", "payload": payload, "event": {"replayId": replay_id}},
    }


def token_answer(instance_url: str, access_token: str, **more: Any) -> dict[str, Any]:
    return {
        "access_token": access_token,
        "instance_url": instance_url,
        "id": "https://login.salesforce.com/id/00D000000000001EAA/005000000000001AAA",
        "token_type": "Bearer",
        "issued_at": "1712694387000",
        "signature": "c2lnbmF0dXJl",
        "scope": "api",
        **more,
    }
