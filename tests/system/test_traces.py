"""One trace from the event to its handlers, over all processes, as a collector gets it."""

import pytest

from handlers.models import Delivery
from tests.collector import Collector
from tests.sample_data import make_mapping
from tests.servers import wait_for

MARK = "zanzibar"


@pytest.fixture
def collector():
    running = Collector()
    yield running
    running.close()


def test_a_change_is_one_trace_from_its_receipt_to_the_last_attempt(
    processes, simulator, org_listener, collector
):
    make_mapping(org_listener, "create", "tests.fail_twice")
    settings = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        "OTEL_EXPORTER_OTLP_HEADERS": "api-key=secret",
    }
    import time; a=time.monotonic()
    worker = processes.worker(**settings)
    print('worker', time.monotonic()-a)
    [record] = simulator.create("Account", Name=MARK)

    assert processes.listener("--until-idle", "1", **settings).wait() == 0
    print('listener', time.monotonic()-a)
    wait_for(lambda: Delivery.objects.filter(state="succeeded").count() == 2)
    print('done', time.monotonic()-a)
    assert worker.terminate() == 0

    print('worker ended', time.monotonic()-a)
    print(worker.output)
    spans = collector.spans
    assert len({span.trace for span in spans}) == 1
