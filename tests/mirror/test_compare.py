"""A model is compared with its object: columns may be missing, not fit, or have no field."""

import pytest
from django.db import models

from mirror.schema.choose import choose
from mirror.schema.columns import columns_of
from mirror.schema.compare import Level, can_hold, compare
from mirror.schema.described import DescribedField, DescribedObject
from mirror.schema.model_code import module_code
from tests.mirror.every_type import EVERY_TYPE, a_field, a_text, an_object
from tests.mirror.test_columns import a_model
from tests.mirror.test_model_code import model_of

NULL = {"null": True}


def findings(fields, **columns):
    described = DescribedObject.read(an_object("Thing__c", [a_field("Id", "id"), *fields]))
    found = compare(columns_of(a_model(**columns)), described)
    return [(each.level, each.kind, each.field, each.column) for each in found]


def test_a_generated_model_differs_in_nothing():
    described = DescribedObject.read(EVERY_TYPE)
    model = model_of(module_code([choose(described)]))
    found = compare(columns_of(model), described)
    assert {(each.kind, each.field) for each in found} == {
        ("calculated", "Formula__c"),
        ("new", "File__c"),
        ("new", "Metadata"),
    }
    assert {each.level for each in found} == {Level.NOTE}


def test_a_column_without_a_field_is_named():
    missing = findings([], phone=models.TextField(**NULL))
    assert missing == [("warning", "missing", "", "phone")]
    declared = findings([], tel=models.TextField(**NULL), salesforce_fields={"tel": "Telephone__c"})
    assert declared == [("warning", "missing", "Telephone__c", "tel")]


def test_a_column_of_ones_own_is_left_alone():
    assert findings([], note=models.TextField(default="")) == []


def test_a_column_that_must_have_a_value_is_an_error():
    assert findings([a_text("Phone")], phone=models.TextField()) == [("error", "null", "", "phone")]


def test_a_field_without_a_column_is_noted():
    assert findings([a_text("Phone")]) == [("note", "new", "Phone", "")]


def test_a_type_that_does_not_fit_is_an_error():
    assert findings(
        [a_field("Amount", "currency", scale=2)], amount=models.IntegerField(**NULL)
    ) == [("error", "type", "Amount", "amount")]
    text = models.TextField(**NULL)
    address = findings([a_field("BillingAddress", "address")], billing_address=text)
    assert address == [("error", "compound", "BillingAddress", "billing_address")]


def test_a_column_that_is_too_narrow_is_a_warning():
    short = models.CharField(max_length=10, **NULL)
    assert findings([a_text("Phone", 40)], phone=short) == [("warning", "length", "Phone", "phone")]
    fifteen = models.CharField(max_length=15, **NULL)
    reference = a_field("AccountId", "reference", length=18)
    assert findings([reference], account_id=fifteen)[0][:2] == ("warning", "length")
    narrow = models.DecimalField(max_digits=10, decimal_places=2, **NULL)
    amount = a_field("Amount", "currency", precision=18, scale=2)
    assert findings([amount], amount=narrow) == [("warning", "length", "Amount", "amount")]


def test_two_fields_of_one_column_must_be_declared():
    fields = [a_text("ns__Region__c"), a_text("NsRegion__c")]
    found = findings(fields, ns_region=models.TextField(default=""))
    assert ("warning", "ambiguous", "ns__Region__c", "") in found


def test_a_column_that_a_standard_field_may_have_taken_is_a_warning():
    fields = [a_text("Region"), a_text("Region__c")]
    column = models.TextField(null=True)
    assert findings(fields, region=column) == [("warning", "ambiguous", "Region__c", "region")]
    declared = {"region": "Region"}
    assert findings(fields, region=models.TextField(null=True), salesforce_fields=declared) == [
        ("note", "new", "Region__c", "")
    ]


@pytest.mark.parametrize(
    ("column", "kind", "holds"),
    [
        (models.TextField(), "string", True),
        (models.TextField(), "double", True),
        (models.TextField(), "anyType", True),
        (models.JSONField(), "anyType", True),
        (models.TextField(), "complexvalue", False),
        (models.TextField(), "base64", False),
        (models.BooleanField(), "boolean", True),
        (models.BooleanField(), "string", False),
        (models.BigIntegerField(), "int", True),
        (models.DecimalField(), "int", True),
        (models.BigIntegerField(), "string", False),
        (models.BigIntegerField(), "boolean", False),
        (models.FloatField(), "percent", True),
        (models.DateField(), "date", True),
        (models.DateTimeField(), "date", True),
        (models.DateField(), "datetime", False),
        (models.TimeField(), "time", True),
        (models.TimeField(), "datetime", False),
        (models.UUIDField(), "string", True),
        (models.EmailField(), "email", True),
        (models.DateField(), "picklist", False),
    ],
)
def test_what_a_column_can_hold(column, kind, holds):
    assert can_hold(column, DescribedField("Field__c", kind)) is holds
