"""Changes that are read after a gap event or retried from quarantine have traces too."""

import pytest
from django.utils import timezone

from audit.models import Quarantined
from consumer.gaps.complete import complete
from consumer.ingest.entry import entry_of
from consumer.ingest.quarantine_retry import ingest_again
from consumer.ingest.transaction import ingest
from consumer.reconciliation.backfill import record_chosen
from handlers import tracing
from listeners.salesforce.decode import decode, message_text
from tests.consumer.hearing import hear
from tests.sample_data import ANN, change, lease_of, received
from tests.tracing import Made, links, place

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("broker")]


@pytest.fixture
def made(monkeypatch):
    made = Made()
    monkeypatch.setattr(tracing, "spans", made.spans)
    return made


def test_what_is_read_for_a_gap_event_links_to_its_trace(org, heard, account, made):
    org.gap("GAP_UPDATE", "Account", account)
    hear(org, heard)

    complete(heard.pk)

    [gap], [read] = made("receive"), made("read Account")
    assert links(read) == [place(gap)]
    assert read.attributes["cdc.source"] == "gap"
    [send] = made("send")
    assert (send.context.trace_id, send.parent.span_id) == place(read)


def test_what_is_added_beside_the_stream_begins_a_trace(listener, made):
    [event] = decode(change())
    entry = entry_of(listener, event, timezone.now())
    entry.source = "reconcile"

    record_chosen(listener, lambda: [entry])

    assert [one.name for one in made()] == ["record", "read Account"]


def test_a_message_from_quarantine_begins_a_trace_with_the_time_of_its_receipt(listener, made):
    row = Quarantined.objects.create(
        listener=listener,
        raw=message_text(change()),
        error="unreadable",
        received_at=timezone.now(),
    )

    ingest_again(row, ANN, timezone.now())

    [receive] = made("receive")
    assert receive.start_time == round(row.received_at.timestamp() * 1_000_000) * 1000


def test_what_is_quarantined_is_none(listener, made):
    ingest(listener, lease_of(listener), received({"data": {"event": {"replayId": 7}}}))

    assert made() == []
