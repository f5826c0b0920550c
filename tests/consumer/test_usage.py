"""An org's daily limit of events is requested, shown, and reported as an incident when it runs
out."""

import json
from datetime import timedelta

import pytest
from django.utils import timezone

from audit.log.throughput import KNOWN_FOR, Usage, usages
from audit.models import Incident, Throughput
from consumer.monitoring.org_limits import EVERY, keep, keep_failure, refresh_due
from listeners.models import Listener, OrgUsage, Position
from tests.commands.running import run
from tests.sample_data import lease_of, make_listener

pytestmark = pytest.mark.django_db


@pytest.fixture
def now():
    return timezone.now()


def told() -> Incident | None:
    return Incident.objects.filter(kind="quota", key="usage", closed_at=None).first()


def limit(most: int, left: int) -> dict[str, int]:
    return {"Max": most, "Remaining": left}


def test_an_org_is_asked_once_an_hour(org_listener, now):
    assert refresh_due(now) == 1
    usage = OrgUsage.objects.get()
    assert 0 < usage.remaining <= usage.maximum
    assert (usage.read_at, usage.error) == (now, "")
    assert refresh_due(now + EVERY / 2) == 0
    assert refresh_due(now + EVERY) == 1


def test_an_org_that_does_not_answer_is_not_known_and_no_incident(transactional_db, listener, now):
    keep(listener.connection, limit(100, 50), now - EVERY)

    assert refresh_due(now) == 1

    usage = OrgUsage.objects.get()
    assert (usage.maximum, usage.remaining) == (None, None)
    assert "login not possible now" in usage.error
    assert not Incident.objects.exists()
    assert refresh_due(now + EVERY / 2) == 0


def test_a_login_that_stopped_a_listener_is_not_tried_beside_it(listener, now):
    beside = make_listener(connection=listener.connection)
    for one in (listener, beside):
        lease_of(one)
    Position.objects.filter(listener=beside).update(state="failed")
    assert refresh_due(now) == 0


def test_orgs_that_do_not_answer_hold_up_a_look_not_for_long(transactional_db, now, monkeypatch):
    monkeypatch.setattr("consumer.monitoring.org_limits.MOST_AT_ONCE", 2)
    for _ in range(3):
        make_listener()
    assert [refresh_due(now) for _ in range(3)] == [2, 1, 0]


def test_80_percent_of_the_limit_open_an_incident(listener, now):
    make_listener(connection=listener.connection)
    keep(listener.connection, limit(1000, 201), now)
    assert told() is None

    for left in (200, 150):
        keep(listener.connection, limit(1000, left), now)

    assert told().listener == listener
    assert told().count == 1
    assert "85% of the org's daily limit" in told().summary
    keep_failure(listener.connection, "no answer")
    assert told()
    keep(listener.connection, limit(1000, 500), now)
    assert told() is None
    assert "500 are left" in Incident.objects.get().note


def test_the_incident_moves_on_when_its_listener_is_disabled(listener, now):
    other = make_listener(connection=listener.connection)
    keep(listener.connection, limit(10, 1), now)
    Listener.objects.filter(pk=listener.pk).update(enabled=False)
    keep(listener.connection, limit(10, 1), now)
    assert told().listener == other


def test_the_usage_of_an_org_that_is_no_longer_queried_is_unknown(listener, now):
    keep(listener.connection, limit(10, 1), now)
    Listener.objects.update(enabled=False)

    assert refresh_due(now + EVERY) == 0

    assert told() is None
    assert usages(now + KNOWN_FOR)[listener.pk].org_remaining == 1
    assert usages(now + KNOWN_FOR + EVERY)[listener.pk] == Usage()


@pytest.mark.parametrize("answer", [None, {}, {"Max": "many"}, [], {"Max": 1}])
def test_an_answer_without_the_limit_says_so(listener, now, answer):
    keep(listener.connection, answer, now)
    assert "DailyDeliveredPlatformEvents" in OrgUsage.objects.get().error


def test_deliveries_are_added_up_for_the_org(listener, now):
    """They are added by org id, if a login has named it, across connections."""
    beside = make_listener(connection=listener.connection)
    elsewhere, another = make_listener(), make_listener()
    for one in (listener, elsewhere, another):
        lease_of(one)
    Position.objects.filter(listener__in=[listener, elsewhere]).update(org_id="00D000000000001AAA")
    for one, events in ((listener, 1), (beside, 2), (elsewhere, 4), (another, 8)):
        Throughput.objects.create(listener=one, minute=now - timedelta(hours=23), events=events)
        Throughput.objects.create(listener=one, minute=now - timedelta(hours=25), events=100)
    OrgUsage.objects.create(connection=listener.connection, maximum=90, remaining=60, read_at=now)

    found = usages(now)

    assert found[listener.pk] == Usage(1, 7, 90, 60, now)
    assert (found[beside.pk].delivered, found[beside.pk].org_delivered) == (2, 7)
    assert found[elsewhere.pk] == Usage(4, 7)
    assert found[another.pk] == Usage(8, 8)


def test_the_status_shows_it(listener, now):
    lease_of(listener)
    Position.objects.update(replay_id="7", last_event_at=now - timedelta(hours=12))
    Throughput.objects.create(listener=listener, minute=now, events=1234)
    OrgUsage.objects.create(
        connection=listener.connection, maximum=5000, remaining=2000, read_at=now
    )

    assert "1,234 events; org: 3,000 of 5,000" in run("cdc_status").out
    [shown] = json.loads(run("cdc_status", "--format", "json").out)
    assert shown["usage"]["org_remaining"] == 2000


def test_a_checked_connection_keeps_what_it_found(org_listener):
    run("check_cdc_connection", org_listener.connection.name)
    assert OrgUsage.objects.get().maximum > 0
