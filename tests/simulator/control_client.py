"""The simulator's control API as methods."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import requests

from tests.servers import PATIENCE_SECONDS


class ControlClient:
    """Drives a simulator whose address is `url`.

    Methods that create events return the control API's answer, except `create`, which returns ids.
    """

    def __init__(self, ca: Path | None, client_cert: tuple[Path, Path] | None) -> None:
        self.url = ""
        self.http = requests.Session()
        self.http.trust_env = False  # REQUESTS_CA_BUNDLE would win over `ca`
        self.http.verify = str(ca) if ca else True
        self.http.cert = (str(client_cert[0]), str(client_cert[1])) if client_cert else None

    def create(self, entity: str, *records: dict[str, Any], **fields: Any) -> list[str]:
        """Create a record from keywords, or several from dicts, in one transaction; return the
        ids."""
        body = {"op": "create", "entity": entity, "records": list(records) or [fields]}
        record_ids: list[str] = self.change(body)["record_ids"]
        return record_ids

    def update(self, entity: str, record_ids: str | list[str], **fields: Any) -> dict[str, Any]:
        """Set the same fields on records, None to clear; the same change on N is one event."""
        ids = _listed(record_ids)
        return self.change({"op": "update", "entity": entity, "record_ids": ids, "fields": fields})

    def delete(self, entity: str, record_ids: str | list[str]) -> dict[str, Any]:
        """Delete records."""
        ids = _listed(record_ids)
        return self.change({"op": "delete", "entity": entity, "record_ids": ids})

    def undelete(self, entity: str, record_ids: str | list[str]) -> dict[str, Any]:
        """Restore records from the Recycle Bin."""
        ids = _listed(record_ids)
        return self.change({"op": "undelete", "entity": entity, "record_ids": ids})

    def hard_delete(self, entity: str, record_ids: str | list[str]) -> dict[str, Any]:
        """Remove live or deleted records permanently; the org sends no event for it."""
        ids = _listed(record_ids)
        return self.change({"op": "hard_delete", "entity": entity, "record_ids": ids})

    def records(self, entity: str) -> Iterator[dict[str, Any]]:
        """Yield every record of the store: `id`, `deleted` and `fields`, as REST would show
        them."""
        url = f"{self.url}/_simulator/records"
        with self.http.get(url, params={"entity": entity}, stream=True, timeout=60) as response:
            response.raise_for_status()
            yield from map(json.loads, response.iter_lines())

    def gap(
        self,
        change_type: str,
        entity: str,
        record_ids: str | list[str],
        *,
        apply: bool = False,
        **fields: Any,
    ) -> dict[str, Any]:
        """Send a GAP_… event; with `apply`, also make the change (with `fields`) to the records."""
        body = {"op": "gap", "entity": entity, "change_type": change_type, "apply": apply}
        return self.change({**body, "record_ids": _listed(record_ids), "fields": fields})

    def overflow(self, entity: str) -> dict[str, Any]:
        """Send a GAP_OVERFLOW event."""
        return self.change({"op": "overflow", "entity": entity})

    def wildcard(self, entity: str, change_type: str = "UPDATE") -> dict[str, Any]:
        """Send an event whose recordIds are `001*`."""
        return self.change({"op": "wildcard", "entity": entity, "change_type": change_type})

    def merge(self, entity: str, kept: str, *merged: str, **options: Any) -> dict[str, Any]:
        """Merge records into one; `fields` and `child_events` are options."""
        body = {"op": "merge", "entity": entity, "record_id": kept, "merged_ids": list(merged)}
        return self.change({**body, **options})

    def change(self, *changes: dict[str, Any], **writer: Any) -> dict[str, Any]:
        """Commit changes as one transaction; `writer` may set `api`, `client` and `user`, and
        `seconds_before_commit` the time of the records' stamps."""
        return self.post("changes", changes=list(changes), **writer)

    def raw(
        self,
        header: dict[str, Any],
        *,
        complete: bool = False,
        avro_payload: str | None = None,
        schema_id: str = "",
        **fields: Any,
    ) -> dict[str, Any]:
        """Send an event with this header as it is; with `complete`, missing parts are filled in.

        Pub/Sub sends `avro_payload` (base64) and `schema_id` in place of its own.
        """
        own = {} if avro_payload is None else {"avro_payload": avro_payload}
        body = {"header": header, "fields": fields, "complete": complete, "schema_id": schema_id}
        return self.post("events", **body, **own)

    def raw_payload(self, payload: dict[str, Any], entity: str = "") -> dict[str, Any]:
        """Log and send an event with this payload, header or not."""
        return self.post("events", payload=payload, entity=entity)

    def inject(self, channel: str, message: dict[str, Any]) -> int:
        """Send a message to the present subscribers of a channel, and return their number."""
        sessions: int = self.post("messages", channel=channel, message=message)["sessions"]
        return sessions

    def duplicate(self, replay_id: int) -> dict[str, Any]:
        """Deliver a retained event once more."""
        return self.post("duplicates", replay_id=replay_id)

    def burst(self, count: int, **options: Any) -> dict[str, Any]:
        """Generate events at once; `mix` and `entities` may set weights, `quiet` shortens the
        answer."""
        return self.post("bursts", count=count, **options)

    def traffic(self, rate: float, count: int | None = None) -> dict[str, Any]:
        """Generate events at a rate from now on; a rate of 0 stops it."""
        return self.post("traffic", rate=rate, count=count)

    def fault(self, kind: str, **options: Any) -> dict[str, Any]:
        """Add a fault of a kind in `simulator.faults`; `times=None` keeps it until it is
        cleared."""
        return self.post("faults", kind=kind, **options)

    def clear_faults(self) -> None:
        """Remove the pending faults."""
        self._checked(self.http.delete(f"{self.url}/_simulator/faults", timeout=PATIENCE_SECONDS))

    def entity(self, name: str, **options: Any) -> dict[str, Any]:
        """Make an entity, or change whether it is `selected` or `visible`."""
        return self.post("entities", name=name, **options)

    def field_type(self, entity: str, field: str, kind: str) -> dict[str, Any]:
        """Change the type of a field of all records."""
        return self.post("field-types", entity=entity, field=field, type=kind)

    def channel(self, name: str, *entities: str, **members: Any) -> str:
        """Make a custom channel `X__chn`, and return its path; `enriched_fields` and `filters` are
        options."""
        body = {"name": name, "entities": list(entities), **members}
        path: str = self.post("channels", **body)["channel"]
        return path

    def managed_subscription(self, name: str, topic: str = "", **options: str) -> dict[str, Any]:
        """Make or change a managed subscription (`replay`, `state`), and return it."""
        named = {"topic": topic} if topic else {}
        return self.post("managed-subscriptions", name=name, **named, **options)

    def restart_pubsub(self, seconds: float = 0) -> None:
        """Close every connection of the Pub/Sub API, and its port for `seconds`."""
        self.post("pubsub-restart", seconds=seconds)

    def pubsub_calls(self, since: int = 0) -> list[dict[str, Any]]:
        """Return the calls of the Pub/Sub API since the time `since`."""
        found: list[dict[str, Any]] = self._seen("pubsub-calls", since)["calls"]
        return found

    def advance(self, seconds: float) -> None:
        """Move the org's clock ahead: tokens, idle sessions and events age at once."""
        self.post("clock", advance_seconds=seconds)

    def new_refresh_token(self) -> str:
        """Authorize again after rotation has revoked all tokens, and return the refresh token."""
        token: str = self.post("refresh-token")["refresh_token"]
        return token

    def unlock(self) -> None:
        """Let the user in again, after `--lock-after` wrong passwords."""
        self.post("unlock")

    def access(self, **permissions: bool) -> None:
        """Give or take the user's permissions `api_enabled` and `view_setup`."""
        self.post("access", **permissions)

    def token_requests(self, since: int = 0) -> list[dict[str, Any]]:
        """Return the requests to the token endpoint and SOAP logins since the time `since`."""
        found: list[dict[str, Any]] = self._seen("token-requests", since)["token_requests"]
        return found

    def api_requests(self, since: int = 0) -> list[dict[str, Any]]:
        """Return the requests to the Streaming and the REST API since the time `since`."""
        found: list[dict[str, Any]] = self._seen("requests", since)["requests"]
        return found

    def forget_requests(self) -> None:
        """Empty the logs, and reset the counts of refreshes and reuses."""
        for log in ("requests", "token-requests", "pubsub-calls"):
            self._checked(
                self.http.delete(f"{self.url}/_simulator/{log}", timeout=PATIENCE_SECONDS)
            )

    def _seen(self, log: str, since: int) -> dict[str, Any]:
        url = f"{self.url}/_simulator/{log}"
        return self._checked(self.http.get(url, params={"since": since}, timeout=PATIENCE_SECONDS))

    def state(self, *, events: int | None = None, records: int | None = None) -> dict[str, Any]:
        """Return records, events, sessions, token requests and faults; the arguments limit the
        lists."""
        limits = {"events": events, "records": records}
        return self._checked(
            self.http.get(f"{self.url}/_simulator/state", params=limits, timeout=PATIENCE_SECONDS)
        )

    def wait_for(
        self, condition: Callable[[dict[str, Any]], bool], seconds: float = PATIENCE_SECONDS
    ) -> dict[str, Any]:
        """Return the first state, without events and records, for which the condition holds."""
        deadline = time.monotonic() + seconds
        while not condition(state := self.state(events=0, records=0)):
            if time.monotonic() > deadline:
                raise TimeoutError(f"the simulator did not come to that state: {state}")
            time.sleep(0.01)
        return state

    def wait_until_held(self) -> None:
        """Wait until a client's long poll is held."""
        self.wait_for(lambda state: any(session["held"] for session in state["sessions"]))

    def wait_until_no_streams(self) -> None:
        """Wait until no client has a stream of the Pub/Sub API."""
        self.wait_for(lambda state: not state["pubsub"]["streams"])

    def post(self, action: str, **body: Any) -> dict[str, Any]:
        """Send a request to the control API. Raises ValueError with its error message."""
        return self._checked(
            self.http.post(f"{self.url}/_simulator/{action}", json=body, timeout=PATIENCE_SECONDS)
        )

    def _checked(self, response: requests.Response) -> dict[str, Any]:
        if response.status_code == 400:
            raise ValueError(response.json()["error"])
        response.raise_for_status()
        answer: dict[str, Any] = response.json()
        return answer


def _listed(record_ids: str | list[str]) -> list[str]:
    return [record_ids] if isinstance(record_ids, str) else record_ids
