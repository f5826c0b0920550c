"""The simulator's events and answers have the shapes of real payloads."""

from typing import Any

import pytest

from tests.samples import sample
from tests.simulator.process import SimulatorProcess
from tests.simulator.wire_client import ALL, WireClient

pytestmark = pytest.mark.anywhere


@pytest.fixture
def org(shared_org: SimulatorProcess) -> SimulatorProcess:
    """The module's simulator."""
    return shared_org


def shape(value: Any) -> Any:
    """Return keys and types, without the values."""
    if isinstance(value, dict):
        return {name: shape(child) for name, child in value.items()}
    if isinstance(value, list):
        return [shape(child) for child in value]
    return type(value).__name__


def test_an_account_create(org: SimulatorProcess) -> None:
    real = sample("account_create_2024.json")
    fields = {name: real["data"]["payload"][name] for name in ("Name", "Description")}
    with WireClient(org, version="51.0") as client:
        client.start("/data/AccountChangeEvent")
        org.create("Account", CleanStatus="Pending", **fields)

        [message, _] = client.connect()

    assert shape(message) == shape(real)
    ours, theirs = message["data"]["payload"], real["data"]["payload"]
    assert ours["ChangeEventHeader"]["changeType"] == theirs["ChangeEventHeader"]["changeType"]
    assert len(message["data"]["schema"]) == len(real["data"]["schema"])
    assert len(ours["CreatedDate"]) == len(theirs["CreatedDate"])


def test_the_life_of_a_custom_object(org: SimulatorProcess) -> None:
    real = sample("employee_create_update_delete_undelete.json")
    with WireClient(org, version="46.0") as client:
        client.start("/data/Employee__ChangeEvent")
        [record_id] = org.create(
            "Employee__c", First_Name__c="Marc", Last_Name__c="Benioff", Tenure__c=20
        )
        changed = {"First_Name__c": "Marc 2", "Last_Name__c": "Benioff 2", "Tenure__c": 22}
        org.update("Employee__c", record_id, **changed)
        org.delete("Employee__c", record_id)
        org.undelete("Employee__c", record_id)

        messages = client.connect()[:-1]

    assert [shape(message) for message in messages] == [shape(message) for message in real]
    types = [message["data"]["payload"]["ChangeEventHeader"]["changeType"] for message in messages]
    assert types == ["CREATE", "UPDATE", "DELETE", "UNDELETE"]


def test_a_gap_event(org: SimulatorProcess) -> None:
    real = sample("gap_update_v224.json")
    with WireClient(org, version="47.0") as client:
        client.start()
        org.gap("GAP_UPDATE", "Account", "001xx000000fvRQEAY")

        [message, _] = client.connect()

    assert shape(message) == shape(real)


def test_a_new_api_version_has_event_uuids(org: SimulatorProcess, client: WireClient) -> None:
    client.start()
    org.create("Account", Name="Acme")

    [message, _] = client.connect()

    assert set(message["data"]["event"]) == {"replayId", "EventUuid"}


def test_the_messages_of_a_session(org: SimulatorProcess, client: WireClient) -> None:
    real = sample("meta_messages.json")
    client.log_in()

    handshake = client.handshake()
    first_connect = client.connect()
    subscribed = client.subscribe(ALL, -2)
    org.create("Account", Name="Acme")
    later_connect = client.connect()[-1:]

    assert shape([handshake]) == shape(real["handshake_response"])
    assert shape(first_connect) == shape(real["first_connect_response"])
    assert shape([subscribed]) == shape(real["subscribe_response"])
    assert shape(later_connect) == shape(real["later_connect_response"])


def test_the_errors_of_a_session(org: SimulatorProcess, client: WireClient) -> None:
    real = sample("meta_messages.json")
    client.start()

    refused = client.subscribe(ALL, 1)
    org.fault("too_busy")
    busy = client.connect()
    org.fault("revoke_tokens")
    unauthenticated = client.connect()
    denied = client.handshake()
    client.log_in()
    org.fault("connection_limit")
    limited = client.handshake()
    client.start()
    org.fault("drop_sessions")
    unknown = client.connect()

    assert without_ids([refused]) == without_ids(real["subscribe_replay_invalid"])
    assert without_ids(busy) == without_ids(real["server_busy_503"])
    assert without_ids(unauthenticated) == without_ids(real["connect_401"])
    assert without_ids([denied]) == without_ids(real["handshake_401"])
    assert without_ids([limited]) == without_ids(real["handshake_dos_limit"])
    assert without_ids(unknown) == without_ids(real["unknown_client"])


def without_ids(messages: Any) -> Any:
    return [
        {
            name: value
            for name, value in message.items()
            if name not in ("id", "clientId", "subscription")
        }
        for message in messages
    ]
