"""A process that ends has recorded and published all that it received."""

import threading
import time
from contextlib import contextmanager
from datetime import timedelta

import pytest

from audit.models import AuditLogEntry
from consumer.host import supervisor
from consumer.stream import recorder
from consumer.stream.receiver import Receiver
from handlers.models import Delivery, Handover
from handlers.outbox import handover
from listeners.models import Position
from tests.sample_data import listener_of
from tests.servers import PATIENCE_SECONDS, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]


@pytest.fixture(autouse=True)
def no_relay(monkeypatch):
    """Let no relay publish for a publisher that is held up."""
    monkeypatch.setattr(handover, "READY_AGE", timedelta(hours=1))


@pytest.fixture
def held(monkeypatch):
    """Holds up the calls of a function within the block, once it was called."""

    @contextmanager
    def hold(module, name):
        call, is_called, may_go_on = getattr(module, name), threading.Event(), threading.Event()

        def wait_and_call(*args, **options):
            is_called.set()
            may_go_on.wait(PATIENCE_SECONDS)
            return call(*args, **options)

        monkeypatch.setattr(module, name, wait_and_call)
        try:
            yield is_called
        finally:
            may_go_on.set()

    return hold


def start(org, run, **limits):
    listener_of(org, replay_from="tip")
    process = run(**limits)
    wait_for(lambda: Position.objects.filter(state="receiving").exists(), what="its subscription")
    return process


def assert_stays(process):
    assert process.is_busy()
    process.wait_until_busy()
    process.end_when_idle(2)
    assert process.is_running_after(3)
    assert process.is_hosting()


def assert_all_is_published(changes):
    assert AuditLogEntry.objects.count() == changes
    assert list(Delivery.objects.values_list("state", flat=True)) == ["queued"] * changes
    assert not Handover.objects.exists()


@pytest.mark.parametrize(
    ("module", "name"),
    [(recorder, "ingest"), (handover, "publish")],
    ids=["recorded", "published"],
)
def test_a_process_with_changes_to_be_recorded_or_published_is_not_idle(
    org, run, held, module, name
):
    process = start(org, run, idle_seconds=3600)

    with held(module, name) as is_called:
        org.create("Account", Name="Acme")
        assert is_called.wait(PATIENCE_SECONDS)
        assert_stays(process)

    assert process.wait() == 0
    assert_all_is_published(1)


def test_a_process_that_received_something_since_it_last_looked_is_not_idle(org, run, monkeypatch):
    def note(self, at):
        vars(self)["last_message_at"] = at

    with monkeypatch.context() as patch:
        just_now = property(lambda self: time.monotonic(), note)
        patch.setattr(Receiver, "last_message_at", just_now, raising=False)
        process = start(org, run, idle_seconds=3600)
        assert_stays(process)

    assert process.wait() == 0


def test_a_process_that_is_stopped_publishes_what_it_recorded(org, run, held, monkeypatch):
    monkeypatch.setattr(supervisor, "JOIN_SECONDS", PATIENCE_SECONDS)
    process = start(org, run)

    with held(handover, "publish") as is_called:
        org.create("Account", Name="Acme")
        assert is_called.wait(PATIENCE_SECONDS)
        process.ask_to_stop()
        assert process.is_running_after(2), "it waits for its publisher"

    assert process.wait() == 0
    assert not process.is_publishing()
    assert_all_is_published(1)
