"""A minimal CometD client: one channel, no recovery, no checks."""

from __future__ import annotations

import json
from typing import Any

import requests

_PATH = "/cometd/62.0"
_REQUEST_SECONDS = 120


def log_in(url: str, client_id: str, client_secret: str) -> dict[str, Any]:
    """Log in with client credentials, and return the token endpoint's answer."""
    form = {"client_id": client_id, "client_secret": client_secret}
    answer = requests.post(
        f"{url}/services/oauth2/token",
        data={"grant_type": "client_credentials", **form},
        timeout=_REQUEST_SECONDS,
    )
    answer.raise_for_status()
    token: dict[str, Any] = answer.json()
    return token


class BareClient:
    """One session with one channel, from the earliest event on."""

    def __init__(self, token: dict[str, Any], channel: str) -> None:
        self._url = token["instance_url"] + _PATH
        self._channel = channel
        self._client_id = ""
        self._http = requests.Session()
        self._http.headers["Authorization"] = f"Bearer {token['access_token']}"

    def subscribe(self) -> None:
        [shaken] = self._ask(
            {
                "channel": "/meta/handshake",
                "version": "1.0",
                "supportedConnectionTypes": ["long-polling"],
                "ext": {"replay": True},
            }
        )
        self._client_id = shaken["clientId"]
        self.poll()
        subscription = {"subscription": self._channel, "ext": {"replay": {self._channel: -2}}}
        [answer] = self._ask(
            {"channel": "/meta/subscribe", "clientId": self._client_id, **subscription}
        )
        if not answer["successful"]:
            raise RuntimeError(f"not subscribed: {answer}")

    def poll(self) -> list[dict[str, Any]]:
        """Poll once, and return the answer's events."""
        return [message for message in json.loads(self.poll_bytes()) if "data" in message]

    def poll_bytes(self) -> bytes:
        """Poll once, and return the answer's body."""
        connect = {"channel": "/meta/connect", "connectionType": "long-polling"}
        return self._post({**connect, "clientId": self._client_id})

    def _ask(self, message: dict[str, Any]) -> list[dict[str, Any]]:
        answers: list[dict[str, Any]] = json.loads(self._post(message))
        return answers

    def _post(self, message: dict[str, Any]) -> bytes:
        answer = self._http.post(self._url, json=[message], timeout=_REQUEST_SECONDS)
        answer.raise_for_status()
        return answer.content
