import json
from datetime import datetime, timedelta

import pytest
from django.utils import timezone

from audit.models import AuditLogEntry, Incident, Trouble
from cdcproject.version import __version__
from consumer.status import listeners
from consumer.status.listeners import statuses
from handlers.models import Delivery, Worker
from listeners.models import Position
from tests.commands.running import record, run
from tests.sample_data import change, long_lease_of, make_listener, make_mapping

pytestmark = pytest.mark.django_db


@pytest.fixture
def now():
    return timezone.now()


def status(now):
    [only] = statuses(now)
    return only


def committed(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def test_a_listener_that_never_ran_is_stopped_and_knows_nothing(listener):
    [shown] = json.loads(run("cdc_status", "--format", "json").out)

    assert shown == {
        "listener": listener.name,
        "transport": "cometd",
        "enabled": True,
        "state": "stopped",
        "reason": None,
        "leader": None,
        "last_event_at": None,
        "last_received_at": None,
        "lag_seconds": None,
        "runway_hours": None,
        "replay_id": None,
        "backlog": dict.fromkeys(Delivery.State.values, 0),
        "capped": [],
        "open_incidents": 0,
        "paused_handlers": [],
        "usage": {
            "delivered": 0,
            "org_delivered": 0,
            "org_limit": None,
            "org_remaining": None,
            "org_read_at": None,
        },
    }


def test_a_living_lease_names_the_leader(listener, now):
    long_lease_of(listener, "host:1")
    Position.objects.update(state="receiving", state_since=now, last_received_at=now)

    shown = status(now)

    assert (shown.state, shown.leader, shown.reason) == ("receiving", "host:1", None)


def test_an_event_was_received_once_it_is_recorded(listener, now):
    long_lease_of(listener, "host:1")
    ago = now - timedelta(seconds=3)  # an answer is written down later than its events
    Position.objects.update(last_received_at=ago, last_event_at=now)

    assert status(now).last_received_at == now


def test_a_process_that_died_is_not_shown_as_receiving(listener, now):
    long_lease_of(listener, "host:1")
    ended = now - timedelta(minutes=5)
    Position.objects.update(state="receiving", lease_until=ended + timedelta(seconds=10))

    shown = status(now)

    assert (shown.state, shown.leader) == ("stopped", None)
    heartbeat = f"{ended:%Y-%m-%d %H:%M:%S} UTC"
    crashed = "The listener process crashed or was killed"
    assert shown.reason == f"{crashed} (last heartbeat {heartbeat})"


def test_a_failure_keeps_its_reason_after_its_process_has_gone(listener, now):
    long_lease_of(listener)
    Position.objects.update(state="failed", reason="login refused", holder="", lease_until=None)

    shown = status(now)

    assert (shown.state, shown.reason) == ("failed", "login refused")


def test_alive_and_not_hearing_anything_is_stalled(listener, now):
    long_lease_of(listener)
    silent = now - timedelta(minutes=10)
    Position.objects.update(state="receiving", state_since=silent, last_received_at=silent)

    shown = status(now)

    assert shown.state == "stalled"
    assert "Salesforce has sent no message for 600 s" in shown.reason


def test_lag_is_from_the_commit_to_the_receipt_of_the_last_change(listener, now):
    sent_at = now - timedelta(seconds=30)
    record(listener, change(commitTimestamp=committed(sent_at)))

    lag = AuditLogEntry.objects.get().received_at - sent_at
    assert status(now).lag_seconds == pytest.approx(lag.total_seconds(), abs=0.01)


def test_runway_is_what_is_left_of_72_hours_since_the_event_of_the_position(listener, now):
    record(listener, change(commitTimestamp=committed(now - timedelta(hours=70)), replay="opaque"))

    shown = status(now)

    assert shown.replay_id == "opaque"
    assert shown.runway_hours == pytest.approx(2, abs=0.05)
    assert status(now + timedelta(hours=5)).runway_hours == 0


def test_runway_before_the_first_event_counts_from_the_tip(listener, now):
    long_lease_of(listener)
    Position.objects.update(tip_since=now - timedelta(hours=12))

    assert status(now).runway_hours == pytest.approx(60)


def test_backlog_and_incidents_are_of_that_listener_only(listener, now):
    make_mapping(listener, ordering="unordered")
    other = make_listener(name="zz-other")
    make_mapping(other)
    record(listener, change(records=("001a", "001b", "001c")))
    record(other, change())
    Delivery.objects.filter(entry__record_id="001a").update(state="dead")
    for one in (listener, listener, other):
        Incident.objects.report(one.pk, Trouble("gap", "Account", "Gap", "Read it"), now)
    Incident.objects.filter(listener=other).update(closed_at=now)

    mine, others = statuses(now)

    assert mine.backlog == {**dict.fromkeys(Delivery.State.values, 0), "queued": 2, "dead": 1}
    assert others.backlog["queued"] == 1
    assert (mine.open_incidents, others.open_incidents) == (1, 0)


def test_a_small_backlog_is_exact_in_every_state(listener, now):
    make_mapping(listener, ordering="unordered")
    record(listener, change(records=[f"001{number}" for number in range(4)]))
    for pk, state in zip(
        Delivery.objects.values_list("pk", flat=True),
        ("succeeded", "succeeded", "skipped", "sent"),
        strict=True,
    ):
        Delivery.objects.filter(pk=pk).update(state=state)

    shown = status(now)

    assert shown.capped == []
    assert {state: count for state, count in shown.backlog.items() if count} == {
        "succeeded": 2,
        "skipped": 1,
        "sent": 1,
    }


def test_a_large_backlog_is_counted_up_to_a_limit(listener, monkeypatch):
    """A count of millions takes seconds."""
    monkeypatch.setattr(listeners, "COUNTED", 3)
    make_mapping(listener, ordering="unordered")
    record(listener, change(records=[f"001{number}" for number in range(8)]))
    ids = list(Delivery.objects.order_by("id").values_list("pk", flat=True))
    Delivery.objects.filter(pk__in=ids[:4]).update(state="ready", queued_at=None)
    Delivery.objects.filter(pk__in=ids[6:]).update(state="succeeded")

    [shown] = json.loads(run("cdc_status", "--format", "json").out)

    counts = shown["backlog"]
    assert (counts["ready"], counts["queued"], counts["succeeded"]) == (3, 2, 2)
    assert shown["capped"] == ["ready", "sent", "skipped", "succeeded"]
    assert "3+ ready, 2 queued, 2+ succeeded" in run("cdc_status").out


def test_the_table_has_a_line_for_each_listener_and_its_reason_below(now):
    first, second = make_listener(name="a"), make_listener(name="b", enabled=False)
    long_lease_of(first)
    Position.objects.update(state="connecting", reason="the host does not answer")

    lines = run("cdc_status").lines

    assert lines[0].split()[:4] == ["LISTENER", "TRANSPORT", "STATE", "LEADER"]
    assert lines[1].split()[:3] == [first.name, "cometd", "connecting"]
    assert lines[2] == "  └ the host does not answer"
    assert lines[3].startswith(f"{second.name}         cometd     stopped (disabled)")


def test_without_listeners_the_table_says_what_to_do():
    assert run("cdc_status").out.startswith("No listeners yet. Create one")
    assert json.loads(run("cdc_status", "--format", "json").out) == []


def test_workers_of_another_version_are_counted(now):
    for name in ("celery@one", "celery@two"):
        Worker.objects.beat(name, 1, queues=["cdc"], concurrency=2, started_at=now)
    Worker.objects.filter(name="celery@two").update(version="0.0.9")

    said = run("cdc_status").lines[-1]

    assert said == f"Celery workers online: 2, 1 of them not of version {__version__} (queues: cdc)"
