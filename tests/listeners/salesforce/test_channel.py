from __future__ import annotations

import pytest

from listeners.salesforce.channel import channel_of, entity_of


@pytest.mark.parametrize(
    "channel",
    [
        "/data/ChangeEvents",
        "/data/AccountChangeEvent",
        "/data/OpportunityContactRoleChangeEvent",
        "/data/Employee__ChangeEvent",
        "/data/employee_record2__ChangeEvent",
        "/data/ns__Employee__ChangeEvent",
        "/data/My_Channel__chn",
        "/data/ns__Mine__chn",
    ],
)
def test_a_change_event_channel_passes_unchanged(channel: str) -> None:
    assert channel_of(channel) == channel


@pytest.mark.parametrize(
    "text",
    [
        "AccountChangeEvent",
        "/AccountChangeEvent",
        "data/AccountChangeEvent",
        "/data/AccountChangeEvent/",
        "AccountChangeEvent/",
    ],
)
def test_a_missing_folder_is_added_and_a_trailing_slash_dropped(text: str) -> None:
    assert channel_of(text) == "/data/AccountChangeEvent"


@pytest.mark.parametrize(
    ("channel", "meant"),
    [
        ("/data/changeevents", "/data/ChangeEvents"),
        ("/data/ChangeEvent", "/data/ChangeEvents"),
        ("/Data/ChangeEvents", "/data/ChangeEvents"),
        (" /data/ChangeEvents/ ", "/data/ChangeEvents"),
        ("/data/accountchangeevent", "/data/AccountChangeEvent"),
        ("/data/AccountChangeEvents", "/data/AccountChangeEvent"),
        ("/data/Account", "/data/AccountChangeEvent"),
        ("/data/Employee__cChangeEvent", "/data/Employee__ChangeEvent"),
        ("/data/Employee__c__ChangeEvent", "/data/Employee__ChangeEvent"),
        ("/data/Employee__c", "/data/Employee__ChangeEvent"),
        ("/data/Employee__changeevent", "/data/Employee__ChangeEvent"),
        ("/data/ns__Employee__cChangeEvent", "/data/ns__Employee__ChangeEvent"),
        ("/data/Mine__CHN", "/data/Mine__chn"),
    ],
)
def test_a_near_miss_names_the_channel_that_was_meant(channel: str, meant: str) -> None:
    with pytest.raises(ValueError, match=f"did you mean {meant}\\? The forms are /data/"):
        channel_of(channel)


@pytest.mark.parametrize(
    "channel",
    ["/topic/Accounts", "/event/Order__e", "/data/a/b", "/data/Bad__Name__x__chn", "/data/Ä", "/"],
)
def test_anything_else_names_the_forms_a_channel_has(channel: str) -> None:
    with pytest.raises(ValueError, match=r"did you mean|it must be /data/ChangeEvents"):
        channel_of(channel)


@pytest.mark.parametrize("channel", ["/topic/Accounts", "/event/Order__e", "/data/a/b"])
def test_another_kind_of_channel_gets_no_guess(channel: str) -> None:
    with pytest.raises(ValueError, match="it must be /data/ChangeEvents"):
        channel_of(channel)


def test_a_line_break_at_the_end_is_no_channel() -> None:
    with pytest.raises(ValueError, match="is not a change event channel"):
        channel_of("/data/ChangeEvents\n")


@pytest.mark.parametrize(
    ("channel", "entity"),
    [
        ("/data/AccountChangeEvent", "Account"),
        ("/data/Employee__ChangeEvent", "Employee__c"),
        ("/data/ns__Thing__ChangeEvent", "ns__Thing__c"),
        ("/data/ChangeEvents", None),
        ("/data/Mine__chn", None),
    ],
)
def test_a_channel_of_one_entity_names_it(channel: str, entity: str | None) -> None:
    assert entity_of(channel) == entity
