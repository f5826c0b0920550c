"""What a handler writes: the test's own transaction is around it, or there are real ones."""

import pytest
from django.db import connection

from pytest_cdc.broker import BrokenTransaction
from tests.pytest_cdc.handlers import CALLS, groups, write, write_apart


@pytest.mark.parametrize(
    "real", [False, pytest.param(True, marks=pytest.mark.django_db(transaction=True))]
)
class TestAtomic:
    def test_what_a_failed_attempt_wrote_is_undone(self, cdc_event, cdc_deliver, real):
        event = cdc_event("Account", changed={"Name": "-a", "Twice": True})

        delivered = cdc_deliver(event, to=write)

        assert delivered.retrying
        assert delivered.error.startswith("IntegrityError")
        assert (groups(), CALLS) == ([], [])
        assert connection.in_atomic_block is not real

    def test_what_it_wrote_stays_with_its_success(self, cdc_event, cdc_deliver, real):
        assert cdc_deliver(cdc_event("Account", changed={"Name": "-a"}), to=write).succeeded
        assert (groups(), CALLS) == (["-a"], ["committed"])


def test_one_that_breaks_the_tests_transaction_is_told_what_to_do(cdc_event, cdc_deliver):
    event = cdc_event("Account", changed={"Name": "-a"})

    with pytest.raises(BrokenTransaction, match=r"django_db\(transaction=True\)"):
        cdc_deliver(event, to=write_apart)


@pytest.mark.django_db(transaction=True)
def test_with_real_transactions_it_breaks_nothing(cdc_event, cdc_deliver):
    delivered = cdc_deliver(cdc_event("Account", changed={"Name": "-a"}), to=write_apart)

    assert delivered.error.startswith("IntegrityError")
    assert groups() == ["-a"]
