"""The fixtures of the plugin. They use pytest-django's `db`; mark a test that needs real
transactions with `django_db(transaction=True)`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from listeners.models import Listener
    from pytest_cdc.broker import MemoryBroker
    from pytest_cdc.deliver import Deliver
    from pytest_cdc.events import MakeEvent


@pytest.fixture
def cdc_broker() -> Iterator[MemoryBroker]:
    """Celery's in-memory transport in place of the configured broker."""
    from pytest_cdc.broker import in_memory

    with in_memory() as broker:
        yield broker


@pytest.fixture
def cdc_listener(db: None) -> Listener:
    """The listener of the changes. It is never started."""
    from listeners.models import Connection, Listener

    connection = Connection.objects.create(
        name="pytest-cdc",
        auth=Connection.Auth.CLIENT_CREDENTIALS,
        base_url="https://pytest-cdc.invalid",
        client_id="pytest-cdc",
    )
    return Listener.objects.create(name="pytest-cdc", connection=connection, enabled=False)


@pytest.fixture
def cdc_salesforce(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], None]:
    """Replace the client that `event.salesforce` and `salesforce_client(…)` return."""
    from listeners.connections import handler_clients

    def replace(client: Callable[[], Any]) -> None:
        monkeypatch.setattr(handler_clients, "client_for", lambda *_: client())
        monkeypatch.setattr(handler_clients, "client_named", lambda *_: client())

    def no_org() -> Any:
        raise RuntimeError(
            "This test calls Salesforce without a stand-in. Add the fixture cdc_salesforce to the "
            "test, and call it with a stand-in: cdc_salesforce(stand_in)."
        )

    replace(no_org)
    return lambda stand_in: replace(lambda: stand_in)


@pytest.fixture
def cdc_event(cdc_listener: Listener, cdc_salesforce: object, cdc_broker: object) -> MakeEvent:
    """Make a change, record it in the audit log, and return its event."""
    from pytest_cdc.events import MakeEvent

    return MakeEvent(cdc_listener)


@pytest.fixture
def cdc_deliver(
    cdc_listener: Listener, cdc_salesforce: object, cdc_broker: MemoryBroker
) -> Deliver:
    """Deliver changes to a handler as the product does, in the test process."""
    from pytest_cdc.deliver import Deliver

    return Deliver(cdc_listener, cdc_broker)
