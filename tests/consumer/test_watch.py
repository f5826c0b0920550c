"""Monitoring opens and closes incidents by the state of the database, without an event."""

import itertools
from datetime import timedelta

import pytest
from django.utils import timezone

from audit.models import AuditLogEntry, Incident, Quarantined, Reconciliation, Trouble
from consumer.monitoring.checks import watch
from handlers.models import Delivery
from listeners.models import Listener, Position
from tests.sample_data import lease_of, make_deleted_mapping

pytestmark = pytest.mark.django_db
Kind = Incident.Kind


@pytest.fixture
def now():
    return timezone.now()


def stand(listener, now, **fields) -> None:
    """Write the position as a process that runs the listener does."""
    lease_of(listener, "host:1")
    Listener.objects.update(created_at=now - timedelta(days=9), updated_at=now - timedelta(days=9))
    type(listener.connection).objects.update(updated_at=now - timedelta(days=9))
    found = {"state": "receiving", "state_since": now, "last_received_at": now, **fields}
    Position.objects.update(**found)


def opened(kind) -> Incident | None:
    return Incident.objects.filter(kind=kind, closed_at=None).first()


def the_closed(kind) -> Incident:
    return Incident.objects.exclude(closed_at=None).get(kind=kind)


# Outages


def test_an_enabled_listener_without_a_process_is_an_outage_once(listener, now):
    ago = now - timedelta(hours=2)
    stand(listener, now, last_received_at=ago, holder="", lease_until=None, replay_id="7",
          last_event_at=now - timedelta(hours=10), state="connecting")  # fmt: skip

    for seconds in (0, 30, 60):
        watch(now + timedelta(seconds=seconds))

    [incident] = Incident.objects.all()
    assert (incident.kind, incident.count) == (Kind.OUTAGE, 1)
    assert f"since {ago:%Y-%m-%d %H:%M} UTC" in incident.summary
    assert incident.action == "No process runs the listener."
    assert "Start manage.py run_cdc_listener" in incident.remedy
    assert "62.0 h from now" in incident.remedy
    assert incident.window_start == ago


def test_one_that_was_never_started_is_an_outage_too(listener, now):
    watch(now + timedelta(seconds=299))
    assert not opened(Kind.OUTAGE)
    watch(now + timedelta(seconds=301))
    assert opened(Kind.OUTAGE)


@pytest.mark.parametrize(
    "fields",
    [
        {"enabled": False},
        {"state": "failed", "failed_fingerprint": None},
        {
            "replay_id": "",
            "tip_since": None,
            "channel": "/data/ChangeEvents",
            "holder": "",
            "lease_until": None,
        },
        {"last_received_at_seconds": 299},
    ],
    ids=["disabled", "failed", "forgotten", "a moment ago"],
)
def test_a_listener_that_should_not_receive_is_no_outage(listener, now, fields):
    stand(listener, now, state="connecting", replay_id="7", last_event_at=now)
    seconds = fields.pop("last_received_at_seconds", 3600)
    Position.objects.update(last_received_at=now - timedelta(seconds=seconds))
    if not fields.pop("enabled", True):
        Listener.objects.update(enabled=False)
    if "failed_fingerprint" in fields:
        fields["failed_fingerprint"] = Listener.objects.get().fingerprint
    if fields:
        Position.objects.update(**fields)

    watch(now)

    assert not opened(Kind.OUTAGE)


def test_a_listener_that_receives_and_cannot_record_is_an_outage(listener, now):
    stand(listener, now, unrecorded_since=now)
    watch(now)
    assert not opened(Kind.OUTAGE)

    for seconds in (301, 302):
        later = now + timedelta(seconds=seconds)
        Position.objects.update(last_received_at=later)
        watch(later)

    incident = opened(Kind.OUTAGE)
    assert incident.summary.startswith(f"Nothing has been recorded since {now:%Y-%m-%d %H:%M} UTC")
    assert (incident.window_start, incident.count) == (now, 1)

    Position.objects.update(unrecorded_since=None)
    watch(later + timedelta(seconds=1))

    assert "recording again since" in the_closed(Kind.OUTAGE).note


def test_a_listener_that_never_received_and_no_longer_runs_is_an_outage(listener, now):
    stand(listener, now, state="connecting", last_received_at=None, holder="", lease_until=None)
    watch(now)
    assert opened(Kind.OUTAGE)


def test_a_listener_that_caught_up_without_a_change_and_no_longer_runs_is_an_outage(listener, now):
    """Nothing was recorded, so it has no replay id: it began with the earliest change."""
    ago = now - timedelta(hours=2)
    stand(listener, now, last_received_at=ago, caught_up_at=ago, holder="", lease_until=None)
    Position.objects.update(channel="/data/ChangeEvents")
    watch(now)
    assert opened(Kind.OUTAGE)


def test_a_subscription_that_is_taken_again_and_again_is_no_sign_of_life(listener, now):
    """Each poll is refused, and the listener subscribes again between two looks."""
    ago = now - timedelta(minutes=6)
    stand(listener, now, last_received_at=ago)
    watch(now)
    assert not opened(Kind.OUTAGE)  # a new session has until its first answer is late
    Position.objects.update(state="connecting", reason="HTTP 503")
    watch(now)
    assert opened(Kind.OUTAGE).window_start == ago
    Position.objects.update(state="receiving", reason="")
    watch(now)
    assert opened(Kind.OUTAGE)

    Position.objects.update(last_received_at=now)
    watch(now)
    assert not opened(Kind.OUTAGE)


def test_a_listener_that_stands_still_is_never_without_an_incident(listener, now):
    """The database may have been away when it stopped, or a user may have closed its incident."""
    stand(listener, now, state="failed", reason="login refused")
    Position.objects.update(failed_fingerprint=Listener.objects.get().fingerprint)
    for _ in range(2):
        watch(now)
    assert opened(Kind.CONFIGURATION).summary == "The listener stopped: login refused"
    assert Incident.objects.count() == 1

    Incident.objects.all().delete()
    report(listener, Kind.REPLAY_LOST, now)
    watch(now)
    assert not opened(Kind.CONFIGURATION)


def test_a_listener_that_was_just_enabled_has_its_time_to_connect(listener, now):
    stand(listener, now, state="connecting", last_received_at=now - timedelta(days=1))
    Listener.objects.update(updated_at=now)
    watch(now + timedelta(seconds=10))
    assert not opened(Kind.OUTAGE)


def test_an_outage_ends_by_itself_and_says_when(listener, now):
    ago = now - timedelta(hours=2)
    stand(listener, now, state="connecting", reason="503", last_received_at=ago)
    watch(now)
    assert "503" in opened(Kind.OUTAGE).summary
    assert "host:1" in opened(Kind.OUTAGE).action

    Position.objects.update(state="receiving", last_received_at=now, state_since=now)
    watch(now)

    incident = the_closed(Kind.OUTAGE)
    assert incident.closed_by == ""
    assert f"since {now:%Y-%m-%d %H:%M} UTC, after 2.0 h" in incident.note
    assert not Reconciliation.objects.exists()


def test_after_more_than_72_hours_the_window_is_compared_before_it_closes(listener, now):
    ago = now - timedelta(hours=80)
    stand(listener, now, state="connecting", last_received_at=ago)
    watch(now)
    Position.objects.update(state="receiving", last_received_at=now, state_since=now)

    for _ in range(2):
        watch(now)

    incident = opened(Kind.OUTAGE)
    job = Reconciliation.objects.get()
    assert (job.incident, job.window_start, job.window_end) == (incident, ago, now)
    assert job.reason == Reconciliation.Reason.OUTAGE
    assert "compared over REST" in incident.action


# The runway


def test_a_position_that_will_soon_age_out_is_one_incident(listener, now):
    stand(listener, now, state="connecting", replay_id="7",
          last_event_at=now - timedelta(hours=50))  # fmt: skip
    for _ in range(2):
        watch(now)
    incident = opened(Kind.RUNWAY)
    assert "in 22.0 h" in incident.summary
    assert incident.count == 1

    Position.objects.update(last_event_at=now)
    watch(now)
    assert "72.0 h left" in the_closed(Kind.RUNWAY).note


def test_an_idle_listener_that_receives_has_another_text(listener, now):
    stand(listener, now, replay_id="7", last_event_at=now - timedelta(hours=50))
    watch(now)
    incident = opened(Kind.RUNWAY)
    assert "No event has arrived for 50.0 h" in incident.summary
    assert "misses nothing" in incident.action


@pytest.mark.parametrize(
    ("replay_id", "hours"), [("7", 47), ("", 50), ("-2", 50)], ids=["fresh", "none", "earliest"]
)
def test_no_other_position_has_a_short_runway(listener, now, replay_id, hours):
    stand(listener, now, replay_id=replay_id, last_event_at=now - timedelta(hours=hours))
    watch(now)
    assert not opened(Kind.RUNWAY)


# Dead letters


@pytest.fixture
def make_delivery(listener, now):
    numbers = itertools.count(1)

    def make(**fields) -> Delivery:
        number = next(numbers)
        entry = AuditLogEntry.objects.create(
            listener=listener,
            entity_name="Account",
            record_id=f"001{number:012}AAA",
            change_type="CREATE",
            transaction_key=str(number),
            sequence_number=1,
            commit_timestamp=1_764_000_000_000,
            received_at=now,
        )
        wanted = {"handler": "tests.remember", "created_at": now, **fields}
        mapping = make_deleted_mapping(listener)
        return Delivery.objects.create(entry=entry, mapping=mapping, **wanted)

    return make


def test_dead_letters_are_counted_for_each_handler(listener, now, make_delivery):
    stand(listener, now)
    dead = [make_delivery(state="dead") for _ in range(3)]
    make_delivery(state="dead", handler="other")
    make_delivery(state="succeeded", handler="third")
    for _ in range(2):
        watch(now)

    found = {i.key: i.summary for i in Incident.objects.filter(kind=Kind.DEAD_LETTERS)}
    assert found == {
        "tests.remember": "3 deliveries to tests.remember failed for good.",
        "other": "1 delivery to other failed for good.",
    }

    Delivery.objects.filter(pk=dead[0].pk).update(state="succeeded")
    watch(now)
    assert "2 deliveries" in Incident.objects.get(key="tests.remember").summary
    Delivery.objects.filter(handler="tests.remember").update(state="succeeded")
    watch(now)
    assert the_closed(Kind.DEAD_LETTERS).key == "tests.remember"
    assert opened(Kind.DEAD_LETTERS).key == "other"


def test_an_older_handlers_dead_letters_are_not_forgotten_over_many_new_ones(
    listener, now, make_delivery, monkeypatch
):
    stand(listener, now)
    make_delivery(state="dead", handler="old")
    watch(now)
    monkeypatch.setattr("consumer.monitoring.checks.COUNTED", 2)
    for _ in range(3):
        make_delivery(state="dead", handler="new")
    watch(now)

    assert Incident.objects.get(key="new").summary.startswith("2 or more deliveries")
    assert Incident.objects.get(key="old").is_open


# Incidents that close when their trouble does not occur again


def report(listener, kind, when) -> None:
    Incident.objects.report(listener.pk, Trouble(kind, "", "it happened", "look"), when)


@pytest.mark.parametrize("kind", [Kind.STALL, Kind.MALFORMED_ANSWER])
def test_an_hour_of_quiet_while_receiving_ends_it(listener, now, kind):
    stand(listener, now)
    report(listener, kind, now - timedelta(minutes=59))
    watch(now)
    assert opened(kind)
    later = now + timedelta(minutes=2)
    Position.objects.update(state="connecting")
    watch(later)
    assert opened(kind)
    Position.objects.update(state="receiving", last_received_at=later)
    watch(later)
    assert "an hour" in the_closed(kind).note


@pytest.mark.parametrize(
    "kind", [Kind.STALL, Kind.QUOTA, Kind.BACK_OFF, Kind.OUTAGE, Kind.CONFIGURATION]
)
def test_disabling_a_listener_closes_its_incidents_of_running(listener, now, kind):
    stand(listener, now, state="stopped")
    report(listener, kind, now)
    Listener.objects.update(enabled=False)
    watch(now)
    assert the_closed(kind).note == "The listener was disabled."


def test_disabling_a_listener_closes_the_incident_of_its_orgs_limit(listener, now):
    stand(listener, now, state="stopped")
    Incident.objects.report(listener.pk, Trouble(Kind.QUOTA, "usage", "85%", "look"), now)
    Listener.objects.update(enabled=False)
    watch(now)
    assert the_closed(Kind.QUOTA)


def test_unreadable_events_are_an_incident_until_none_is_left(listener, now):
    stand(listener, now)
    report(listener, Kind.UNDECODABLE, now)
    row = Quarantined.objects.create(listener=listener, raw="{}", digest="1", received_at=now)
    answer = {"is_answer": True, "raw": "<html>", "digest": "2"}
    Quarantined.objects.create(listener=listener, received_at=now, **answer)
    watch(now)
    assert opened(Kind.UNDECODABLE)
    Quarantined.objects.filter(pk=row.pk).update(ingested_at=now)
    watch(now)
    assert the_closed(Kind.UNDECODABLE)


def test_an_incident_closed_while_it_is_reported_is_reopened(listener, now, monkeypatch):
    from audit.models.incident import IncidentQuerySet

    adds = IncidentQuerySet.bulk_create

    def close_meanwhile(self, *args, **kwargs):
        added = adds(self, *args, **kwargs)
        if not Incident.objects.exclude(closed_at=None).exists():
            Incident.objects.settle(now, by="ann")
        return added

    monkeypatch.setattr(IncidentQuerySet, "bulk_create", close_meanwhile)
    report(listener, Kind.STALL, now)
    assert opened(Kind.STALL).count == 1
    assert the_closed(Kind.STALL).closed_by == "ann"


def test_an_incident_that_was_reported_again_is_not_closed(listener, now):
    from consumer.monitoring.snapshot import close

    report(listener, Kind.STALL, now)
    seen = opened(Kind.STALL)
    report(listener, Kind.STALL, now + timedelta(seconds=1))
    close(seen, "quiet", now)
    assert opened(Kind.STALL)
