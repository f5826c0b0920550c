"""An incident is open while a destination's broker takes no connection, and a metric says so."""

import threading
from concurrent.futures import wait
from datetime import timedelta

import pytest
from django.utils import timezone
from prometheus_client.metrics_core import GaugeMetricFamily

from audit.models import Incident
from consumer.monitoring import checks, destinations
from consumer.status.db_metrics import State
from handlers.models import Destination
from listeners.threads import call_in_thread
from tests.servers import PATIENCE_SECONDS, RedisServer

pytestmark = [pytest.mark.slow, pytest.mark.django_db, pytest.mark.usefixtures("patient_metrics")]


def up() -> dict[str, float]:
    families: list[GaugeMetricFamily] = list(State().collect())
    [family] = [family for family in families if family.name == "cdc_destination_up"]
    return {sample.labels["destination"]: sample.value for sample in family.samples}


def check(after: timedelta = timedelta()) -> None:
    destinations.check(timezone.now() + after)


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("patient")
def test_it_is_opened_once_and_closed_when_the_broker_is_back(tmp_path, monkeypatch):
    monkeypatch.setattr(destinations, "LONGEST_SECONDS", PATIENCE_SECONDS)
    with RedisServer(tmp_path) as server:
        Destination.objects.create(name="shop", broker=server.url)
        check()
        assert (Incident.objects.count(), up()) == (0, {"shop": 1.0})

        server.stop()
        check()
        check()
        incident = Incident.objects.get()
        assert (incident.kind, incident.key, incident.count) == ("destination", "shop", 1)
        assert incident.summary.startswith("Destination shop: ")
        assert up() == {"shop": 0.0}

        server.start()
        check()
        assert up() == {"shop": 0.0}  # another process may have failed to connect just now
        check(destinations.QUIET)
        incident.refresh_from_db()
        assert incident.note == "Its broker accepts connections again."
        assert up() == {"shop": 1.0}


def test_it_is_closed_when_the_destination_is_deleted():
    shop = Destination.objects.create(name="shop", broker="env:NOT_SET_ANYWHERE")
    check()
    shop.delete()
    check()

    incident = Incident.objects.get()
    assert not incident.is_open
    assert "NOT_SET_ANYWHERE is not set" in incident.summary


def test_no_destination_keeps_others_from_being_watched_and_alerts_from_being_sent(monkeypatch):
    """The errors of one are no broker errors, and another does not answer."""
    is_over = threading.Event()
    behaviours = {"odd": lambda: int("a..b"), "slow": lambda: is_over.wait(PATIENCE_SECONDS)}
    for name in ("odd", "slow", "unset"):
        Destination.objects.create(name=name, broker="env:NOT_SET_ANYWHERE")
    failure = destinations._failure
    monkeypatch.setattr(
        destinations, "_failure", lambda row: behaviours.get(row.name, lambda: failure(row))()
    )

    def call_and_wait(name, probe, row):  # the limit counts for the slow one alone
        called = call_in_thread(name, probe, row)
        if row.name != "slow":
            wait([called], PATIENCE_SECONDS)
        return called

    monkeypatch.setattr(destinations, "call_in_thread", call_and_wait)
    monkeypatch.setattr(destinations, "LONGEST_SECONDS", 0.5)

    checks.run_round()
    is_over.set()

    summaries = dict(Incident.objects.values_list("key", "summary"))
    assert summaries["odd"] == (
        "Destination odd: the connection failed with ValueError; see the log."
    )
    assert summaries["slow"].startswith("Destination slow: no answer in")
    assert "NOT_SET_ANYWHERE is not set" in summaries["unset"]
