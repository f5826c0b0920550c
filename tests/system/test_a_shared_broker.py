"""This project and a user's own Celery project can share a broker."""

import json
import os
import sys

import pytest

from handlers.models import Delivery
from tests.processes import Running
from tests.sample_data import make_mapping
from tests.sample_handlers import read_journal
from tests.servers import wait_for

pytestmark = pytest.mark.anywhere

CHANGES = 60

SHOP = """
import json
from celery import Celery

app = Celery("shop", broker={url!r})


@app.task(name="shop.sync")
def sync(event):
    with open({arrived!r}, "a") as file:
        file.write(json.dumps(event["metadata"]["recordId"]) + "\\n")
"""


@pytest.fixture
def shop(tmp_path, any_broker):
    """A worker of the user's own project on Celery's default queue."""
    (tmp_path / "shop.py").write_text(
        SHOP.format(url=any_broker.url, arrived=str(tmp_path / "arrived"))
    )
    worker = Running(
        [sys.executable, "-m", "celery", f"--workdir={tmp_path}", "-A", "shop", "worker",
         "-l", "INFO", "-c", "1"],
        {"PATH": os.environ["PATH"]},
    )  # fmt: skip
    worker.wait_for_output("ready.")
    yield worker
    worker.close()


def arrived(tmp_path) -> list[str]:
    file = tmp_path / "arrived"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def test_every_change_reaches_its_own_project(
    processes, simulator, org_listener, any_broker, shop, tmp_path
):
    org_listener.mappings.all().delete()
    make_mapping(org_listener, "create", "tests.remember", entity="Account")
    make_mapping(org_listener, "create", "", entity="Contact", task="shop.sync", track=False)
    here = any_broker.environment
    worker = processes.start(
        "-m", "celery", "-A", "cdcproject", "worker", "-l", "INFO", "-c", "1", **here
    )
    worker.wait_for_output("ready.")
    listener = processes.listener(**here)
    listener.wait_for_output('"subscribed"')

    accounts = simulator.create("Account", *({"Name": f"Acme {n}"} for n in range(CHANGES)))
    contacts = simulator.create("Contact", *({"LastName": f"Ann {n}"} for n in range(CHANGES)))

    wait_for(lambda: len(arrived(tmp_path)) >= CHANGES, what="the shop's changes")
    handled = Delivery.objects.filter(handler="tests.remember", state="succeeded")
    wait_for(lambda: handled.count() == CHANGES, what="our handlers' changes")
    assert sorted(arrived(tmp_path)) == sorted(contacts)
    assert sorted(line["record"] for line in read_journal()) == sorted(accounts)
    assert "unregistered task" not in worker.output + shop.output
