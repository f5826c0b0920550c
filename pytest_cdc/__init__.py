"""The pytest plugin for handler authors: it makes changes and delivers them in the test process.

    pytest_plugins = ["pytest_cdc"]      # in conftest.py

cdc_event       makes a change: `cdc_event("Account", "update", changed={"Name": "New"})`
cdc_deliver     delivers it: `cdc_deliver(event, to=my_handler).state`
cdc_salesforce  replaces `event.salesforce`: `cdc_salesforce(stand_in)`
cdc_listener    the listener of the changes; override it to use your own

The fixtures use pytest-django's `db`; mark a test that needs real transactions with
`django_db(transaction=True)`. See `docs/testing-handlers.md`. The product is imported only when a
fixture needs it, so that `-p pytest_cdc` works too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from listeners.models import Listener
    from pytest_cdc.deliver import Deliver, MemoryBroker
    from pytest_cdc.events import MakeEvent


@pytest.fixture
def cdc_broker() -> Iterator[MemoryBroker]:
    """Celery's in-memory transport in place of the configured broker."""
    from pytest_cdc.deliver import in_memory

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
def cdc_event(
    cdc_listener: Listener,
    cdc_salesforce: object,
    cdc_broker: object,
    monkeypatch: pytest.MonkeyPatch,
) -> MakeEvent:
    """Make a change, record it in the audit log, and return its event."""
    from handlers.sdk import mirrored
    from pytest_cdc.events import GivenRows, MakeEvent

    rows = GivenRows()
    monkeypatch.setattr(mirrored, "reader", rows)
    return MakeEvent(cdc_listener, rows)


@pytest.fixture
def cdc_deliver(
    cdc_listener: Listener, cdc_salesforce: object, cdc_broker: MemoryBroker
) -> Deliver:
    """Deliver changes to a handler as the product does, in the test process."""
    from pytest_cdc.deliver import Deliver

    return Deliver(cdc_listener, cdc_broker)
