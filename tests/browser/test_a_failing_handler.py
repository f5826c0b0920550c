"""A failing handler is found on Home and explained, and its changes are redelivered after the
repair."""

import re

import pytest
from django.utils import timezone
from playwright.sync_api import expect

from audit.models import OperatorAction
from consumer.ingest.transaction import ingest
from handlers.models import Delivery, HandlerMapping
from handlers.outbox import publish
from tests.browser.crm_handlers import MENDED
from tests.sample_data import change, lease_of, make_mapping, received
from tests.servers import wait_for

pytestmark = pytest.mark.anywhere

WHY = "Every country has its number now."


@pytest.fixture
def failed(processes, listener):
    """Three contacts that a worker could not handle."""
    MENDED.unlink(missing_ok=True)
    mapping = make_mapping(listener, "create", "crm.sync_contact", entity="Contact")
    processes.worker()
    phones = ("+49 30 1234567", "+49 40 7654321", "+49 89 1111111")
    messages = [
        change("CREATE", [f"0035g00000EqG{number}GAAV"], entity="Contact", data={"Phone": phone})
        for number, phone in enumerate(phones)
    ]
    result = ingest(listener, lease_of(listener), received(*messages), [mapping])
    publish.publish(result.to_publish.ids, timezone.now())
    wait_for(lambda: Delivery.objects.filter(state="dead").count() == 3)
    yield mapping
    MENDED.unlink(missing_ok=True)


def test_an_operator_finds_out_why_and_redelivers_all_of_it(visitor, failed):
    visitor.log_in("CDC Operator")
    page = visitor.page
    visitor.look("Needs attention", "3 dead letters")
    page.get_by_role("link", name="3 dead letters").click()
    visitor.look("crm.sync_contact", "KeyError")
    page.get_by_role("link", name=re.compile("^delivery ")).click()
    visitor.look("KeyError", "Traceback")
    page.get_by_text("Traceback", exact=True).click()
    visitor.look("countries[phone[:3]]")
    page.get_by_role("link", name="Show in audit log").click()
    visitor.look("Changed fields", "+49")

    MENDED.touch()
    visitor.go_to("Dead letters")
    page.get_by_role("link", name="Redeliver all 3").click()
    visitor.look("redelivered", "3")
    page.get_by_label("Reason").fill(WHY)
    page.get_by_role("button", name="Redeliver 3").click()
    visitor.look("Result", WHY, "operator")
    expect(page.get_by_role("link", name="Succeeded 3")).to_be_visible()
    assert {one.state for one in Delivery.objects.all()} == {"succeeded"}

    visitor.go_to("Action log")
    visitor.look("operator", WHY)
    done = OperatorAction.objects.get(action="redeliver")
    assert (done.who, done.reason) == ("operator", WHY)
    visitor.go_to("Home")
    expect(page.locator("#home-verdict")).not_to_contain_text("dead letters")


def test_an_operator_pauses_a_handler_and_resumes_it(visitor, failed):
    visitor.log_in("CDC Operator")
    page = visitor.page
    visitor.go_to("Dead letters")
    page.get_by_role("link", name="Pause crm.sync_contact").click()
    visitor.look("Pause crm.sync_contact")
    page.get_by_label("Reason").fill("until it is mended")
    page.get_by_role("button", name="Pause").click()
    visitor.look("crm.sync_contact: paused.")
    assert HandlerMapping.objects.get().paused_at
    visitor.go_to("Home")
    visitor.look("paused")

    visitor.go_to("Dead letters")
    page.get_by_role("link", name="Resume crm.sync_contact").click()
    page.get_by_role("button", name="Resume").click()
    visitor.look("crm.sync_contact: resumed.")
    assert HandlerMapping.objects.get().paused_at is None
    whys = OperatorAction.objects.order_by("id").values_list("action", "who", "reason")
    assert list(whys) == [("pause", "operator", "until it is mended"), ("resume", "operator", "")]
