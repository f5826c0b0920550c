import itertools
from datetime import UTC, datetime

import pytest
from django.contrib.auth.models import Group

import cdcproject.urls  # noqa: F401  registers the pages
from audit.models import AuditLogEntry
from console.home import facts, page
from handlers.models import Delivery
from tests.sample_data import make_deleted_mapping

_numbers = itertools.count(1)
NOW = datetime(2025, 11, 25, 12, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _nothing_from_other_tests():
    """Clear the figures of Home, which are cached for some seconds."""
    facts.LAST_DAY.clear()
    page.PARTS.clear()


@pytest.fixture(autouse=True)
def _patient_counts(patient_counts):
    """Give counts of rows a minute in all tests of the console."""


@pytest.fixture
def make_entry(listener):
    def make(**fields) -> AuditLogEntry:
        number = next(_numbers)
        return AuditLogEntry.objects.create(
            **{
                "listener": listener,
                "channel": "/data/ChangeEvents",
                "entity_name": "Account",
                "record_id": f"0015g{number:010}AAA",
                "change_type": "UPDATE",
                "transaction_key": f"transaction-{number}",
                "sequence_number": 1,
                "commit_timestamp": 1_764_000_000_000,
                "changed_data": {"Phone": "+49 30 1234567"},
                "received_at": NOW,
                **fields,
            }
        )

    return make


@pytest.fixture
def make_delivery(make_entry):
    def make(entry=None, mapping=None, **fields) -> Delivery:
        """Make a delivery, of a deleted mapping unless one is given."""
        entry = entry or make_entry()
        return Delivery.objects.create(
            **{
                "entry": entry,
                "mapping": mapping or make_deleted_mapping(entry.listener),
                "handler": "tests.remember",
                "state": "succeeded",
                "created_at": NOW,
                **fields,
            }
        )

    return make


@pytest.fixture
def listed(admin_client):
    """Returns the rows that a list shows."""

    def rows(path: str, **parameters) -> list:
        response = admin_client.get(path, parameters)
        assert response.status_code == 200, response.headers
        return list(response.context["cl"].result_list)

    return rows


@pytest.fixture
def as_a(client, django_user_model):
    """Logs a client in as a user with that role."""

    def make(role: str):
        user = django_user_model.objects.create_user(
            role.removeprefix("CDC ").lower(), is_staff=True
        )
        user.groups.add(Group.objects.get(name=role))
        client.force_login(user)
        return client

    return make
