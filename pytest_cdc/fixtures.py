"""The fixtures. With pytest-django's `db`: a test that wants real transactions is marked
`django_db(transaction=True)`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from listeners.models import Listener
    from pytest_cdc.broker import MemoryBroker
    from pytest_cdc.deliver import Deliver
    from pytest_cdc.events import MakeEvent
    from pytest_cdc.salesforce import StandIn


@pytest.fixture
def cdc_broker() -> Iterator[MemoryBroker]:
    """Celery's transport in memory, in place of the configured broker, for the time of a test."""
    from pytest_cdc.broker import in_memory

    with in_memory() as broker:
        yield broker


@pytest.fixture
def cdc_listener(db: None) -> Listener:
    """The listener that events come from. Override it for one with mappings of your own."""
    from pytest_cdc.salesforce import make_listener

    return make_listener()


@pytest.fixture
def cdc_salesforce() -> Iterator[StandIn]:
    """Call it with what `event.salesforce` is to be in this test."""
    from pytest_cdc.salesforce import stand_in

    with stand_in() as salesforce:
        yield salesforce


@pytest.fixture
def cdc_event(
    cdc_listener: Listener, cdc_salesforce: StandIn, cdc_broker: MemoryBroker
) -> MakeEvent:
    """Makes changes as handlers get them, and records them in the audit log."""
    from pytest_cdc.events import MakeEvent

    return MakeEvent(cdc_listener)


@pytest.fixture
def cdc_deliver(
    cdc_listener: Listener, cdc_salesforce: StandIn, cdc_broker: MemoryBroker
) -> Deliver:
    """Delivers changes to handlers as the product does, in this process."""
    from pytest_cdc.deliver import Deliver

    return Deliver(cdc_listener, cdc_broker)
