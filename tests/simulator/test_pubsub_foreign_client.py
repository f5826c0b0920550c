"""grpc-js and avsc, independent libraries, understand the simulator with Salesforce's own proto
file."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.servers import PATIENCE_SECONDS
from tests.simulator.process import SimulatorProcess
from tests.simulator.pubsub_client import ALL, PubSubClient

pytestmark = pytest.mark.anywhere

READER = Path(__file__).with_name("pubsub_reader.js")


def read(org: SimulatorProcess, modules: Path, count: int) -> list[dict[str, Any]]:
    """Return the first events of all entities, as the reader program prints them."""
    with PubSubClient(org) as client:
        options = {
            "endpoint": org.grpc_endpoint.removeprefix("http://"),
            "metadata": client.metadata,
            "topic": ALL,
            "count": count,
        }
        done = subprocess.run(
            ["node", str(READER), json.dumps(options)],
            env={**os.environ, "NODE_PATH": str(modules)},
            capture_output=True,
            check=False,
            text=True,
            timeout=PATIENCE_SECONDS,
        )
    assert not done.returncode, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_every_kind_of_change_is_read(peer_modules: Path) -> None:
    with SimulatorProcess(grpc=True) as org:
        address = {"Street": "S", "City": "C", "Latitude": 1.5}
        first, second = org.create(
            "Account", {"Name": "A", "BillingAddress": address}, {"Name": "B"}
        )
        org.update("Account", [first, second], Phone="1", New__c=2.5)
        org.update("Account", first, BillingAddress={"City": None}, New__c="text")
        org.create("Contact", Name={"LastName": "L"}, Birthdate="1990-05-01")
        org.delete("Account", first)
        org.undelete("Account", first)
        org.gap("GAP_UPDATE", "Account", first)
        org.overflow("Account")
        org.wildcard("Account")
        told = org.state()["events"]

        events = read(org, peer_modules, len(told))

    assert [int(event["replayId"][:16], 16) for event in events] == [
        event["replay_id"] for event in told
    ]
    payloads = [event["payload"] for event in events]
    headers = [payload["ChangeEventHeader"] for payload in payloads]
    for header, event in zip(headers, told, strict=True):
        for name in ("changeType", "recordIds", "transactionKey", "sequenceNumber"):
            assert header[name] == event["header"][name]
        assert int(header["commitNumber"]) == event["header"]["commitNumber"] > 2**53
    assert payloads[0]["BillingAddress"]["Latitude"] == 1.5
    assert (payloads[2]["Phone"], payloads[2]["New__c"]) == ("1", 2.5)
    assert payloads[3]["New__c"] == "text"
    assert headers[3]["nulledFields"] == ["6-0x02"]
    assert payloads[4]["Name"]["LastName"] == "L"
    assert payloads[4]["Birthdate"] == 641_520_000_000
