"""The code of generated models: valid, formatted, free of our packages, and with usable columns."""

import ast
import subprocess
import sys

import pytest

from mirror.schema.choose import Unknown, choose
from mirror.schema.columns import columns_of
from mirror.schema.described import DescribedObject
from mirror.schema.model_code import class_names, module_code
from tests.mirror.every_type import EVERY_TYPE, a_text, an_object

EVERY = DescribedObject.read(EVERY_TYPE)


def code(**choice):
    return module_code([choose(EVERY, **choice)])


def model_of(text, name="EveryType", label="generated"):
    """Return the class, of an app that is not installed."""
    from django.apps.registry import Apps

    registry = Apps()
    text = text.replace(
        "    objects = MirrorManager()",
        f"    class Meta:\n        apps = registry\n        app_label = {label!r}\n\n"
        "    objects = MirrorManager()",
    )
    scope = {"__name__": "generated.models", "registry": registry}
    exec(text, scope)
    return scope[name]


def ruff(*arguments, text):
    command = [sys.executable, "-m", "ruff", *arguments, "--isolated", "-"]
    return subprocess.run(command, input=text, capture_output=True, text=True, check=False)


@pytest.mark.process
@pytest.mark.parametrize("length", ["88", "100"])
def test_it_is_formatted(length):
    answer = ruff("format", "--diff", "--line-length", length, text=code())
    assert answer.returncode == 0, answer.stdout


@pytest.mark.process
def test_it_has_nothing_for_a_linter_to_say():
    answer = ruff("check", "--select", "E4,E7,E9,F,I,UP", text=code())
    assert answer.returncode == 0, answer.stdout


def test_it_imports_django_alone():
    nodes = [node for node in ast.walk(ast.parse(code())) if isinstance(node, ast.ImportFrom)]
    assert [node.module for node in nodes] == ["django.db"]


def test_every_field_has_its_own_column():
    model = model_of(code())
    columns = columns_of(model).against(EVERY.types)
    left_out = {"Id", "IsDeleted", "LastModifiedDate", "SystemModstamp"}
    not_columns = {"File__c", "Metadata", "BillingAddress", "Site__c"}
    assert set(columns.fields) == set(EVERY.fields) - left_out - not_columns
    assert not columns.missing
    assert columns.types["WhoId"].attname == "who_type"
    assert columns.types["OwnerId"].attname == "owner_type"
    named = {name: field.attname for name, field in columns.fields.items()}
    assert named["Region"] == "region"
    assert named["Region__c"] == "region_c"
    assert named["Raw__c"] == "raw_c"
    assert named["Class__c"] == "class_field"
    assert named["Full_Clean__c"] == "full_clean_field"
    assert named["Pk__c"] == "pk_field"
    assert {named["ns__Region__c"], named["NsRegion__c"]} == {"ns_region", "ns_region_2"}
    assert all(len(column) <= 63 for column in named.values())


def test_names_are_declared_only_where_the_rule_does_not_tell_them():
    model = model_of(code())
    assert set(model.salesforce_fields.values()) == {
        "ns__Region__c",
        "NsRegion__c",
        "Full_Clean__c",
        "Pk__c",
        f"namespace__{'Very_Long' * 6}_Name__c",
    }
    assert not hasattr(model_of(code(only=["Region__c", "Name"])), "salesforce_fields")


def test_what_a_reader_should_know_is_written():
    text = code(hidden=["Salary__c"])
    assert 'help_text="Parent: the id of an Account"' in text
    assert 'help_text="Name ID: the id of a Contact or a Lead"' in text
    assert "the id of a Group or a User" in text
    assert "# Formula, read-only." in text
    assert "# Roll-up summary, read-only." in text
    assert "# Encrypted: masked" in text
    assert "# Not available in bulk: File__c (base64)." in text
    assert "# Hidden from the connection's user, who may not read it: Salary__c." in text
    assert "choices=" not in text
    model = model_of(text)
    assert model._meta.get_field("quoted").help_text == 'The "best" \\ of them. Ask her.'
    assert model._meta.get_field("umlaut").help_text == 'Größe in m² – it\'s "big"'


def test_fields_are_chosen_by_name_in_any_case():
    model = model_of(code(only=["name", "BILLINGCITY"]))
    assert set(columns_of(model).columns) == {"name", "billing_city"}
    assert "phone" not in columns_of(model_of(code(exclude=["Phone__c"]))).columns


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        ({"only": ["Nam"]}, r"has no field 'Nam'.* Did you mean Name"),
        ({"exclude": ["Phone"]}, r"has no field 'Phone'.* Did you mean Phone__c"),
        ({"only": ["BillingAddress"]}, "compound field"),
        ({"only": ["File__c"]}, "base64"),
        ({"only": ["SystemModstamp"]}, "changes without an event"),
    ],
)
def test_a_field_that_cannot_be_mirrored_is_refused(choice, words):
    with pytest.raises(Unknown, match=words):
        code(**choice)


def test_a_standard_object_has_its_name_and_class_names_differ_in_more_than_case():
    assert class_names(["Task__c", "Task", "MyAccount__c", "Myaccount__c"]) == [
        "CustomTask",
        "Task",
        "MyAccount",
        "CustomMyaccount",
    ]


def test_classes_are_named_after_their_objects():
    names = ["Employee__c", "ns__My_Object__c", "OpportunityLineItem", "Employee", "SBQQ__Quote__c"]
    assert class_names(names) == [
        "CustomEmployee",
        "NsMyObject",
        "OpportunityLineItem",
        "Employee",
        "SbqqQuote",
    ]


@pytest.mark.process
def test_several_models_share_a_manager():
    other = DescribedObject.read(an_object("Thing__c", [a_text("Id"), a_text("Title__c")]))
    text = module_code([choose(EVERY), choose(other)])
    assert text.count("class MirrorManager") == 1
    assert ruff("format", "--diff", text=text).returncode == 0
    assert str(model_of(text, "Thing")(salesforce_id="a01")) == "a01"


def test_a_column_takes_no_name_that_the_class_needs():
    fields = [a_text(name) for name in ("Id", "models__c", "salesforce_object__c", "Title__c")]
    model = model_of(
        module_code([choose(DescribedObject.read(an_object("Thing__c", fields)))]), "Thing"
    )
    columns = columns_of(model).against([field["name"] for field in fields])
    assert model.salesforce_object == "Thing__c"
    assert columns.fields["models__c"].attname == "models_field"
    assert columns.fields["salesforce_object__c"].attname == "salesforce_object_field"


def test_a_class_is_not_named_like_a_keyword():
    assert class_names(["None__c", "True__c"]) == ["CustomNone", "CustomTrue"]


def test_objects_have_their_articles():
    owner = a_text("Id"), {"name": "OwnerId", "type": "reference", "referenceTo": ["User", "Asset"]}
    text = module_code([choose(DescribedObject.read(an_object("Thing__c", [*owner])))])
    assert "the id of a User or an Asset" in text
