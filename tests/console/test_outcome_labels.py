"""The labels of an attempt's outcome in the console."""

import pytest

from console.labels import outcome_label
from handlers.models import DeliveryAttempt

pytestmark = pytest.mark.anywhere


@pytest.mark.parametrize("outcome", DeliveryAttempt.Outcome)
def test_each_outcome_has_a_label(outcome):
    assert outcome.label in outcome_label(outcome.value)
