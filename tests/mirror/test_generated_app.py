"""A generated model is migrated, and values of every type come back from its table as they were."""

import datetime as clock
import json
import os
import secrets
from datetime import UTC, date, datetime, time
from decimal import Decimal

import psycopg
import pytest

from mirror.schema.choose import choose
from mirror.schema.described import DescribedObject
from mirror.schema.model_code import module_code
from tests.cdcproject.own_project import OwnProject
from tests.mirror.every_type import EVERY_TYPE

pytestmark = pytest.mark.slow

ASK = """
    import json
    import sys

    import django
    django.setup()
    from mirror.schema.columns import columns_of
    from mirror.schema.values import to_columns
    from shop.models import EveryType

    types, record = json.load(sys.stdin)
    columns = columns_of(EveryType).against(types)
    converted = to_columns(columns, record)
    assert not converted.refused, converted.refused
    key = "a00000000000001AAA"
    EveryType.all_objects.create(salesforce_id=key, raw=converted.raw, **converted.values)
    row = EveryType.objects.get()
    same = {column: getattr(row, column) == value for column, value in converted.values.items()}
    assert all(same.values()), [column for column in same if not same[column]]
    assert row.raw == converted.raw
    shown = {column: getattr(row, column) for column in converted.values}
    print(repr(shown))
    EveryType.all_objects.update(is_complete=False)
    assert not EveryType.objects.exists()
"""
LONG = "ä" * 131_072
RECORD = {
    "Name": "Ännchen",
    "OwnerId": "00520000000abcd",
    "WhoId": "003D000000QV9n2IAD",
    "Number__c": 123456789.12,
    "Weird__c": 1e300,
    "Price__c": "0.10",
    "Count__c": 5.0,
    "Big__c": 2**62,
    "Flag__c": "true",
    "Day__c": "1700-01-01",
    "Moment__c": "4000-12-31T23:59:59.000+0000",
    "Hour__c": "14:30:00.123Z",
    "Choices__c": "B;A",
    "Long__c": LONG,
    "Old__c": {"was": [1, None]},
    "BillingAddress": {"City": "Graz"},
    "Site__c": {"Latitude": 47.070714, "Longitude": -15.439504},
    "Formula__c": "a\0b",
    "Metadata": {"kept": True},
    "Mystery__c": "?",
}


@pytest.fixture
def project(tmp_path):
    project = OwnProject(tmp_path, {"DJANGO_SETTINGS_MODULE": "cdcproject.settings"})
    project.environment["CDC_APPS"] = "shop"
    server = os.environ["DATABASE_URL"]
    if server.startswith("sqlite"):
        yield project
        return
    name = f"shop_{secrets.token_hex(4)}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
        project.environment["DATABASE_URL"] = f"{server.rpartition('/')[0]}/{name}"
        yield project
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def test_values_of_every_type_come_back(project):
    text = module_code([choose(DescribedObject.read(EVERY_TYPE))])
    project.write({"shop/__init__.py": "", "ask.py": ASK})
    (project.folder / "shop/models.py").write_text(text, encoding="utf-8")

    assert "Create model EveryType" in project.manage("makemigrations", "shop")
    project.manage("migrate", "shop")
    project.manage("makemigrations", "--check", "--dry-run", "shop")
    done = project.run("ask.py", standard_input=ask_input())

    assert done.returncode == 0, done.stdout + done.stderr
    scope = {"datetime": clock, "Decimal": Decimal}
    row = eval(done.stdout, scope)
    assert row["moment"] == datetime(4000, 12, 31, 23, 59, 59, tzinfo=UTC)
    assert row["day"] == date(1700, 1, 1)
    assert row["hour"] == time(14, 30, 0, 123_000)
    assert row["price"] == Decimal("0.1")
    assert row["owner_id"] == "00520000000abcdAAA"
    assert (row["owner_type"], row["who_type"]) == ("User", "Contact")
    assert row["billing_city"] == "Graz"
    assert row["long"] == LONG
    assert row["formula"] == "a\ufffdb"


def ask_input() -> str:
    return json.dumps([DescribedObject.read(EVERY_TYPE).types, RECORD])
