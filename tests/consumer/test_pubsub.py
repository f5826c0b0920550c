"""Listeners receive over the Pub/Sub API, from the wire into the database, and can change
transports."""

import base64
import subprocess
import sys
import time
from datetime import timedelta

import pytest
from django.utils import timezone

from audit.models import AuditLogEntry, Incident, Quarantined, Reconciliation
from consumer.host import supervisor
from consumer.host.assignment import Assignment
from consumer.host.start import Hosting
from consumer.stream.login_guard import Logins
from consumer.stream.publisher import Publisher
from listeners.models import Listener, Position
from listeners.salesforce.pubsub import subscription
from listeners.salesforce.replay_ids import for_cometd
from tests.nursery import ROOT
from tests.sample_data import lease_of, listener_of
from tests.servers import PATIENCE_SECONDS, wait_for

pytestmark = pytest.mark.slow

Kind = Incident.Kind


@pytest.fixture
def pubsub(transactional_db, org):
    """Makes a listener of the org over the Pub/Sub API."""
    org.clear_faults()
    org.forget_requests()

    def make(**fields) -> Listener:
        fields = {"transport": "pubsub", "pubsub_endpoint": org.grpc_endpoint, **fields}
        return listener_of(org, replay_from="tip", **fields)

    return make


def receives(**fields) -> bool:
    return Position.objects.filter(state="receiving", **fields).exists()


def receives_from_the_tip() -> bool:
    """Return whether the subscription has its place in the stream, as a keep-alive says. Until the
    first one, a listener that is receiving may still miss a change: it has the headers only."""
    return receives(named_at__isnull=False)


def names() -> list[str]:
    entries = AuditLogEntry.objects.order_by("id")
    return [entry.changed_data.get("Name", entry.change_type) for entry in entries]


def heard(org, name: str) -> str:
    """Make a change, wait until it is recorded, and return the transport of the position's form."""
    org.create("Account", Name=name)
    wait_for(lambda: name in names())
    return "pubsub" if Position.objects.get().replay_id.startswith("0x") else "cometd"


def subscribed(org) -> list[str]:
    """Return the methods of the Pub/Sub API that were called."""
    return [call["method"] for call in org.pubsub_calls()]


def test_a_listener_moves_to_the_other_transport_and_back_with_its_position(
    org, run, pubsub, monkeypatch
):
    monkeypatch.setattr(supervisor, "REFRESH_SECONDS", 0.1)
    listener = pubsub(transport="cometd")
    run()
    wait_for(receives)
    forms = [heard(org, "one")]

    for transport in ("pubsub", "cometd"):
        listener.enabled = False
        listener.save()
        wait_for(lambda: Position.objects.filter(state="stopped").exists())
        org.create("Account", Name=f"while on the way to {transport}")
        listener.transport, listener.enabled = transport, True
        listener.save()
        wait_for(receives)
        forms.append(heard(org, f"over {transport}"))

    assert forms == ["cometd", "pubsub", "cometd"]
    assert names() == [
        "one",
        "while on the way to pubsub",
        "over pubsub",
        "while on the way to cometd",
        "over cometd",
    ]
    assert not Incident.objects.exists()


def test_a_position_that_has_no_form_there_is_an_incident_and_the_policy_is_followed(
    org, run, pubsub
):
    listener = pubsub(transport="cometd")
    org.create("Account", Name="not to be missed")
    lease_of(listener, "before")
    Position.objects.update(replay_id="0x0123456789", holder="", lease_until=None)

    run()

    wait_for(lambda: "not to be missed" in names())
    incident = Incident.objects.get(kind=Kind.REPLAY_LOST)
    assert "the Pub/Sub replay id 0x0123456789 has no CometD form" in incident.remedy
    assert Reconciliation.objects.get(incident=incident).reason == "replay_lost"


def test_a_keep_alive_is_the_position_of_who_is_idle_and_idle_is_idle(org, run, pubsub):
    pubsub()

    running = run(idle_seconds=3600)
    wait_for(receives_from_the_tip)
    running.end_when_idle(6)

    assert running.wait() == 0
    position = Position.objects.get()
    assert position.replay_id.startswith("0x")
    assert position.named_at
    assert position.caught_up_at >= position.named_at
    assert not AuditLogEntry.objects.exists()


def test_an_event_that_cannot_be_read_holds_nothing_up(org, run, pubsub):
    pubsub()
    run()
    wait_for(receives_from_the_tip)
    known = org.create("Account", Name="before")
    header = {"entityName": "Account", "recordIds": known, "changeType": "UPDATE"}

    garbage = base64.b64encode(b"\xff" * 20).decode()
    org.raw({"ChangeEventHeader": header}, complete=True, avro_payload=garbage)

    assert heard(org, "after") == "pubsub"
    assert names() == ["before", "after"]
    assert Quarantined.objects.count() == 1
    assert Incident.objects.get().kind == Kind.UNDECODABLE


def test_the_daily_limit_is_an_incident_until_the_next_answer(org, run, pubsub, settings):
    settings.CDC_QUOTA_PROBE = 0.2
    org.fault("grpc_status", method="Subscribe", code="subscription.limit.exceeded")
    pubsub()

    run()

    wait_for(lambda: Incident.objects.filter(kind=Kind.QUOTA, closed_at__isnull=False).exists())
    assert "daily limit" in Incident.objects.get().summary


def test_a_process_that_hears_nothing_over_it_has_no_grpc():
    """gRPC must not be loaded in workers, because they fork and gRPC does not survive that."""
    code = (
        "import sys, django; django.setup()\n"
        "import cdcproject.celery, consumer.host.supervisor, consumer.tasks\n"
        "import consumer.diagnostics.connection_check\n"
        "import listeners.salesforce.decode, listeners.salesforce.pubsub.to_cometd\n"
        "sys.exit('grpc' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


# Managed subscriptions


def committed(org, name: str) -> int | None:
    """Return the replay id that the managed subscription has committed in Salesforce."""
    found = org.state()["pubsub"]["managed_subscriptions"]
    return next(one["committed"] for one in found if one["name"] == name)


def test_a_managed_subscription_commits_what_is_recorded(org, run, pubsub):
    org.managed_subscription("Told", "/data/ChangeEvents")
    pubsub(managed_subscription="Told")
    first = run()
    wait_for(receives_from_the_tip)
    heard(org, "one")
    wait_for(lambda: committed(org, "Told") == int(for_cometd(Position.objects.get().replay_id)))
    wait_for(lambda: Position.objects.get().subscription == "Told", what="an accepted commit")
    first.stop()
    org.create("Account", Name="meanwhile")

    run()

    wait_for(lambda: names() == ["one", "meanwhile"])
    assert "Subscribe" not in subscribed(org)
    assert Position.objects.get().tip_since is None  # where it began is not known here
    assert not Incident.objects.exists()


def test_a_managed_subscription_commits_the_last_change_at_the_end(
    org, broker, pubsub, settings, monkeypatch
):
    settings.CDC_BATCH_WAIT_MS = 600_000  # recorded is at the end only
    monkeypatch.setattr(subscription, "_PARTING_SECONDS", 60.0)
    org.managed_subscription("Last", "/data/ChangeEvents")
    listener = pubsub(managed_subscription="Last")
    [hosted] = Hosting("a", Logins(lambda seconds: True), Assignment("a", []), Publisher()).start(
        [listener]
    )
    wait_for(lambda: hosted.receiver.last_received_at, what="a keep-alive")
    org.create("Account", Name="one")
    wait_for(lambda: hosted.receiver.last_message_at)
    hosted.drain(time.monotonic() + PATIENCE_SECONDS)
    wait_for(hosted.is_drained)

    assert names() == ["one"]
    assert hosted.receiver.has_disconnected
    assert committed(org, "Last") == int(for_cometd(Position.objects.get().replay_id))


def test_a_position_that_was_not_committed_leads_to_a_comparison(org, run, pubsub):
    org.managed_subscription("Later", "/data/ChangeEvents")
    listener = pubsub()
    lease_of(listener, "before")
    known = timezone.now() - timedelta(hours=1)
    Position.objects.update(replay_id="77", last_event_at=known, holder="", lease_until=None)
    listener.managed_subscription = "Later"
    listener.save()

    run()

    wait_for(receives_from_the_tip)
    assert heard(org, "after") == "pubsub"
    incident = Incident.objects.get(kind=Kind.REPLAY_LOST)
    assert "continues where the managed subscription Later begins" in incident.summary
    assert Reconciliation.objects.get().window_start < known
    wait_for(lambda: Position.objects.get().subscription == "Later", what="an accepted commit")
