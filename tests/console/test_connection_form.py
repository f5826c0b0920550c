"""A connection's form has all its fields and shows no secret."""

from collections import Counter

from console.admin.connections.form import ConnectionForm
from console.admin.connections.page import ConnectionAdmin
from console.admin.form_fields import SecretField
from listeners.models import Connection


def test_each_field_stands_in_one_section():
    shown = [name for _, options in ConnectionAdmin.fieldsets for name in options["fields"]]
    editable = [field.name for field in Connection._meta.fields if field.editable]

    assert Counter(shown) == Counter(set(editable) - {"id"})


def test_each_secret_has_a_field_that_never_shows_it():
    fields = ConnectionForm.base_fields.items()

    assert {name for name, field in fields if isinstance(field, SecretField)} == set(
        Connection.SECRETS
    )
