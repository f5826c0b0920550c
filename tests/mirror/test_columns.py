"""A model's columns, and the API names that they hold."""

import pytest
from django.apps.registry import Apps
from django.db import models

from mirror.schema.columns import NotMirrorable, columns_of, model_named, names_by_column
from mirror.schema.values import to_columns
from tests.mirror.crm.models import Account, Employee


def own_columns():
    return {
        "salesforce_id": models.CharField(max_length=18, primary_key=True),
        "is_deleted": models.BooleanField(default=False),
        "is_complete": models.BooleanField(default=True),
        "synced_at": models.DateTimeField(null=True),
        "version": models.DateTimeField(null=True),
        "raw": models.JSONField(default=dict),
    }


def a_model(name="Thing", **attributes):
    meta = type("Meta", (), {"apps": Apps(), "app_label": "things"})
    body = own_columns() | {"__module__": __name__, "Meta": meta, "salesforce_object": "Thing__c"}
    body |= attributes
    return type(name, (models.Model,), {key: part for key, part in body.items() if part})


def test_fields_are_known_by_the_names_that_the_object_has():
    names = ["Id", "Name", "BillingCity", "Region", "OwnerId", "SystemModstamp"]
    columns = columns_of(Account).against(names)
    assert {name: field.attname for name, field in columns.fields.items()} == {
        "Name": "name",
        "BillingCity": "billing_city",
        "OwnerId": "owner_id",
    }
    assert "phone" in columns.missing
    assert columns.names == set(names)


def test_a_declared_name_wins_over_the_rule():
    columns = columns_of(Employee).against(["Tenure__c", "YearsHere", "Years_Here__c"])
    assert {name: field.attname for name, field in columns.fields.items()} == {
        "Tenure__c": "years_here"
    }


def test_on_a_clash_the_standard_field_has_the_plain_name():
    assert names_by_column(["Region__c", "Region", "Raw__c", "Site__Latitude__s"]) == {
        "region": "Region",
        "region_c": "Region__c",
        "raw_c": "Raw__c",
        "site_latitude": "Site__Latitude__s",
    }


def test_a_clash_of_custom_fields_is_left_to_a_declaration():
    assert "ns_region" not in names_by_column(["ns__Region__c", "NsRegion__c", "NS_Region__c"])


def test_a_polymorphic_reference_has_its_type_beside():
    model = a_model(
        who_id=models.CharField(max_length=18, null=True), who_type=models.TextField(null=True)
    )
    columns = columns_of(model).against(["WhoId"])
    assert columns.types["WhoId"].attname == "who_type"
    assert not columns.missing


def test_columns_without_an_object_have_no_fields():
    with pytest.raises(TypeError, match="against"):
        _ = columns_of(Account).fields


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ({"salesforce_object": None}, "add salesforce_object"),
        ({"raw": None}, r"needs the columns raw \(JSONField\)"),
        ({"version": models.TextField()}, "The column version must be a DateTimeField"),
        ({"version": models.DateTimeField()}, "version is unknown .* add null=True"),
        (
            {"salesforce_id": models.CharField(max_length=15, primary_key=True)},
            "must hold 18 characters",
        ),
        ({"salesforce_fields": {"wrong": "Wrong__c"}}, "'wrong', which the model does not have"),
        ({"salesforce_fields": ["wrong"]}, "salesforce_fields must be a dict"),
    ],
)
def test_what_a_model_lacks_is_named(attributes, words):
    with pytest.raises(NotMirrorable, match=words):
        columns_of(a_model(**attributes))


def test_a_model_that_does_not_exist_is_named():
    with pytest.raises(NotMirrorable, match=r"There is no model 'crm\.Lead'"):
        model_named("crm.Lead")
    assert model_named("crm.Account") is Account


def test_columns_that_the_database_computes_hold_no_field():
    computed = models.GeneratedField(
        expression=models.F("title"), output_field=models.TextField(), db_persist=True
    )
    model = a_model(title=models.TextField(null=True), shown=computed)
    assert set(columns_of(model).columns) == {"title"}


def test_a_foreign_key_holds_its_reference():
    parent = a_model("Parent")
    key = models.ForeignKey(parent, models.DO_NOTHING, null=True, db_constraint=False)
    meta = type("Meta", (), {"apps": parent._meta.apps, "app_label": "things"})
    columns = columns_of(a_model("Child", parent=key, Meta=meta)).against({"ParentId": "reference"})
    assert columns.fields["ParentId"].attname == "parent_id"
    assert to_columns(columns, {"ParentId": "001D000000IRFma"}).values == {
        "parent_id": "001D000000IRFmaIAH"
    }


def test_a_multi_select_picklist_may_be_an_array():
    from django.contrib.postgres.fields import ArrayField

    field = ArrayField(models.TextField(), null=True)
    columns = columns_of(a_model(regions=field)).against(["Regions__c"])
    converted = to_columns(columns, {"Regions__c": "North; South"})
    assert converted.values == {"regions": ["North", "South"]}
