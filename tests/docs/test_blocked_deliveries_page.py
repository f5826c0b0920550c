"""docs/blocked-deliveries.md says for each reason why a delivery waits what to do."""

import re
from dataclasses import dataclass, field
from typing import Any

import pytest
from django.utils import timezone

from consumer.ingest.entry import entry_of
from handlers.external import apps, closed_queues
from handlers.models import Delivery, Destination, HandlerMapping
from handlers.reporting.wait_reason import waits_for
from listeners.salesforce.decode import decode
from tests.docs.examples import DOCS
from tests.mirrored import make_mirror
from tests.sample_data import change, make_listener, make_mapping

PAGE = (DOCS / "blocked-deliveries.md").read_text()
NOW = timezone.now()


@dataclass(frozen=True)
class Earlier:
    """An earlier delivery of the record, for which another one waits."""

    state: str
    fields: dict[str, Any] = field(default_factory=dict)
    is_paused: bool = False


#: Each delivery that can hold its chain, and how.
EARLIER = {
    "ready": Earlier("ready"),
    "unregistered": Earlier("ready", {"handler": "crm.sync"}),
    "queued": Earlier("queued"),
    "sent": Earlier("queued", {"is_external": True, "is_tracked": True, "claim_deadline": NOW}),
    "running": Earlier("running", {"claim_deadline": NOW}),
    "retrying": Earlier("retrying", {"due_at": NOW}),
    "dead": Earlier("dead", {"halts": True}),
    "unread": Earlier("blocked", {"awaits_record": True}),
    "unmirrored": Earlier("blocked", {"awaits_mirror": True}),
    "paused": Earlier("ready", is_paused=True),
}


def delivery(mapping, state, **fields) -> Delivery:
    [event] = decode(change())
    entry = entry_of(mapping.listener, event, NOW)
    entry.save()
    given = {"handler": mapping.handler, "chain": "1:record", "created_at": NOW, **fields}
    return Delivery.objects.create(entry=entry, mapping=mapping, state=state, **given)


def pages_words(reason: str) -> str:
    """Return the reason as the page writes it: N for the delivery, TIME for a time, NAME for a
    handler, ENTITY for the mirrored object."""
    text = re.sub(r"delivery \d+", "delivery N", reason)
    text = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", "TIME", text)
    text = re.sub(r"mirror of \w+", "mirror of ENTITY", text)
    text = re.sub(r"Destination \w+: the queue \w+", "Destination NAME: the queue QUEUE", text)
    return re.sub(r"'[\w.]+'", "NAME", text)


def told() -> list[str]:
    """Return the first cell of each row."""
    rows = re.findall(r"^\| (It|Its|Nothing) (.+?) \| ", PAGE, re.MULTILINE)
    return [" ".join(row) for row in rows]


@pytest.fixture
def mapping(db):
    return make_mapping(make_listener())


@pytest.fixture
def paused(mapping):
    return make_mapping(mapping.listener, on="update", paused_at=NOW)


def test_it_has_each_state_that_holds_a_chain():
    holding = {earlier.state for earlier in EARLIER.values()}

    assert holding == {*Delivery.UNENDED, Delivery.State.DEAD}


@pytest.mark.parametrize("earlier", EARLIER.values(), ids=EARLIER)
def test_it_has_what_a_delivery_says_that_waits_for_an_earlier_one(mapping, paused, earlier):
    delivery(paused if earlier.is_paused else mapping, earlier.state, **earlier.fields)
    wait = waits_for(delivery(mapping, "blocked"))

    assert pages_words(wait.reason) in told()


def test_it_has_what_a_delivery_says_that_waits_for_no_other(mapping, paused):
    unread = delivery(mapping, "blocked", awaits_record=True, chain="")
    following = delivery(mapping, "blocked", chain="1:other")
    aside = delivery(paused, "ready", chain="", paused=True)

    reasons = {pages_words(waits_for(row).reason) for row in (unread, following, aside)}

    assert len(reasons) == 3
    assert reasons <= set(told())


@pytest.mark.parametrize("state", ["queued", "dead", "succeeded"])
def test_it_has_what_a_delivery_says_that_waits_for_the_mirror(mapping, state):
    listener = mapping.listener
    of_mirror = make_mapping(listener, handler="mirror.apply", entity="Account", managed=True)
    follower = delivery(mapping, "blocked", awaits_mirror=True)
    Delivery.objects.create(
        entry=follower.entry, mapping=of_mirror, handler="mirror.apply", state=state, created_at=NOW
    )

    assert pages_words(waits_for(follower).reason) in told()


@pytest.mark.parametrize("is_loading", [True, False])
def test_it_has_what_a_delivery_says_that_waits_for_the_first_load_of_a_mirror(mapping, is_loading):
    mirror = make_mirror(mapping.listener, is_loaded=False)
    mirror.runs.update(state="waiting" if is_loading else "failed")
    follower = delivery(mapping, "blocked", awaits_mirror=True)

    assert pages_words(waits_for(follower).reason) in told()


@pytest.mark.parametrize("state", [closed_queues.ABSENT, closed_queues.REFUSES])
def test_it_has_what_a_delivery_says_whose_queue_takes_no_tasks(mapping, state):
    shop = Destination.objects.create(name="shop", broker="redis://localhost:1/0")
    HandlerMapping.objects.update(handler="", task="shop.sync", destination=shop)
    waiting = delivery(mapping, "ready", is_external=True, queue="crm")
    closed_queues.note(shop, "crm", state)

    assert pages_words(waits_for(waiting).reason) in told()
    apps.forget()


def test_it_has_no_other_rows():
    assert len(told()) == len(set(told())) == len(EARLIER) + 10
