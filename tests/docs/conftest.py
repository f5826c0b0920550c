"""Fixtures for the pages' examples: the models of the app that they use."""

import importlib
import sys
from pathlib import Path

import pytest
from django.db import connection

sys.path.insert(0, str(Path(__file__).parent / "apps"))


@pytest.fixture(scope="session")
def _crm_tables(django_db_setup, django_db_blocker):
    models = importlib.import_module("crm.models")
    tables = models.Account, models.Contact
    with django_db_blocker.unblock(), connection.schema_editor() as editor:
        for table in tables:
            editor.create_model(table)
    yield models
    with django_db_blocker.unblock(), connection.schema_editor() as editor:
        for table in tables:
            editor.delete_model(table)


@pytest.fixture
def crm(_crm_tables, db):
    """The models of the app that the examples belong to, with empty tables."""
    for table in (_crm_tables.Account, _crm_tables.Contact):
        table.objects.all().delete()
    return _crm_tables
