"""Values of every type are the same in a row, whether REST or the Bulk API sent them."""

import csv
import io

import pytest

from mirror.schema.choose import choose
from mirror.schema.columns import columns_of
from mirror.schema.compare import compare
from mirror.schema.described import NOT_IN_BULK, DescribedObject
from mirror.schema.model_code import module_code
from mirror.schema.values import to_columns
from tests.mirror.test_model_code import model_of, ruff
from tests.mirror.test_values import in_a_file
from tests.simulator.bulk_client import BulkClient
from tests.simulator.process import SimulatorProcess

pytestmark = pytest.mark.anywhere

NAME = "Field_Types__c"
VALUES = {
    "Name": "every",
    "Text__c": 'one "line", two',
    "Long_Text__c": "line\nbreak ä",
    "Picklist__c": "Red",
    "Multi_Picklist__c": "South;North",
    "Checkbox__c": True,
    "Integer__c": 7,
    "Long__c": 2**53,
    "Number__c": 12.25,
    "Whole_Number__c": 5,
    "Currency__c": 1234567.89,
    "Percent__c": 12.5,
    "Date__c": "1999-12-31",
    "Date_Time__c": "2024-06-30T12:00:00.000Z",
    "Time__c": "14:30:00.000Z",
    "Email__c": "a@example.com",
    "Site__c": {"City": "Graz", "Street": None},
    "Place__c": {"Latitude": 47.070714, "Longitude": 15.439504},
}


@pytest.fixture(scope="module")
def org():
    with SimulatorProcess() as simulator:
        yield simulator


@pytest.fixture(scope="module")
def client(org):
    return BulkClient(org)


@pytest.fixture(scope="module")
def described(client):
    return DescribedObject.read(client.send("GET", f"sobjects/{NAME}/describe").json())


@pytest.fixture(scope="module")
def columns(described):
    text = module_code([choose(described)])
    return columns_of(model_of(text, "FieldTypes")).against(described.types)


def in_bulk(client, described, where):
    names = [name for name, field in described.fields.items() if field.type not in NOT_IN_BULK]
    answer = client.page(client.run(f"SELECT {', '.join(names)} FROM {NAME} WHERE {where}"))
    header, row = csv.reader(io.StringIO(answer.content.decode()))
    return header, row


@pytest.mark.parametrize("values", [VALUES, {"Name": "empty"}], ids=["full", "empty"])
def test_both_apis_give_the_same_row(org, client, described, columns, values):
    org.create(NAME, values)
    header, row = in_bulk(client, described, f"Name = '{values['Name']}'")
    record_id = row[header.index("Id")]
    record = client.send("GET", f"sobjects/{NAME}/{record_id}").json()

    by_rest = to_columns(columns, record)
    by_bulk = in_a_file(columns, header, row)

    assert not by_rest.refused + by_bulk.refused
    rest_only = by_rest.values.keys() - by_bulk.values.keys()
    assert not rest_only
    left = {name for name in by_bulk.values if name not in by_rest.values}
    assert all(by_bulk.values[name] is None for name in left)
    assert {name: by_bulk.values[name] for name in by_rest.values} == by_rest.values
    if len(values) > 1:
        assert by_rest.values["site_city"] == "Graz"
        assert float(by_rest.values["place_latitude"]) == 47.070714


def test_the_generated_model_fits_the_object(described, columns):
    errors = [each for each in compare(columns, described) if each.level != "note"]
    assert not errors
    assert columns.types.keys() == {"Related__c", "OwnerId"} & columns.types.keys()
    assert columns.types["Related__c"].attname == "related_type"


@pytest.mark.parametrize("name", ["Account", "Contact", "Opportunity", "Employee__c", NAME, "User"])
def test_the_code_is_formatted_for_every_object(client, name):
    description = client.send("GET", f"sobjects/{name}/describe").json()
    text = module_code([choose(DescribedObject.read(description))])
    answer = ruff("format", "--diff", text=text)
    assert answer.returncode == 0, answer.stdout
