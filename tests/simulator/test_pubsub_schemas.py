"""The Avro schemas and payloads of the simulator have the shapes of real ones."""

import io
import json
import random
from datetime import UTC, datetime
from typing import Any

import fastavro
import pytest

from simulator.options import Options
from simulator.org.avro.schema import UnfitError
from simulator.org.changes import Create, Update
from simulator.org.conversion import convert
from simulator.org.events import StoredEvent
from simulator.org.fields import Field
from simulator.org.org import Org
from simulator.pubsub.payloads import encoded
from simulator.traffic.generator import Traffic
from tests.samples import samples_folder

pytestmark = pytest.mark.anywhere

NOW = 1_780_000_000_000
HEADER = "ChangeEventHeader"
UNREADABLE = (EOFError, IndexError, ValueError)  # fastavro's answers to garbage


@pytest.fixture
def org() -> Org:
    org = Org(Options(seed=1), now=NOW)
    org.encode = encoded
    return org


def real(name: str) -> Any:
    return json.loads((samples_folder() / "pubsub" / name).read_text())


def decoded(org: Org, event: StoredEvent) -> dict[str, Any]:
    """Return an event's values as a client with its schema reads them."""
    schema = org.schemas.by_id[event.schema]
    payload = io.BytesIO(event.avro or b"")
    datum: Any = fastavro.schemaless_reader(payload, fastavro.parse_schema(json.loads(schema.text)))
    assert not payload.read()
    return datum


def wrote(org: Org, **fields: Any) -> StoredEvent:
    """Return the event of a new account."""
    [event] = org.commit([Create("Account", (fields,))], now=NOW)
    return event


def named(schema: Any) -> dict[str, Any]:
    return {field["name"]: field for field in schema["fields"]}


def types(field: Any) -> list[Any]:
    return [kind if isinstance(kind, str) else kind["name"] for kind in field["type"]]


@pytest.mark.parametrize("entity", ["Account", "Contact"])
def test_a_schema_is_one_that_a_real_org_could_have(org: Org, entity: str) -> None:
    theirs = real(f"{entity}ChangeEvent.avsc")
    ours = json.loads(org.schemas.current(entity).text)

    assert ours["fields"][0] == theirs["fields"][0]
    assert (ours["name"], ours["namespace"]) == (theirs["name"], theirs["namespace"])
    for name in set(named(ours)) & set(named(theirs)) - {HEADER}:
        assert types(named(ours)[name]) == types(named(theirs)[name]), name
        assert named(ours)[name]["doc"] == named(theirs)[name]["doc"], name
        assert named(ours)[name].keys() == named(theirs)[name].keys(), name


def test_every_event_of_a_day_says_in_avro_what_it_says_in_json(org: Org) -> None:
    for event in Traffic(org, seed=7).burst(400, NOW):
        datum, payload = decoded(org, event), event.payload
        schema = json.loads(org.schemas.by_id[event.schema].text)
        for name, value in payload.items():
            if name != HEADER:
                assert as_json(named(schema)[name], datum.pop(name), value) == value, name
        header = datum.pop(HEADER)
        assert not any(datum.values())
        for listed in ("changedFields", "nulledFields", "diffFields"):
            assert read_bitmaps(schema, header.pop(listed)) == payload[HEADER].get(listed, [])
        assert header.items() <= payload[HEADER].items()


def as_json(field: Any, value: Any, like: Any) -> Any:
    """Return an Avro value in CometD's form."""
    if isinstance(value, dict):
        return {name: value[name] for name in like}
    if value is not None and "DateTime" in field["doc"]:
        return datetime.fromtimestamp(value / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    if value is not None and "DateOnly" in field["doc"]:
        return datetime.fromtimestamp(value / 1000, UTC).strftime("%Y-%m-%d")
    return value


def read_bitmaps(schema: Any, texts: list[str]) -> list[str]:
    """Return the field names that bitmaps represent, in schema order."""
    found: dict[int, list[str]] = {}
    for text in texts:
        position, _, bits = text.rpartition("-")
        members = schema["fields"]
        if position:
            parent = members[int(position)]
            members = children(schema, parent)
        chosen = [m["name"] for i, m in enumerate(members) if int(bits, 16) >> i & 1]
        for name in chosen:
            if position:
                found.setdefault(int(position), []).append(f"{parent['name']}.{name}")
            else:
                found[[m["name"] for m in members].index(name)] = [name]
    return [name for position in sorted(found) for name in found[position]]


def children(schema: Any, parent: Any) -> list[Any]:
    records = {
        kind["name"]: kind["fields"]
        for field in schema["fields"]
        for kind in field["type"]
        if isinstance(kind, dict)
    }
    [name] = [kind for kind in types(parent) if kind in records]
    found: list[Any] = records[name]
    return found


def test_a_new_field_makes_a_new_version_and_old_events_keep_theirs(org: Org) -> None:
    old = wrote(org, Name="A", Zone__c="z")
    new = wrote(org, Name="B", Area__c="a")

    assert old.schema != new.schema
    assert decoded(org, old)["Zone__c"] == "z"
    assert (decoded(org, new)["Zone__c"], decoded(org, new)["Area__c"]) == (None, "a")
    positions = [org.schemas.by_id[event.schema].positions["Zone__c"] for event in (old, new)]
    assert positions[0] < positions[1]


def test_what_is_sent_of_an_event_is_settled_when_it_is_published(org: Org) -> None:
    event = wrote(org, Name="A", Zone__c="z")
    before = event.avro
    org.schemas.add_field("Account", "Area__c", "string")
    event.payload["Name"] = "B"

    assert org.log.retained() == [event]
    assert event.avro == before
    assert decoded(org, event)["Name"] == "A"


def test_an_event_of_a_schema_that_is_not_the_orgs_has_no_bytes(org: Org) -> None:
    payload = wrote(org, Name="A").payload

    assert org.publish_payload(payload, entity="Account", now=NOW, schema="foreign").avro is None


def test_the_same_schema_has_the_same_id_in_another_org(org: Org) -> None:
    again = Org(Options(seed=2), now=NOW + 1)

    assert wrote(org, Name="A", X__c=1).schema == wrote(again, X__c=2.5, Name="B").schema
    assert len(org.schemas.current("Account").schema_id) == 22


@pytest.mark.parametrize(
    ("name", "first", "second"),
    [
        ("AnnualRevenue", 5.5, "five"),
        ("NumberOfEmployees", 5, 2**40),
        ("NumberOfEmployees", 5, 2.5),
        ("CreatedDate", "2026-01-01T00:00:00.000Z", "yesterday"),
        ("Some__c", True, 2.0),
        ("Some__c", "2026-01-31", "never"),
        ("Some__c", 1.0, {"Latitude": 1.5}),
        ("Website", "https://x.example", ["not", "text"]),
        ("BillingAddress", {"City": "a"}, {"Planet": "Mars", "Latitude": "north"}),
    ],
)
def test_a_value_that_does_not_fit_widens_the_schema(
    org: Org, name: str, first: Any, second: Any
) -> None:
    events = [wrote(org, **{name: value}) for value in (first, second)]

    told = [decoded(org, event)[name] for event in events]

    assert events[0].schema != events[1].schema or second == ["not", "text"]
    if isinstance(second, dict):
        assert second.items() <= told[1].items()
    else:
        assert told[1] == (json.dumps(second) if isinstance(second, list) else second)


def test_times_travel_as_milliseconds(org: Org) -> None:
    event = wrote(org, Day__c="1969-12-31", Hour__c="10:00:00.250Z", CreatedDate="not a date")
    datum = decoded(org, event)

    assert (datum["Day__c"], datum["Hour__c"]) == (-86_400_000, 36_000_250)
    assert datum["CreatedDate"] == "not a date"


def test_a_diff_travels_as_text(org: Org) -> None:
    text = "one\n" * 250 + "two"
    [record_id] = wrote(org, Description=text).payload[HEADER]["recordIds"]
    fields = {"Phone": "1", "Description": text.replace("two", "2")}
    change = Update("Account", (record_id,), fields, diff_fields=("Description",))
    [event] = org.commit([change], now=NOW)

    datum = decoded(org, event)

    assert datum["Description"] == event.payload["Description"]["diff"]
    assert len(datum[HEADER]["diffFields"]) == 1


def test_both_apis_list_fields_in_the_order_of_the_schema(org: Org) -> None:
    fields: dict[str, Any] = {"Phone": "1", "BillingAddress": {"City": "c", "Street": "s"}}
    [record_id] = wrote(org, Name="A").payload[HEADER]["recordIds"]
    items = list(fields.items())
    random.Random(3).shuffle(items)
    [event] = org.commit([Update("Account", (record_id,), dict(items))], now=NOW)

    expected = ["Phone", "BillingAddress.Street", "BillingAddress.City", "LastModifiedDate"]
    assert event.payload[HEADER]["changedFields"] == expected


def test_an_entity_made_later_has_a_schema_too(org: Org) -> None:
    org.catalogue.define("Thing__c")
    [event] = org.commit([Create("Thing__c", ({"Size__c": 3},))], now=NOW)

    assert decoded(org, event)["Size__c"] == 3.0
    assert org.schemas.by_id[event.schema].record == "Thing__ChangeEvent"


@pytest.mark.parametrize(
    "payload",
    [
        {"Name": "no header"},
        {HEADER: {"changeType": "CREATE"}},
        {HEADER: "text"},
    ],
)
def test_what_avro_cannot_hold_is_sent_as_bytes_that_no_schema_reads(
    org: Org, payload: dict[str, Any]
) -> None:
    event = org.publish_payload(payload, entity="Account", now=NOW)

    with pytest.raises(UNREADABLE):
        decoded(org, event)


@pytest.mark.parametrize("fields", [{"a b": 1}, {"Name": "\ud800"}, {"N__c": 10**400}])
def test_values_and_names_that_avro_does_not_know_are_unreadable_too(
    org: Org, fields: dict[str, Any]
) -> None:
    event = wrote(org, **fields)

    with pytest.raises(UNREADABLE):
        decoded(org, event)


def test_a_field_is_added_on_request_and_only_once(org: Org) -> None:
    before = org.schemas.current("Account").schema_id
    org.schemas.add_field("Account", "Score__c", "date")

    assert org.schemas.current("Account").schema_id != before
    assert before in org.schemas.by_id
    with pytest.raises(UnfitError, match="already"):
        org.schemas.add_field("Account", "Score__c", "date")
    with pytest.raises(UnfitError, match="known are"):
        org.schemas.add_field("Account", "Other__c", "nothing")


def test_a_converted_field_has_a_new_schema_and_the_new_type(org: Org) -> None:
    before = wrote(org, Name="A", Phone="12")
    [record_id] = before.payload[HEADER]["recordIds"]

    org.commit(convert(org, org.catalogue.get("Account"), "Phone", "double"), now=NOW)
    org.define_field(org.catalogue.get("Account"), Field("Score__c", "int"))
    [after] = org.commit([Update("Account", (record_id,), {"Score__c": 3, "Phone": 7})], now=NOW)

    assert after.schema != before.schema
    assert decoded(org, before)["Phone"] == "12"
    event = decoded(org, after)
    assert (event["Phone"], event["Score__c"]) == (7, 3)
    assert types(named(json.loads(org.schemas.by_id[after.schema].text))["Phone"]) == [
        "null",
        "double",
    ]


def test_a_hidden_field_is_in_the_schema_but_in_no_event(org: Org) -> None:
    org.catalogue.get("Account").hidden = ("Phone",)

    event = wrote(org, Name="A", Phone="12")

    assert decoded(org, event)["Phone"] is None
    assert "Phone" not in event.payload
