"""Channels can be subscribed to, and invalid subscriptions are refused."""

import pytest

from tests.simulator.process import SimulatorProcess
from tests.simulator.wire_client import ALL, WireClient

pytestmark = pytest.mark.anywhere


@pytest.mark.parametrize(
    ("channel", "error"),
    [
        (
            "/data/NothingChangeEvent",
            "400::The channel you requested to subscribe to doesn't exist "
            "{/data/NothingChangeEvent}",
        ),
        (
            "/data/accountchangeevent",
            "400::The channel you requested to subscribe to doesn't exist "
            "{/data/accountchangeevent}",
        ),
        (
            "/data/CaseChangeEvent",
            "400::The channel you requested to subscribe to doesn't exist {/data/CaseChangeEvent}",
        ),
        (
            "/data/None__chn",
            "400::The channel you requested to subscribe to doesn't exist {/data/None__chn}",
        ),
        ("/u/mine", "403::Cannot create channel {/u/mine}"),
        ("/meta/connect", "403::Restricted channel"),
        ("/data/*", "403::Restricted channel"),
        ("data/ChangeEvents", "400::Channel subscriptions must start with a leading '/'"),
        ("", "400::Channel name not specified"),
    ],
)
def test_a_channel_is_refused(shared_client: WireClient, channel: str, error: str) -> None:
    shared_client.start()

    answer = shared_client.subscribe(channel)

    assert answer["error"] == error
    assert answer["successful"] is False


def test_a_replay_map_must_name_the_channel(shared_client: WireClient) -> None:
    shared_client.start()

    [answer] = shared_client.send(
        "/meta/subscribe", subscription=ALL, ext={"replay": {"/data/Other": -1}}
    )

    assert answer["error"] == (
        f"400::The replayId for channel {{{ALL}}} wasn't found using the provided replay ID map "
        "{{/data/Other=-1}}. Ensure that the channel name you provided in the replay map is valid "
        "and matches the channel name used for subscribing."
    )


@pytest.mark.parametrize(
    ("position", "shown"),
    [(1, "1"), (0, "0"), (-3, "-3"), ("7", "7"), (None, "null"), (10**15, "1000000000000000")],
)
def test_a_replay_id_that_is_not_retained_is_refused(
    shared_client: WireClient, position: object, shown: str
) -> None:
    shared_client.start()

    answer = shared_client.subscribe(ALL, position)

    assert answer["error"] == (
        f"400::The replayId {{{shown}}} you provided was invalid.  Please provide a valid ID, "
        "-2 to replay all events, or -1 to replay only new events."
    )


def test_an_entity_that_the_user_may_not_see(org: SimulatorProcess, client: WireClient) -> None:
    org.entity("Opportunity", visible=False)
    client.start()

    answer = client.subscribe("/data/OpportunityChangeEvent")
    org.create("Opportunity", Name="Hidden")
    org.create("Account", Name="Shown")

    assert answer["error"] == (
        "403::User not allowed to subscribe CDC without View All Data permissions"
    )
    assert [data["payload"]["Name"] for data in client.receive()] == ["Shown"]


def test_a_custom_channel_carries_its_entities(org: SimulatorProcess, client: WireClient) -> None:
    path = org.channel("Sales__chn", "Account", "Opportunity")
    client.start(path)

    org.create("Contact", Name={"LastName": "Ito"})
    org.create("Opportunity", Name="Renewal")

    [event, _] = client.connect()
    assert event["channel"] == "/data/Sales__chn"
    assert event["data"]["payload"]["Name"] == "Renewal"


def test_an_entity_that_the_test_adds(org: SimulatorProcess, client: WireClient) -> None:
    org.entity("Invoice__c", selected=True)
    client.start("/data/Invoice__ChangeEvent")

    [record_id] = org.create("Invoice__c", Total__c=12.5)

    [data] = client.receive()
    assert data["payload"]["ChangeEventHeader"]["recordIds"] == [record_id]
    assert len(record_id) == 18
