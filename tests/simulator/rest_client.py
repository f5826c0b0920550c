"""A client of the REST API that returns the answers unchanged."""

from typing import Any

import requests

from tests.servers import PATIENCE_SECONDS
from tests.simulator.process import SimulatorProcess

VERSION = "61.0"


class RestClient:
    """Sends requests below `/services/data/v61.0/` with a token."""

    def __init__(self, org: SimulatorProcess) -> None:
        self._org = org
        self.token = self.log_in()

    def log_in(self, **form: str) -> str:
        """Log in by client credentials, or by another grant, and return the access token."""
        names = ("client_id", "client_secret")
        data = {"grant_type": "client_credentials", **self._of_the_app(*names), **form}
        answer = self._org.http.post(f"{self._org.url}/services/oauth2/token", data=data)
        token: str = answer.json()["access_token"]
        return token

    def _of_the_app(self, *names: str) -> dict[str, str]:
        return {name: self._org.credentials[name] for name in names}

    def send(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        version: str = VERSION,
        token: str | None = None,
        **query: str,
    ) -> requests.Response:
        """Send a request for a resource, or for an absolute path."""
        url = path if path.startswith("/") else f"/services/data/v{version}/{path}"
        headers = {"Authorization": f"Bearer {self.token if token is None else token}"}
        return self._org.http.request(
            method,
            f"{self._org.url}{url}",
            json=body,
            params=query,
            headers=headers,
            timeout=PATIENCE_SECONDS,
        )
