"""A collector receives one trace from the event to its handlers, across all processes."""

import pytest

from handlers.models import Delivery
from tests.collector import Collector
from tests.sample_data import make_mapping
from tests.servers import wait_for

pytestmark = pytest.mark.anywhere

#: The value of the changed field, and nothing else, is like this.
MARK = "zanzibar"


@pytest.fixture
def collector():
    running = Collector()
    yield running
    running.close()


def test_a_change_is_one_trace_from_its_receipt_to_its_last_attempt(
    processes, simulator, org_listener, collector
):
    for handler in ("tests.fail_twice", "tests.look_up"):
        make_mapping(org_listener, "create", handler)
    settings = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        "OTEL_EXPORTER_OTLP_HEADERS": "api-key=hunter2",
    }
    worker = processes.worker(**settings)
    simulator.create("Account", Name=MARK)

    listener = processes.listener(**settings)
    wait_for(lambda: Delivery.objects.filter(state="succeeded").count() == 3)
    assert listener.terminate() == 0, listener.output
    assert worker.terminate() == 0  # what is left is sent at the end

    spans = collector.spans
    assert len({span.trace for span in spans}) == 1
    [root] = [span for span in spans if not span.parent]
    assert (root.name, root.service) == ("receive /data/ChangeEvents", "salesforce-cdc-listener")
    attempts = [span for span in spans if span.name.startswith("process")]
    assert {span.service for span in attempts} == {"salesforce-cdc-worker"}
    assert {(span.parent, span.kind) for span in attempts} == {(root.span, "consumer")}
    told = [(span.said["cdc.attempt"], span.is_error) for span in attempts if "twice" in span.name]
    assert told == [(1, True), (2, True), (3, False)]
    sent = [span for span in spans if span.name == "send cdc"]
    assert {span.parent for span in sent} == {root.span}
    assert len(sent) >= 5  # three deliveries, one of them twice more; again where a run is slow
    [looked_up] = [span for span in spans if span.name == "look up"]
    assert [span.name for span in attempts if span.span == looked_up.parent] == [
        "process tests.look_up"
    ]
    assert {headers["api-key"] for headers in collector.headers} == {"hunter2"}
    assert not any(MARK.encode() in body for body in collector.bodies)
