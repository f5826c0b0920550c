"""The pytest plugin for handler authors: it makes changes and delivers them in the test process.

    pytest_plugins = ["pytest_cdc"]      # in conftest.py

cdc_event       makes a change: `cdc_event("Account", "update", changed={"Name": "New"})`
cdc_deliver     delivers it: `cdc_deliver(event, to=my_handler).state`
cdc_salesforce  replaces `event.salesforce`: `cdc_salesforce(stand_in)`
cdc_listener    the listener of the changes; override it to use your own

See `docs/testing-handlers.md`. The product is imported only when a fixture needs it, so that
`-p pytest_cdc` works too.
"""

from pytest_cdc.fixtures import (
    cdc_broker,
    cdc_deliver,
    cdc_event,
    cdc_listener,
    cdc_salesforce,
)

__all__ = ["cdc_broker", "cdc_deliver", "cdc_event", "cdc_listener", "cdc_salesforce"]
