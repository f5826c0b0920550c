"""An external task gets the arguments and message properties that its mapping's options define."""

import json
from types import SimpleNamespace

import pytest

from handlers.external.payload import PayloadRefused, payload_of
from handlers.rules.task_options import task_option_flaws
from handlers.sdk.events import EventData, Metadata

pytestmark = pytest.mark.anywhere

METADATA = Metadata(
    entity_name="Account",
    change_type="UPDATE",
    change_origin="com/salesforce/api/soap/62.0;client=app",
    transaction_key="0001",
    sequence_number=1,
    commit_timestamp=1_700_000_000_000,
    commit_number=1,
    commit_user="005000000000001AAA",
    record_id="001000000000001AAA",
    record_ids=("001000000000001AAA",),
    changed_fields=("Name",),
    nulled_fields=(),
    diff_fields=(),
)


def event(name="Acme", **other):
    return EventData(7, "orders", "42", {"Name": name}, METADATA, attempt=2, **other)


def payload(event, **options):
    return payload_of(SimpleNamespace(pk=31, mapping=SimpleNamespace(options=options)), event)


def test_a_task_gets_the_event_in_camel_case():
    sent = payload(event())
    assert (sent.args, sent.kwargs) == ([], {"event": event().to_dict()})
    assert (sent.headers, sent.priority, sent.expires) == ({}, None, None)
    assert sent.kwargs["event"]["changedData"] == {"Name": "Acme"}
    assert sent.kwargs["event"]["metadata"]["entityName"] == "Account"


def test_a_task_can_get_the_parts_of_the_event():
    whole = event().to_dict()
    sent = payload(event(), arguments="parts", args=["eu"], kwargs={"dry_run": True})
    assert sent.args == ["eu"]
    assert sent.kwargs == {
        "dry_run": True,
        "changedData": whole["changedData"],
        "metadata": whole["metadata"],
    }


def test_a_message_has_the_properties_of_the_mapping():
    sent = payload(event(), headers={"tenant": "eu"}, priority=9, expires=600)
    assert (sent.headers, sent.priority, sent.expires) == ({"tenant": "eu"}, 9, 600)


def test_a_payload_that_is_too_large_is_refused_with_its_size():
    size = len(json.dumps([[], payload(event("ä" * 1000)).kwargs]))
    assert payload(event("ä" * 1000), max_bytes=size)
    with pytest.raises(PayloadRefused, match=f"{size:,} bytes, over the limit of {size - 1:,}"):
        payload(event("ä" * 1000), max_bytes=size - 1)


@pytest.mark.parametrize("arguments", ["event", "parts"])
def test_a_payload_that_is_too_large_can_be_sent_by_reference(settings, arguments):
    settings.CDC_PUBLIC_URL = "https://cdc.example.com"
    by_reference = {"arguments": arguments, "large_payload": "reference", "max_bytes": 2000}
    url = "https://cdc.example.com/api/v1/deliveries/31/event/"
    whole = event("x" * 2000).to_dict()

    sent = payload(event("x" * 2000), **by_reference).kwargs

    del whole["changedData"]
    if arguments == "event":
        assert sent == {"event": {"reference": url, **whole}}
    else:
        assert sent == {"changedData": {"reference": url}, "metadata": whole["metadata"]}
    assert "reference" not in str(payload(event(), **by_reference))


def test_a_reference_needs_the_address_of_this_installation(settings):
    settings.CDC_PUBLIC_URL = ""
    with pytest.raises(PayloadRefused, match="CDC_PUBLIC_URL is not set"):
        payload(event("x" * 2000), large_payload="reference", max_bytes=1000)


def test_what_is_too_large_even_by_reference_is_refused(settings):
    settings.CDC_PUBLIC_URL = "https://cdc.example.com"
    with pytest.raises(PayloadRefused, match="without the changed data"):
        payload(event(), large_payload="reference", max_bytes=1000, args=["x" * 1000])


def test_invalid_options_of_a_stored_mapping_are_refused():
    with pytest.raises(PayloadRefused, match="options of the mapping are invalid"):
        payload(event(), priority="high")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"priorty": 1}, "no option 'priorty'. Did you mean priority?"),
        ({1: 2}, "no option '1'"),
        ({"arguments": "whole"}, "arguments: Choose event or parts."),
        ({"arguments": []}, "arguments: Choose event or parts."),
        ({"args": "eu"}, 'args: Give a list, such as ["eu"].'),
        ({"kwargs": ["eu"]}, "kwargs: Give an object"),
        ({"kwargs": {"a-b": 1}}, "kwargs: Give an object"),
        ({"kwargs": {"event": 1}}, "kwargs: event is the argument that carries the change"),
        ({"arguments": "parts", "kwargs": {"metadata": 1}}, "kwargs: metadata is the argument"),
        ({"headers": {"tenant": 1}}, "headers: The value of tenant must be a text"),
        ({"headers": {"tenant": "x" * 1001}}, "headers: The value of tenant must be a text"),
        ({"headers": {"": "x"}}, "headers: '' is no name of a header"),
        ({"headers": {"_x": "x"}}, "headers: '_x' is no name of a header"),
        ({"headers": {"id": "x"}}, "headers: id has a meaning for Celery"),
        ({"headers": {"CC": "x"}}, "headers: CC has a meaning for Celery or the broker"),
        ({"headers": []}, "headers: Give an object"),
        ({"priority": 256}, "priority: Give the message's priority, a whole number from 0 to 255"),
        ({"priority": True}, "priority: Give"),
        ({"priority": None}, "priority: Give"),
        ({"expires": 0}, "expires: Give seconds, a whole number from 1 to 31,536,000."),
        ({"expires": 1.5}, "expires: Give seconds"),
        ({"large_payload": "drop"}, "large_payload: Choose refuse or reference."),
        ({"max_bytes": 10}, "max_bytes: Give bytes, a whole number from 1,000 to 16,000,000."),
        ([], "Give a JSON object"),
    ],
)
def test_invalid_options_are_named(options, said):
    [flaw] = task_option_flaws(options)
    assert said in flaw


def test_every_flaw_is_named():
    assert len(task_option_flaws({"priority": -1, "expires": -1, "other": 1})) == 3
