"""The pytest plugin for handler authors: makes changes and delivers them in the test's process.

    pytest_plugins = ["pytest_cdc"]      # in conftest.py

cdc_event       makes a change: `cdc_event("Account", "update", changed={"Name": "New"})`
cdc_deliver     delivers it: `cdc_deliver(event, to=my_handler).state`
cdc_salesforce  sets what `event.salesforce` is: `cdc_salesforce(stand_in)`
cdc_listener    the listener that changes come from; override it for one of your own

`docs/testing-handlers.md` shows how. Nothing of the product is imported before a fixture needs it,
so that `-p pytest_cdc` works too.
"""

from pytest_cdc.fixtures import (
    cdc_broker,
    cdc_deliver,
    cdc_event,
    cdc_listener,
    cdc_salesforce,
)

__all__ = ["cdc_broker", "cdc_deliver", "cdc_event", "cdc_listener", "cdc_salesforce"]
