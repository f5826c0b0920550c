"""A BaseException that a handler raises fails the attempt, as an Exception does."""

import pytest

from consumer.ingest.transaction import ingest
from handlers.models import Delivery, DeliveryAttempt
from tests.running import run_delivery
from tests.sample_data import change, lease_of, make_mapping, received
from tests.sample_handlers import RAISED

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("broker", "journal")]


def deliver(listener, handler, **options):
    mapping = make_mapping(listener, handler=handler, options=options)
    ingest(listener, lease_of(listener), received(change()), [mapping])
    return Delivery.objects.get(mapping=mapping)


@pytest.mark.parametrize("name", sorted(RAISED.keys() - {"KeyboardInterrupt"}))
def test_it_is_a_failure_with_its_cause_and_traceback(listener, name):
    delivery = deliver(listener, "tests.raise_as_told", **{"raise": name})

    assert run_delivery(delivery.pk) == "failed"

    delivery.refresh_from_db()
    attempt = DeliveryAttempt.objects.get()
    assert (delivery.state, attempt.outcome) == ("dead", "failed")
    assert delivery.error == f"{name}: {RAISED[name]}"
    assert "in raise_as_told" in attempt.traceback


def test_ctrl_c_where_python_handles_it_still_interrupts(listener):
    delivery = deliver(listener, "tests.raise_as_told", **{"raise": "KeyboardInterrupt"})

    with pytest.raises(KeyboardInterrupt):
        run_delivery(delivery.pk)

    assert not DeliveryAttempt.objects.exists()


def test_an_error_whose_text_cannot_be_read_is_a_failure(listener):
    delivery = deliver(listener, "tests.raise_unreadable")

    assert run_delivery(delivery.pk) == "failed"

    delivery.refresh_from_db()
    assert delivery.error == "Unreadable: its text cannot be read"
