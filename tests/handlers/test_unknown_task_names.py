"""Senders choose the names of tasks: no name keeps the incidents of others from being written."""

import pytest

from audit.models import Incident
from handlers.messages.unknown_tasks import MOST_OPEN, Reporter
from tests.servers import wait_for

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize("name", ["shop.\ud800", "shop.\0sync", "x" * 255])
def test_a_name_that_no_database_stores_is_reported_with_those_after_it(name):
    reporter = Reporter()

    reporter.report(name, "cdc\0")
    reporter.report("shop.sync", "cdc")

    wait_for(lambda: Incident.objects.opened().count() == 2, what="both incidents")
    assert not +reporter._counts


def test_names_that_wait_for_the_database_are_bounded():
    reporter = Reporter()
    reporter._thread = object()  # which does not write

    for number in range(10 * MOST_OPEN):
        reporter.report(f"shop.task{number}", "cdc")

    assert len(reporter._counts) <= MOST_OPEN + 1
    assert reporter._counts.total() == 10 * MOST_OPEN
