"""A new user gets from an empty console to a handled change: connection, listener, handler,
start."""

import pytest
from playwright.sync_api import expect

from audit.models import OperatorAction
from handlers.models import Delivery
from listeners.models import Connection, Listener
from tests.servers import wait_for

pytestmark = pytest.mark.anywhere


def test_an_administrator_hears_a_first_change(visitor, processes, simulator):
    processes.worker()
    processes.listener()
    visitor.log_in("CDC Administrator")
    page = visitor.page
    visitor.look("No listeners yet")
    page.get_by_role("link", name="New connection").click()
    add_a_connection(visitor, simulator)
    visitor.go_to("Home")
    page.get_by_role("link", name="New listener").click()
    add_a_listener(visitor)
    page.get_by_role("link", name="onCreate of Every entity").click()
    choose_a_handler(visitor)
    page.get_by_role("link", name="Start it").click()
    visitor.look("Start accounts")
    page.get_by_label("Reason").fill("first try")
    page.get_by_role("button", name="Start").click()
    expect(page.get_by_role("region", name="Where changes go")).to_contain_text("Receiving")
    [account] = simulator.create("Account", Name="Nordwind Logistik GmbH")
    wait_for(Delivery.objects.filter(state="succeeded").exists)

    visitor.go_to("Audit log")
    row = page.get_by_role("row").filter(has_text=account)
    expect(row).to_contain_text("accounts")
    expect(row).to_contain_text("Succeeded")
    assert Delivery.objects.get().handler == "crm.sync_account"
    assert list(
        OperatorAction.objects.filter(who="administrator").order_by("id").values_list("action")
    ) == [("test",), ("test",), ("add",), ("test",), ("add",), ("change",), ("start",)]


def add_a_connection(visitor, simulator) -> None:
    """Test the connection before it is saved; nothing is stored until then."""
    page = visitor.page
    visitor.field("Name").fill("prod")
    visitor.field("Kind of login").select_option("OAuth 2.0 client credentials")
    expect(visitor.field("Username")).not_to_be_visible()
    visitor.field("Base URL").fill(simulator.url)
    visitor.field("Client ID").fill(simulator.credentials["client_id"])
    visitor.field("Client secret").fill("wrong")
    page.get_by_role("button", name="Test connection").click()
    visitor.look("1 check failed.", "Check the client secret")
    visitor.field("Client secret").fill(simulator.credentials["client_secret"])
    page.get_by_role("button", name="Test connection").click()
    visitor.look("The test passed.")
    assert not Connection.objects.exists()
    page.get_by_role("button", name="Save", exact=True).click()
    visitor.look("was added successfully")


def add_a_listener(visitor) -> None:
    """Choose one of the channels that the org offers, by typing a part of its name."""
    page = visitor.page
    visitor.look("1. Connection", "The org offers")
    channel = page.get_by_role("combobox", name="Channel")
    channel.fill("accountch")
    channel.press("ArrowDown")
    channel.press("Enter")
    expect(channel).to_have_value("/data/AccountChangeEvent")
    visitor.field("Name").fill("accounts")
    visitor.field("Enabled").uncheck()
    page.get_by_role("button", name="Test connection and channel").click()
    expect(page.get_by_text("The test passed.")).to_be_visible()
    assert not Listener.objects.exists()
    page.get_by_role("button", name="Save", exact=True).click()
    visitor.look("Next: choose the handlers that get its changes.", "Where changes go")
    assert Listener.objects.get().channel == "/data/AccountChangeEvent"


def choose_a_handler(visitor) -> None:
    page = visitor.page
    visitor.look("No changes recorded yet")
    visitor.field("Handler").select_option("crm.sync_account")
    page.get_by_role("button", name="Save", exact=True).click()
    visitor.look("crm.sync_account", "The listener is disabled.")
