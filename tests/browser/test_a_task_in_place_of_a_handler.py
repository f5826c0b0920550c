"""The form of a mapping shows the settings of tasks once a task is entered."""

import pytest
from playwright.sync_api import expect

from handlers.models import Destination, HandlerMapping
from tests.sample_data import make_mapping
from tests.servers import free_port

pytestmark = pytest.mark.anywhere


def test_settings_of_tasks_appear_with_a_task(visitor, listener):
    mapping = make_mapping(listener, "update")
    Destination.objects.create(name="shop", broker=f"redis://127.0.0.1:{free_port()}/0")
    visitor.log_in("CDC Administrator")
    page = visitor.page
    page.goto(f"/admin/handlers/handlermapping/{mapping.pk}/change/")
    destination, timeout = page.locator("#id_destination"), page.locator("#id_report_timeout")
    expect(destination).to_be_hidden()
    expect(timeout).to_be_hidden()

    page.locator("#id_handler").select_option("")
    page.locator("#id_task").fill("shop.sync")
    expect(timeout).to_be_visible()
    destination.select_option("shop")
    visitor.look("The broker of this project")
    page.locator("#id_track").uncheck()
    expect(timeout).to_be_hidden()
    with page.expect_navigation():
        page.get_by_role("button", name="Save and continue editing").click()

    visitor.look("could not be checked")
    mapping = HandlerMapping.objects.get()
    assert (mapping.task, str(mapping.destination), mapping.track) == ("shop.sync", "shop", False)
    expect(destination).to_be_visible()
    expect(timeout).to_be_hidden()
