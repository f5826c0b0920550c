"""docs/external-tasks.md: its table names every option with its default, and its example reads an
event from a reference."""

import pytest
from django.utils import timezone
from rest_framework.authtoken.models import Token

from handlers.models import Delivery
from handlers.outbox import publish
from handlers.rules.task_options import TaskOptions
from tests.commands.running import record
from tests.docs.examples import DOCS, defined
from tests.docs.tables import rows_of
from tests.handlers.test_dispatch import messages_in
from tests.sample_data import change, make_mapping

PAGE = DOCS / "external-tasks.md"


def test_every_option_has_a_row_with_its_default():
    rows = {row[0].strip("`"): row[1] for row in rows_of(PAGE)}
    for name, default in TaskOptions.__dataclass_fields__.items():
        assert name in rows
        if isinstance(default.default, int | str):
            assert rows[name] == f"`{default.default}`"


@pytest.mark.django_db(transaction=True)
def test_a_task_reads_an_event_that_was_too_large(
    live_server, broker, listener, admin_user, settings, monkeypatch
):
    settings.CDC_PUBLIC_URL = live_server.url
    monkeypatch.setenv("CDC_API_TOKEN", Token.objects.create(user=admin_user).key)
    options = {"large_payload": "reference", "max_bytes": 1000}
    make_mapping(listener, "create", "", task="shop.sync", track=False, options=options)
    record(
        listener,
        change(records=["001A"], data={"Name": "x" * 2000}),
        change(records=["001B"], data={"Name": "Acme"}),
    )
    publish.publish(list(Delivery.objects.values_list("pk", flat=True)), timezone.now())
    large, small = (message["kwargs"]["event"] for message in messages_in("celery"))
    whole = defined(PAGE)["whole"]

    assert "changedData" not in large
    assert whole(large)["changedData"] == {"Name": "x" * 2000}
    assert whole(small)["changedData"] == {"Name": "Acme"}
