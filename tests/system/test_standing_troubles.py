"""An incident reports that Salesforce refuses a listener or is silent, and closes automatically."""

import re

import pytest

from audit.models import AuditLogEntry, Incident
from listeners.models import OrgUsage, Position
from tests.notice_receivers import Webhook
from tests.sample_data import listener_of
from tests.servers import wait_for
from tests.simulator.process import SimulatorProcess

pytestmark = pytest.mark.anywhere

Kind = Incident.Kind


@pytest.fixture
def org():
    with SimulatorProcess("--connect-timeout", "1") as simulator:
        yield simulator


@pytest.fixture
def webhook():
    server = Webhook()
    yield server
    server.close()


def closed(kind) -> Incident | None:
    return Incident.objects.filter(kind=kind).exclude(closed_at=None).first()


def opened(kind) -> Incident | None:
    return Incident.objects.filter(kind=kind, closed_at=None).first()


def test_silences_a_limit_and_a_busy_server_are_incidents_that_close(
    transactional_db, processes, org, webhook
):
    listener_of(org, read_timeout=3, connection_timeout=4)
    process = processes.listener(CDC_INCIDENT_WEBHOOK=webhook.url, CDC_TEST_WATCH_SECONDS="0.3")
    wait_for(lambda: Position.objects.filter(state="receiving"))
    org.wait_until_held()
    limit = "403::Organization total events daily limit exceeded"

    # Neither an event nor a sign of life, three times; then two refusals.
    org.fault("stall", channel="/meta/connect", seconds=20.0, times=3)
    org.fault("meta_error", channel="/meta/subscribe", error=limit, times=2)
    wait_for(lambda: opened(Kind.STALL))
    wait_for(lambda: closed(Kind.QUOTA), what="the end of the limit")
    org.fault("too_busy", times=None)
    wait_for(lambda: opened(Kind.BACK_OFF))
    org.clear_faults()
    wait_for(lambda: closed(Kind.BACK_OFF))
    org.create("Account", Name="after it")
    wait_for(lambda: AuditLogEntry.objects.count() == 1)

    assert re.search(r"fell silent \d+ times", opened(Kind.STALL).summary)
    assert "sent nothing for" in opened(Kind.STALL).summary
    quota = closed(Kind.QUOTA)
    assert (quota.count, quota.closed_by) == (1, "")
    assert limit in quota.summary
    assert "checks about every 0.3 s" in quota.action
    assert "Receiving again since" in quota.note
    assert re.search(r"\d+ times in a row", closed(Kind.BACK_OFF).summary)
    assert not Incident.objects.filter(kind=Kind.CONFIGURATION).exists()
    wait_for(lambda: ("stall", "open") in webhook.told)
    wait_for(lambda: ("quota", "closed") in webhook.told)
    wait_for(lambda: OrgUsage.objects.filter(remaining__gt=0))
    assert process.terminate() == 0
