"""The example of the documentation, as it stands there."""

import re
from pathlib import Path

import pytest
from django.db import connection, models
from django.test.utils import isolate_apps

from handlers import registry
from handlers.runner import run_deliveries
from tests.handlers.bundling import deliver
from tests.nursery import ROOT

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("broker")]


@pytest.fixture
def account():
    """A table of the user's."""
    with isolate_apps("handlers"):

        class Account(models.Model):
            salesforce_id = models.CharField(max_length=18, unique=True)
            name = models.CharField(max_length=255, default="")
            phone = models.CharField(max_length=40, default="")

            class Meta:
                app_label = "handlers"

            def __str__(self) -> str:
                return self.name

    with connection.schema_editor() as editor:
        editor.create_model(Account)
    yield Account
    with connection.schema_editor() as editor:
        editor.delete_model(Account)


def test_the_bulk_upsert_writes_what_changed_and_nothing_else(listener, account, monkeypatch):
    text = Path(ROOT, "docs/handlers.md").read_text()
    [example] = [
        code for code in re.findall(r"```python\n(.*?)```", text, re.S) if "FIELDS =" in code
    ]
    monkeypatch.setattr(registry, "_handlers", dict(registry._handlers))
    exec(example, {"Account": account, "__name__": "docs"})
    created = [{"Name": "A", "Phone": "1"}, {"Name": "B", "Phone": "2"}, {"Name": "C"}]
    changed = [{"Phone": "3"}, {"Phone": None}, {"Name": "D", "LastModifiedDate": "now"}, {}]

    for data in (created, changed):
        ids = deliver(listener, "docs.sync_accounts", data=data)
        assert run_deliveries(ids, "docs.sync_accounts") == f"{len(data)} succeeded"
        listener.mappings.all().delete()

    rows = account.objects.order_by("salesforce_id").values_list("name", "phone")
    assert list(rows) == [("A", "3"), ("B", ""), ("D", "")]
