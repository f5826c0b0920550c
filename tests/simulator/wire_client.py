"""A minimal Bayeux client that sends what a test gives it, and returns the answers unchanged."""

from types import TracebackType
from typing import Any, Self

import requests

from tests.servers import PATIENCE_SECONDS
from tests.simulator.process import SimulatorProcess

ALL = "/data/ChangeEvents"


class WireClient:
    """An HTTP session with its cookies and a token."""

    def __init__(self, org: SimulatorProcess, version: str = "60.0") -> None:
        self.http = requests.Session()
        self.url = org.url
        self.credentials = org.credentials
        self.version = version
        self.token = ""
        self.client_id = ""
        self._sent = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.http.close()

    def token_request(self, **form: str) -> requests.Response:
        """Send a token request with the client's id and secret, without empty parameters."""
        usual = {name: self.credentials[name] for name in ("client_id", "client_secret")}
        data = {name: value for name, value in {**usual, **form}.items() if value}
        return self.http.post(
            f"{self.url}/services/oauth2/token", data=data, timeout=PATIENCE_SECONDS
        )

    def log_in(self) -> Self:
        """Log in by client credentials, and use the token."""
        self.token = self.token_request(grant_type="client_credentials").json()["access_token"]
        return self

    def get(self, path: str, **params: str) -> requests.Response:
        """Send a REST request."""
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        return self.http.get(
            f"{self.url}{path}", params=params, headers=headers, timeout=PATIENCE_SECONDS
        )

    def post(self, messages: Any, path: str = "") -> requests.Response:
        """Send a Bayeux request as it is given."""
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        url = self.url + (path or f"/cometd/{self.version}")
        return self.http.post(url, json=messages, headers=headers, timeout=PATIENCE_SECONDS)

    def send(self, channel: str, **fields: Any) -> list[dict[str, Any]]:
        """Send one message, and return the answers."""
        self._sent += 1
        message = {"channel": channel, "id": str(self._sent), **fields}
        if self.client_id:
            message.setdefault("clientId", self.client_id)
        answers: list[dict[str, Any]] = self.post([message]).json()
        return answers

    def handshake(self, **fields: Any) -> dict[str, Any]:
        """Send a handshake, and keep the clientId."""
        self.client_id = ""
        message = {
            "version": "1.0",
            "supportedConnectionTypes": ["long-polling"],
            "ext": {"replay": True},
            **fields,
        }
        [answer] = self.send("/meta/handshake", **message)
        self.client_id = answer.get("clientId", "")
        return answer

    def connect(self, **fields: Any) -> list[dict[str, Any]]:
        """Send a connect, and return events and acknowledgement."""
        return self.send("/meta/connect", **{"connectionType": "long-polling", **fields})

    def subscribe(self, channel: str = ALL, replay: Any = -1) -> dict[str, Any]:
        """Send a subscription with a position."""
        [answer] = self.send(
            "/meta/subscribe", subscription=channel, ext={"replay": {channel: replay}}
        )
        return answer

    def start(self, channel: str = ALL, replay: Any = -1) -> Self:
        """Log in, handshake, first connect, subscribe."""
        self.log_in()
        self.handshake()
        self.connect()
        answer = self.subscribe(channel, replay)
        assert answer["successful"], answer
        return self

    def receive(self) -> list[dict[str, Any]]:
        """Return the `data` of the messages that the next connect brings."""
        return [answer["data"] for answer in self.connect() if "data" in answer]
