"""The pytest plugin for who writes handlers: changes as handlers get them, delivered in this
process as the product delivers them, without a broker and without Salesforce.

    pytest_plugins = ["pytest_cdc"]      # in conftest.py

cdc_event       makes changes: `cdc_event("Account", "update", changed={"Name": "New"})`
cdc_deliver     delivers them: `cdc_deliver(event, to=my_handler).succeeded`
cdc_salesforce  what `event.salesforce` is: `cdc_salesforce(stand_in)`
cdc_listener    the listener that they come from; override it for one of your own

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
