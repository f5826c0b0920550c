"""Independent clients for Node.js work against the simulator, unmodified."""

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.peer.conftest import node_modules
from tests.simulator.certificates import Authority
from tests.simulator.process import SimulatorProcess

pytestmark = pytest.mark.anywhere

CLIENTS = Path(__file__).with_name("clients")
SECONDS = 500
Run = Callable[..., Any]


@pytest.fixture(scope="session")
def client_modules(pytestconfig: pytest.Config) -> Path:
    """The clients' node modules, such as jsforce, installed once for their versions."""
    return node_modules(pytestconfig, CLIENTS)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The authority that signs the simulator's certificate."""
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def secure_org(authority: Authority) -> Iterator[SimulatorProcess]:
    """A simulator with all of its APIs over TLS, as these clients require."""
    server = authority.issue("server")
    options = ("--tls-cert", str(server.cert), "--tls-key", str(server.key))
    with SimulatorProcess(
        *options, "--connect-timeout", "2", ca=authority.cert, grpc=True
    ) as process:
        yield process


@pytest.fixture
def run(
    client_modules: Path, authority: Authority, secure_org: SimulatorProcess, tmp_path: Path
) -> Run:
    """Runs a program of `clients/` against the simulator, and returns its result."""

    def run_program(name: str, **options: Any) -> Any:
        told = {"url": secure_org.url, **secure_org.credentials, **options}
        done = subprocess.run(
            ["node", str(CLIENTS / name), json.dumps(told)],
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(tmp_path),
                "NODE_PATH": str(client_modules),
                "NODE_EXTRA_CA_CERTS": str(authority.cert),
                # Files that @salesforce/core would write beside its settings.
                "SF_DISABLE_LOG_FILE": "true",
                "SF_DISABLE_TELEMETRY": "true",
                "SF_USE_GENERIC_UNIX_KEYCHAIN": "true",
            },
            capture_output=True,
            check=False,
            text=True,
            timeout=SECONDS,
        )
        assert not done.returncode, done.stderr
        return json.loads(done.stdout)

    return run_program


def user(org: SimulatorProcess) -> dict[str, str]:
    known = org.credentials
    return {"username": known["username"], "organizationId": known["org_id"]}


def test_jsforce_logs_in_by_each_flow_and_out_again(secure_org: SimulatorProcess, run: Run) -> None:
    found = run("jsforce_logins.js")

    assert found.pop("refused") == "invalid_client: invalid client credentials"
    flows = ("soap", "password", "clientCredentials", "jwt", "refreshToken")
    assert found == dict.fromkeys(flows, user(secure_org))


def test_jsforce_reads_and_writes_records(run: Run) -> None:
    found = run("jsforce_records.js")

    record_id = found["read"]["Id"]
    assert (found["read"]["Phone"], found["read"]["BillingAddress"]["city"]) == ("1", "Kyoto")
    assert [row["Id"] for row in found["query"]["records"]] == [record_id]
    assert [row["Id"] for row in found["find"]] == [record_id]
    assert [one["success"] for one in found["upserts"]] == [True] * 4
    assert [one["created"] for one in found["upserts"]] == [True, False, False, True]
    assert [one["success"] for one in found["created"]] == [True, True, False]
    assert found["created"][2]["errors"][0]["statusCode"] == "REQUIRED_FIELD_MISSING"
    assert [row["Name"] for row in found["retrieved"]] == ["A", "B"]
    ids = [one["id"] for one in found["created"][:2]]
    for done in ("updated", "destroyed"):
        assert [(one["id"], one["success"]) for one in found[done]] == [(one, True) for one in ids]
    assert not any(one.get("success") for one in found["allOrNone"])
    assert {record_id} <= set(found["updatedIds"])
    assert set(ids) <= set(found["deletedIds"])
    assert {"Account", "Employee__c", "AccountChangeEvent", "User"} <= set(found["objects"])
    assert {"Name", "BillingCity", "External_Id__c"} <= set(found["fields"])
    assert found["limits"]["DailyApiRequests"]["Max"] == 100_000
    assert found["recent"] == []
    assert found["channels"]["totalSize"] > 0
    statuses = [one["httpStatusCode"] for one in found["composite"]["compositeResponse"]]
    assert statuses == [201, 201]
    assert (found["missing"], found["unknown"]) == ("ENTITY_IS_DELETED", "NOT_FOUND")


def test_jsforce_reads_with_query_jobs(secure_org: SimulatorProcess, run: Run) -> None:
    names = ["One", 'Two "quoted",\nand more', "Gone"]
    ids = secure_org.create("Account", *({"Name": name, "Phone": "bulk"} for name in names))
    secure_org.delete("Account", ids[2])
    query = "SELECT Id, Name, Website FROM Account WHERE Phone = 'bulk'"

    found = run("jsforce_bulk.js", query=query)

    rows = [
        {"Id": record_id, "Name": name, "Website": ""}
        for record_id, name in zip(ids, names, strict=True)
    ]
    assert found["live"] == rows[:2]
    assert found["every"] == rows
    assert "Aggregate functions are not supported" in found["refused"]
    assert (found["info"]["state"], found["info"]["numberRecordsProcessed"]) == ("JobComplete", 2)
    assert (found["deleted"], found["aborted"]) == ("NOT_FOUND", "Aborted")
    assert {"multipicklist", "time", "location", "anyType"} <= set(found["types"])


def test_jsforce_streams_change_events(run: Run) -> None:
    found = run("jsforce_streaming.js")

    for events in (found["now"], found["replayed"]):
        headers = [event["payload"]["ChangeEventHeader"] for event in events]
        assert [header["changeType"] for header in headers] == ["CREATE", "UPDATE"]
        assert {header["recordIds"][0] for header in headers} == {found["id"]}
    numbers = [[event["event"]["replayId"] for event in found[one]] for one in ("now", "replayed")]
    assert numbers[0] == numbers[1]


def test_salesforce_core_logs_in_and_works(secure_org: SimulatorProcess, run: Run) -> None:
    found = run("salesforce_core.js")

    for flow in ("jwt", "refreshToken", "accessToken"):
        assert found[flow]["username"] == secure_org.credentials["username"]
        assert found[flow]["version"] == "67.0"
        assert found[flow]["organization"] == "Simulator"
    for flow in ("jwt", "refreshToken"):
        assert found[flow]["orgId"] == secure_org.credentials["org_id"]
        assert found[flow]["edition"] == "Developer Edition"
        assert found[flow]["isDevHub"] is False
    assert found["record"]["Name"] == "From core"
    assert (
        found["member"]["FullName"]
        == "ChangeEvents_" + (found["member"]["Metadata"]["selectedEntity"])
    )
    assert found["event"]["payload"]["ChangeEventHeader"]["changeType"] == "CREATE"
    assert found["afterRefresh"] > 0


def test_pubsub_api_client_subscribes_and_commits(secure_org: SimulatorProcess, run: Run) -> None:
    secure_org.managed_subscription("Orders", "/data/ChangeEvents", replay="earliest")
    [record_id] = secure_org.create(
        "Account", Name="Acme", BillingAddress={"City": "Paris", "Latitude": 48.85}
    )
    secure_org.update("Account", record_id, Phone=None, Industry="Energy")
    told = secure_org.state()["events"]

    found = run("pubsub_api_client.mjs", count=len(told), subscription="Orders")

    replay_ids = [event["replay_id"] for event in told]
    for events in found["logins"].values():
        assert [event["replayId"] for event in events] == replay_ids
        headers = [event["payload"]["ChangeEventHeader"] for event in events]
        assert [int(header["commitNumber"]) for header in headers] == [
            event["header"]["commitNumber"] for event in told
        ]
        assert headers[-1]["changedFields"] == ["Industry", "LastModifiedDate"]
    assert set(found["logins"]) == {
        "username-password",
        "oauth-client-credentials",
        "oauth-jwt-bearer",
    }
    assert found["afterFirst"] == replay_ids[1:]
    assert found["managed"]["info"]["subscriptionName"] == "Orders"
    assert found["managed"]["replayIds"] == replay_ids[:2]
    assert found["committed"] == replay_ids[0]
    secure_org.wait_for(lambda state: not state["pubsub"]["managed_subscriptions"][0]["active"])
    resumed = run("pubsub_api_client.mjs", subscription="Orders", resume=True)
    assert resumed == replay_ids[1]
    [subscription] = secure_org.state(events=0, records=0)["pubsub"]["managed_subscriptions"]
    assert subscription["committed"] == replay_ids[0]
