"""A gap event leads to a read of its record with the policy `fetch` only."""

from __future__ import annotations

from typing import Any

import pytest

from consumer.gaps.complete import complete
from handlers.models import Delivery
from tests.consumer.hearing import hear
from tests.sample_data import make_mapping
from tests.settings_on_the_wire.stored import listening, stored

pytestmark = pytest.mark.anywhere


@pytest.mark.django_db(transaction=True)
def test_a_record_is_read_from_salesforce_only_by_the_policy_to_fetch(
    simulator: Any, broker: Any
) -> None:
    [account] = simulator.create("Account", Name="Acme")
    simulator.gap("GAP_UPDATE", "Account", account)
    connection = stored(simulator)
    asked = {}
    for policy in ("fetch", "deliver", "record"):
        listener = listening(connection, name=policy, gap_policy=policy)
        make_mapping(listener, "update")
        simulator.forget_requests()

        hear(simulator, listener)
        complete(listener.pk)

        asked[policy] = [one for one in simulator.api_requests() if "/composite/" in one["path"]]
    assert {policy: len(requests) for policy, requests in asked.items()} == {
        "fetch": 1,
        "deliver": 0,
        "record": 0,
    }
    delivered = Delivery.objects.order_by("id").values_list(
        "entry__listener__name", "entry__change_type"
    )
    assert list(delivered) == [("fetch", "UPDATE"), ("deliver", "GAP_UPDATE")]
