"""System checks of mirrored models and configured mirrors."""

import pytest
from django.db import models

from mirror.checks import check_mirrors, check_models
from mirror.models import Mirror
from tests.mirror.test_columns import a_model


@pytest.fixture
def installed(monkeypatch):
    """Lets check_models see only these models, and returns its messages."""

    def install(*models_):
        monkeypatch.setattr("mirror.checks.apps.get_models", lambda: models_)
        return [(message.id, message.msg) for message in check_models()]

    return install


def test_the_models_of_the_tests_are_right():
    assert check_models() == []


def test_a_model_that_cannot_be_mirrored_is_an_error(installed):
    [(found, message)] = installed(a_model(raw=None))
    assert found == "mirror.E001"
    assert "things.Thing: A mirror needs the columns raw (JSONField)" in message


@pytest.mark.parametrize(
    "column",
    [
        {"system_modstamp": models.DateTimeField(null=True)},
        {"seen": models.TextField(null=True), "salesforce_fields": {"seen": "LastViewedDate"}},
    ],
)
def test_a_column_that_nothing_keeps_right_is_an_error(installed, column):
    [(found, message)] = installed(a_model(all_objects=models.Manager(), **column))
    assert found == "mirror.E001"
    assert "changes without an event" in message


def test_a_column_of_such_a_name_may_hold_another_field(installed):
    fields = {"system_modstamp": "System_Modstamp__c"}
    column = models.DateTimeField(null=True)
    model = a_model(all_objects=models.Manager(), system_modstamp=column, salesforce_fields=fields)
    assert installed(model) == []


def test_columns_must_accept_null_or_have_a_default(installed):
    managers = {"all_objects": models.Manager()}
    required = a_model(phone=models.TextField(), **managers)
    assert installed(required) == [
        ("mirror.E002", "things.Thing.phone accepts no null and has no default.")
    ]
    assert installed(a_model(phone=models.TextField(default=""), **managers)) == []
    assert installed(a_model(phone=models.TextField(null=True), **managers)) == []


def test_a_reference_may_not_be_a_constraint(installed):
    def child(**options):
        parent = a_model("Parent")
        key = models.ForeignKey(parent, models.DO_NOTHING, null=True, **options)
        meta = type("Meta", (), {"apps": parent._meta.apps, "app_label": "things"})
        return a_model(
            parent=key, Meta=meta, all_objects=models.Manager(), salesforce_object="Child__c"
        )

    assert [found for found, _ in installed(child())] == ["mirror.E003"]
    assert installed(child(db_constraint=False)) == []


def test_what_makes_trouble_later_is_a_warning(installed):
    model = a_model(number=models.TextField(null=True, unique=True))
    assert [found for found, _ in installed(model)] == ["mirror.W002", "mirror.W001"]


@pytest.fixture
def mirror(listener):
    def make(**fields):
        fields = {"model": "crm.Account", "salesforce_object": "Account", **fields}
        return Mirror.objects.create(listener=listener, created_at="2024-01-01T00:00:00Z", **fields)

    return make


def found():
    return [(message.id, message.msg) for message in check_mirrors()]


def test_a_mirror_is_right(mirror):
    mirror()
    assert found() == []


@pytest.mark.parametrize(
    ("fields", "check", "words"),
    [
        ({"model": "crm.Lead"}, "mirror.E004", "There is no model 'crm.Lead'"),
        ({"salesforce_object": "Contact"}, "mirror.E005", "was added for Contact"),
        ({"database": "shop"}, "mirror.E006", "database 'shop', which is not configured"),
    ],
)
def test_a_mirror_that_has_lost_something_is_an_error(mirror, fields, check, words):
    mirror(**fields)
    [(identity, message)] = found()
    assert identity == check
    assert words in message
