"""A mirror that is loaded while its records change ends equal to the org."""

import random

import pytest
from django.db import transaction

from handlers.models import Delivery
from mirror import service
from mirror.models import DirtyRow, Mirror, MirrorRun
from tests.mirror.crm.models import Account
from tests.sample_data import ANN, listener_of
from tests.servers import wait_for
from tests.simulator.process import SimulatorProcess

pytestmark = pytest.mark.anywhere

ROWS, CHANGES = 300, 150


@pytest.fixture
def org():
    options = ("--connect-timeout", "5", "--bulk-job-seconds", "1", "--max-events-per-answer", "20")
    with SimulatorProcess(*options) as process:
        yield process


def change(org, ids, deleted) -> None:
    """Make one change at random."""
    one = random.choice(ids)
    match random.choice(["update"] * 5 + ["create", "delete", "undelete"]):
        case "update" if one not in deleted:
            org.update("Account", one, Name=f"Name {random.random()}", Phone=str(random.random()))
        case "create":
            ids += org.create("Account", Name=f"New {random.random()}")
        case "delete" if one not in deleted:
            org.delete("Account", one)
            deleted.add(one)
        case "undelete" if deleted:
            back = deleted.pop()
            org.undelete("Account", back)


def expected(org) -> dict[str, tuple[object, object]]:
    return {
        record["id"]: (record["fields"]["Name"], record["fields"]["Phone"])
        for record in org.records("Account")
        if not record["deleted"]
    }


def found() -> dict[str, tuple[object, object]]:
    return {row.pk: (row.name, row.phone) for row in Account.objects.all()}


def is_quiet(mirror) -> bool:
    mirror.refresh_from_db()
    return (
        mirror.phase == "in_sync"
        and not Delivery.objects.filter(state__in=Delivery.UNENDED).exists()
        and not DirtyRow.objects.exists()
        and not MirrorRun.objects.filter(state__in=MirrorRun.UNENDED).exists()
    )


def test_a_load_beside_live_changes_ends_equal_to_the_org(processes, org):
    ids = org.create("Account", *({"Name": f"Account {number}"} for number in range(ROWS)))
    listener = listener_of(org, handler="tests.remember")
    processes.listener()
    processes.worker(concurrency=2)
    with transaction.atomic():
        mirror = service.store(Mirror(model="crm.Account", listener=listener), ANN)
    deleted: set[str] = set()
    for _ in range(CHANGES):
        change(org, ids, deleted)
    wait_for(lambda: mirror.runs.filter(state="done").exists())

    wait_for(lambda: is_quiet(mirror) and found() == expected(org))

    assert found() == expected(org)
    run = mirror.runs.get(kind="load")
    assert (run.is_right, run.report["refused"]) == (True, 0)
    assert not Delivery.objects.filter(state="dead").exists()
