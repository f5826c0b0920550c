"""Records deleted permanently while no listener ran reach the handlers as deletions; the command,
the console and the API report the comparison."""

import pytest
from django.contrib.auth import get_user_model
from rest_framework.authtoken.models import Token
from rest_framework.test import APIClient

from audit.models import Incident, Reconciliation
from tests.sample_data import listener_of
from tests.sample_handlers import read_journal
from tests.servers import wait_for
from tests.simulator.process import SimulatorProcess

pytestmark = pytest.mark.anywhere

GONE = (
    "20 existing records of the audit log were looked up by id: 15 no longer exist in "
    "Salesforce, and the missing deletions are recorded now"
)


@pytest.fixture
def simulator():
    with SimulatorProcess("--connect-timeout", "1") as org:
        yield org


@pytest.fixture
def gone(processes, simulator, transactional_db):
    """The ids of 15 accounts of 20, deleted permanently after their listener had received all of
    them and stopped."""
    listener_of(simulator, channel="/data/AccountChangeEvent")
    processes.worker()
    records = simulator.create("Account", *[{"Name": f"{n}"} for n in range(20)])
    listener = processes.listener()
    wait_for(lambda: len(read_journal()) == 20, what="the creations")
    listener.terminate()
    simulator.delete("Account", records[:15])
    simulator.post("recycle-bin/empty")
    return records[:15]


def handled() -> dict[str, str]:
    return {line["record"]: line["change"] for line in read_journal()}


def test_the_command_finds_them(processes, simulator, gone):
    simulator.fault("age_out", forget=True)

    command = processes.start("manage.py", "reconcile_cdc")

    assert command.wait() == 0, command.output
    assert GONE in command.output
    assert "100 %" not in command.output
    wait_for(lambda: len(read_journal()) == 35, what="the deletions in their handler")
    assert {one: handled()[one] for one in gone} == dict.fromkeys(gone, "DELETE")


def test_a_lost_position_ends_with_them_and_with_the_evidence(
    processes, simulator, gone, admin_client
):
    simulator.fault("age_out")

    processes.listener()

    def closed() -> Incident | None:
        return Incident.objects.filter(kind="replay_lost").exclude(closed_at=None).first()

    wait_for(closed, what="the incident's end")
    wait_for(lambda: len(read_journal()) == 35, what="the deletions in their handler")
    incident, job = closed(), Reconciliation.objects.get()
    assert incident is not None
    assert f"{GONE}." in incident.note.splitlines()
    assert incident.note.splitlines()[0].startswith("Compared the records changed since ")
    for page in (
        f"/admin/audit/incident/{incident.pk}/change/",
        f"/admin/audit/reconciliation/{job.pk}/change/",
    ):
        assert GONE in admin_client.get(page).content.decode()
    assert f"{GONE}." in api().get(f"/api/v1/incidents/{incident.pk}/").json()["note"]


def api() -> APIClient:
    client = APIClient()
    user = get_user_model().objects.create_superuser("reader")
    client.credentials(HTTP_AUTHORIZATION=f"Token {Token.objects.create(user=user).key}")
    return client
