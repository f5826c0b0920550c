"""Invalid settings of external tasks, and those without effect, are refused at their field."""

import pytest
from django.core.exceptions import ValidationError

from handlers.models import Delivery, Destination, HandlerMapping
from handlers.sdk.registry import MAX_ATTEMPTS
from tests.sample_data import make_mapping

pytestmark = pytest.mark.django_db

TASK = {"handler": "", "task": "shop.sync"}


@pytest.fixture
def refused(listener):
    def clean(**fields):
        mapping = make_mapping(listener, **fields)
        try:
            mapping.full_clean()
        except ValidationError as error:
            return error.message_dict
        return {}

    return clean


def test_every_setting_of_a_tracked_task_is_accepted(refused, settings):
    settings.CDC_PUBLIC_URL = "https://cdc.example.com"
    shop = Destination.objects.create(name="shop", broker="redis://127.0.0.1/0")
    options = {"arguments": "parts", "large_payload": "reference", "headers": {"tenant": "eu"}}
    assert not refused(
        **TASK, destination=shop, report_timeout=60, on_unknown="dead", options=options
    )
    assert not refused(**TASK, destination=shop, track=False)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"report_timeout": 60}, "Only a tracked task uses this; leave it at 3600."),
        ({"on_unknown": "dead"}, "Only a tracked task uses this; leave it at retry."),
        ({"track": False}, "Only a task can be sent without tracking; leave this on."),
        (
            {**TASK, "track": False, "report_timeout": 60},
            "A task without tracking does not use this; leave it at 3600.",
        ),
        (
            {**TASK, "track": False, "on_unknown": "dead"},
            "A task without tracking does not use this; leave it at retry.",
        ),
        (
            {**TASK, "track": False, "max_attempts": 3},
            "A task without tracking is not retried; leave this empty.",
        ),
    ],
)
def test_a_setting_without_effect_is_refused(refused, fields, said):
    assert refused(**fields) == {list(fields)[-1]: [said]}


def test_a_handler_has_no_destination(refused):
    shop = Destination.objects.create(name="shop", broker="redis://127.0.0.1/0")
    said = "Only a task has a destination; leave this empty."
    assert refused(destination=shop) == {"destination": [said]}


def test_the_options_of_a_task_are_checked(refused):
    assert "no option 'url'" in refused(**TASK, options={"url": "x"})["options"][0]
    assert not refused(options={"url": "x"})


@pytest.mark.parametrize("queue", ["cdc.reports", "cdc.unknown"])
@pytest.mark.parametrize("target", [TASK, {}], ids=["task", "handler"])
def test_a_queue_that_this_installation_reads_itself_is_refused(refused, target, queue):
    said = f"{queue} is read by this installation itself; choose another queue."
    assert refused(**target, queue=queue) == {"queue": [said]}
    assert not refused(**target, queue=f"{queue}s")


def test_a_task_does_not_expire_after_its_report_is_due(refused):
    fields = {**TASK, "report_timeout": 60}
    said = (
        "expires: Give at most the report timeout, 60 seconds; a task expires then at the latest."
    )
    assert refused(**fields, options={"expires": 61}) == {"options": [said]}
    assert not refused(**fields, options={"expires": 60})
    assert not refused(**TASK, track=False, options={"expires": 31_536_000})


def test_a_reference_needs_the_address_of_this_server(refused, settings):
    settings.CDC_PUBLIC_URL = ""
    assert (
        "set CDC_PUBLIC_URL"
        in refused(**TASK, options={"large_payload": "reference"})["options"][0]
    )


@pytest.mark.parametrize(("fields", "allowed"), [({}, 1), ({"is_external": True}, MAX_ATTEMPTS)])
def test_a_task_named_like_a_handler_does_not_take_its_limit_of_attempts(fields, allowed):
    delivery = Delivery(handler="tests.one_try", mapping=HandlerMapping(), **fields)

    assert delivery.allowed_attempts == allowed


@pytest.mark.parametrize(
    ("fields", "at"),
    [
        ({"report_timeout": 9}, "report_timeout"),
        ({"report_timeout": 2_592_001}, "report_timeout"),
        ({"queue": "列" * 100}, "queue"),
        ({"options": {"headers": {f"h{n}": "" for n in range(21)}}}, "options"),
        ({"options": {"headers": {f"h{n}": "é" * 1000 for n in range(4)}}}, "options"),
    ],
    ids=["too short", "too long", "name of a queue", "many headers", "large headers"],
)
def test_what_no_broker_could_take_is_refused(refused, fields, at):
    assert list(refused(**TASK, **fields)) == [at]
