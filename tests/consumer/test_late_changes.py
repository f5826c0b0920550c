"""A change that is read from quarantine after later ones of its record does not undo them."""

import json
from typing import Any

import pytest
from django.utils import timezone

from audit.models import AuditLogEntry, Quarantined
from consumer.ingest.quarantine_retry import ingest_again
from consumer.ingest.transaction import ingest
from handlers.models import Delivery, HandlerMapping, Redelivery
from handlers.redelivery.request import RedeliveryRequest
from tests.redelivering import redeliver
from tests.running import run_delivery
from tests.sample_data import ANN, change, lease_of, make_mapping, received
from tests.sample_handlers import read_journal

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("broker", "journal")]

OTHER = "001000000000002AAA"


@pytest.fixture
def copied(listener):
    for on in HandlerMapping.On:
        make_mapping(listener, on, "tests.note_fields")
    return listener


def update(**data):
    return change("UPDATE", data=data)


def quarantined(listener, message, digest="d") -> Quarantined:
    fields = {"digest": digest, "error": "no decoder", "received_at": timezone.now()}
    return Quarantined.objects.create(listener=listener, raw=json.dumps(message), **fields)


def run_all() -> None:
    while ready := Delivery.objects.filter(state__in=("ready", "queued")).order_by("id").first():
        run_delivery(ready.pk)


def recorded(listener, *messages) -> None:
    ingest(listener, lease_of(listener), received(*messages))
    run_all()


def read_again(row: Quarantined) -> dict[str, Any]:
    ingest_again(row, ANN, timezone.now())
    run_all()
    return read_journal()[-1]


def test_its_fields_have_the_values_that_later_changes_gave_them(copied):
    recorded(copied, update(Phone="0"))
    row = quarantined(copied, update(Phone="1", Name="Acme"))
    recorded(copied, update(Phone="2"))

    line = read_again(row)

    assert line["data"] == {"Phone": "2", "Name": "Acme"}
    assert line["superseded"] == ["Phone"]
    late = Delivery.objects.latest("id")
    assert late.entry.changed_data["Phone"] == "1"
    assert late.redelivery.requested_by == str(ANN)
    assert late.redelivery.criteria == {"quarantined": row.pk}
    assert (late.redelivery.state, late.redelivery.count) == (Redelivery.State.DONE, 1)
    assert late.redelivery.counts == [["tests.note_fields", "", "first_time", "", 1]]


def test_it_counts_as_earlier_although_it_came_in_the_same_response(copied):
    row = quarantined(copied, update(Phone="1"))
    later = received(update(Phone="2"))
    later[0].received_at = row.received_at
    ingest(copied, lease_of(copied), later)
    run_all()

    assert read_again(row)["data"] == {"Phone": "2"}


def test_it_is_skipped_if_its_record_was_deleted_since(copied):
    row = quarantined(copied, update(Phone="1"))
    recorded(copied, change("DELETE"))

    ingest_again(row, ANN, timezone.now())
    run_all()

    late = Delivery.objects.latest("id")
    assert late.state == Delivery.State.SKIPPED
    assert "has since been deleted" in late.error


def test_it_waits_for_a_later_change_of_its_record_that_is_on_its_way(copied):
    row = quarantined(copied, update(Phone="1", Name="Acme"))
    ingest(copied, lease_of(copied), received(update(Phone="2")))

    assert read_again(row)["data"] == {"Phone": "2", "Name": "Acme"}


def test_it_does_not_overtake_a_change_from_before_it_that_is_redelivered(copied):
    recorded(copied, update(Phone="0", Name="Old"))
    row = quarantined(copied, update(Phone="1", Name="Acme"))
    recorded(copied, update(Phone="2"))
    read_again(row)
    first, second = Delivery.objects.order_by("id")[:2]

    redeliver(RedeliveryRequest(ANN, Delivery.objects.filter(pk=first.pk)), timezone.now())
    run_all()
    assert read_journal()[-1]["data"] == {"Phone": "2", "Name": "Acme"}

    redeliver(RedeliveryRequest(ANN, Delivery.objects.filter(pk=second.pk)), timezone.now())
    run_all()
    line = read_journal()[-1]
    assert (line["data"], line["superseded"]) == ({"Phone": "2"}, [])


def test_one_that_nothing_has_overtaken_is_delivered_like_any_change(copied):
    recorded(copied, update(Phone="0"))
    row = quarantined(copied, update(Phone="1"))
    recorded(copied, change("UPDATE", records=[OTHER], data={"Phone": "2"}))

    assert read_again(row)["data"] == {"Phone": "1"}
    assert not Redelivery.objects.exists()
    assert AuditLogEntry.objects.count() == 3


def test_of_two_that_are_read_in_reverse_order_the_older_one_undoes_nothing(copied):
    recorded(copied, update(Phone="0"))
    older = quarantined(copied, update(Name="older"))
    newer = quarantined(copied, update(Name="newer"), "e")
    recorded(copied, update(Phone="2"))

    assert read_again(newer)["data"] == {"Name": "newer"}
    assert read_again(older)["data"] == {"Name": "newer"}
