"""A simulated org on another project's gRPC and Avro libraries."""

import base64
from dataclasses import dataclass
from typing import Any

from tests.peer.payloads import Payload
from tests.peer.process import NodeOrg


@dataclass(frozen=True)
class Spoilt:
    """An event with these bytes in place of its payload, or with an invalid schema id."""

    entity: str
    content: bytes
    schema_id: str = ""


class PubSubPeer(NodeOrg):
    """A peer of the Pub/Sub API. Its log also has the `calls` in order, and the commits of managed
    subscriptions.

    Options: `keepAlive` is the silence before a keep-alive, `subscriptions` the channels of managed
    subscriptions by their developer names.
    """

    script = "pubsub_peer.js"
    last_replay_id = ""

    def _started(self, announced: dict[str, int]) -> None:
        super()._started(announced)
        self.endpoint = f"http://127.0.0.1:{announced['grpc_port']}"

    # What happens in the org

    def define(self, **schemas: dict[str, Any]) -> None:
        """Set the Avro schema of each entity's events."""
        for entity, definition in schemas.items():
            self._post("schema", entity=entity, definition=definition)

    def publish(self, *events: Payload | Spoilt) -> list[str]:
        """Commit and send events in order, and return their replay ids in stored form.

        Payloads are given as the Streaming API shows them, with `changedFields`, `nulledFields`
        and `diffFields` as names.
        """
        given = [_spoilt(one) if isinstance(one, Spoilt) else _sound(one) for one in events]
        replay_ids = [f"0x{hex_}" for hex_ in self._post("publish", events=given)["replay_ids"]]
        self.last_replay_id = replay_ids[-1]
        return replay_ids

    # Faults

    def refuse(self, kind: str, times: int = 1, *, method: str = "Subscribe") -> None:
        """Refuse calls as `unavailable`, `quota`, `protection`, `unauthorized` or `network`."""
        self._post("fault", kind=f"{kind}-{method}", times=times)

    def end_streams(self, kind: str) -> None:
        """End the running streams for the same reasons, or with a `reset` without an error."""
        self._post("end", kind=kind)

    def revoke_tokens(self) -> None:
        """Refuse every token given so far, also on running streams."""
        self._post("revoke")

    def cut(self) -> None:
        """Reset every connection."""
        self._post("cut")

    def stall(self) -> None:
        """Keep every connection open, and send nothing more on it."""
        self._post("stall")

    def replays(self) -> list[tuple[str, str]]:
        """Return preset and stored replay id of the granted subscriptions."""
        return [
            (call["preset"], call["replay_id"] and f"0x{call['replay_id']}")
            for call in self.log()["calls"]
            if call["method"] == "Subscribe" and call["admitted"]
        ]

    def committed(self, subscription: str) -> list[str]:
        """Return the committed replay ids in stored form, in order."""
        return [f"0x{hex_}" for hex_ in self.log()["commits"][subscription]]


def _sound(payload: Payload) -> dict[str, Any]:
    header = payload["ChangeEventHeader"]
    # As text, so that JavaScript keeps its digits.
    header = {**header, "commitNumber": str(header["commitNumber"])}
    return {"entity": header["entityName"], "payload": {**payload, "ChangeEventHeader": header}}


def _spoilt(event: Spoilt) -> dict[str, Any]:
    return {
        "entity": event.entity,
        "bytes": base64.b64encode(event.content).decode(),
        "schemaId": event.schema_id,
    }
