"""Deliveries to a mirror that fail for good: their records are read instead."""

import pytest

from handlers.models import Delivery, HandlerMapping
from mirror.apply import upkeep
from mirror.models import DirtyRow
from tests.mirror.apply.changing import ACME, START, a_mirror, event, record, run_all
from tests.mirror.crm.models import Account

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("broker")]


@pytest.fixture
def mirror(listener):
    mirror = a_mirror(listener)
    record(listener, event("CREATE", 0, Name="Acme", Phone="1"))
    run_all()
    return mirror


def fail_for_good(monkeypatch):
    """Run the deliveries so that they fail and have no attempts left."""
    HandlerMapping.objects.update(max_attempts=1)

    def fail(*_, **__):
        raise RuntimeError("the table is broken")

    monkeypatch.setattr("mirror.apply.batch.decide", fail)
    run_all()
    monkeypatch.undo()


def test_no_later_change_is_applied_over_one_that_failed_for_good(listener, mirror, monkeypatch):
    record(listener, event(at=10_000, Phone="2"))
    fail_for_good(monkeypatch)
    record(listener, event(at=20_000, Name="Acme Ltd"))
    run_all()

    assert Delivery.objects.get(state="dead").halts
    assert Account.objects.get().name == "Acme", "the chain is halted"

    assert upkeep.start_due(mirror.created_at) == 1
    upkeep.work(mirror.pk)
    run_all()

    [mark] = DirtyRow.objects.all()
    assert (mark.record_id, mark.since) == (ACME, START + 20_000)
    assert "the table is broken" in mark.error
    assert Account.objects.get().name == "Acme", "its record is to be read"
    states = Delivery.objects.order_by("id").values_list("state", flat=True)
    assert [*states] == ["succeeded", "skipped", "succeeded"]
    assert Delivery.objects.get(state="skipped").error.endswith("read from Salesforce instead.")
