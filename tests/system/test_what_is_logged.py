"""All processes log JSON lines that name their subject and contain no values of changes."""

import json

import pytest

from handlers.models import Delivery
from tests.sample_data import make_mapping
from tests.servers import wait_for

pytestmark = pytest.mark.anywhere

#: The values of the changed fields, and nothing else, are like this.
MARK = "zanzibar"


def lines(process):
    return [json.loads(line) for line in process.output.splitlines() if line]


def test_every_line_is_json_and_handlers_lines_name_their_delivery(
    processes, simulator, org_listener, tmp_path
):
    for handler in ("tests.say", "tests.repeat", "handlers.log_change", "tests.say_all"):
        make_mapping(org_listener, "create", handler, max_attempts=1)
    as_json = {"LOG_FORMAT": "json", "LOG_LEVEL": "INFO"}
    listener = processes.listener(**as_json)
    worker = processes.start(
        "-m", "celery", "-A", "cdcproject", "--quiet", "worker", "-l", "INFO", "-c", "1", **as_json
    )
    beat = processes.start(
        "-m", "celery", "-A", "cdcproject", "--quiet", "beat", "-l", "INFO", "--pidfile=",
        "-s", str(tmp_path / "schedule"), **as_json,
    )  # fmt: skip
    listener.wait_for_output('"subscribed"')

    [record] = simulator.create("Account", Name=f"{MARK} Ltd.", Description=f"in {MARK}")
    simulator.create("Contact", {"LastName": MARK}, {"LastName": f"{MARK} too"})
    wait_for(lambda: Delivery.objects.filter(state__in=["succeeded", "dead"]).count() == 15)
    beat.wait_for_output("Sending due task")

    for process in (listener, worker, beat):
        assert lines(process)
        assert all(
            {"event", "level", "logger", "timestamp"} <= line.keys() for line in lines(process)
        )
        assert MARK not in process.output
    said = [line for line in lines(worker) if line["logger"] == "crm"]
    delivery = Delivery.objects.get(handler="tests.say", entry__record_id=record)
    about = {
        "listener": org_listener.name, "handler": "tests.say", "delivery": delivery.pk,
        "attempt": 1, "entity": "Account", "record": record,
    }  # fmt: skip
    for event in ("looked at", "looked at it again"):
        [line] = [one for one in said if one["event"] == event and one["delivery"] == delivery.pk]
        assert about.items() <= line.items()
    assert all("handler" in line for line in said)
    received = [line for line in lines(worker) if line["event"].endswith("received")]
    assert received
    assert not any("record" in line for line in received)  # only while the handler runs
