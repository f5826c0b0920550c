"""The status and the action log tell who paused a mapping and why, and a configuration file does
not resume it."""

import json

import pytest
from django.utils import timezone

from audit.models import OperatorAction
from consumer.ingest.transaction import ingest
from handlers.mappings import pause as mappings_pause
from handlers.models import HandlerMapping
from tests.commands.running import CONNECTION, ConfigurationFile, run
from tests.sample_data import ANN, change, lease_of, make_mapping, received

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def mapping(listener):
    return make_mapping(listener)


def pause(mapping, reason=""):
    assert mappings_pause.pause([mapping], ANN, reason, timezone.now())


def resume(mapping):
    assert mappings_pause.resume([mapping], ANN, "", timezone.now())


def test_the_user_and_the_reason_of_a_pause_are_kept_and_each_action_logged_once(mapping):
    pause(mapping, "their API is down")

    assert not mappings_pause.pause([mapping], ANN, "again", timezone.now())
    mapping.refresh_from_db()
    assert (mapping.paused_by, mapping.pause_reason) == ("ann", "their API is down")
    resume(mapping)
    assert not mappings_pause.resume([mapping], ANN, "", timezone.now())
    mapping.refresh_from_db()
    assert (mapping.paused_at, mapping.paused_by, mapping.pause_reason) == (None, "", "")
    noted = OperatorAction.objects.order_by("id").values_list("action", "object_id", "reason")
    assert list(noted) == [
        ("pause", str(mapping.pk), "their API is down"),
        ("resume", str(mapping.pk), ""),
    ]


def test_the_status_distinguishes_paused_from_stuck(mapping):
    pause(mapping, "their API is down")
    messages = received(change(), change(), change(records=["001B"]))
    ingest(mapping.listener, lease_of(mapping.listener), messages)

    [paused] = mappings_pause.paused()
    assert (paused.mapping, paused.waiting, paused.shown) == (mapping, 3, "3")
    [status] = json.loads(run("cdc_status", "--format", "json").out)
    [told] = status["paused_handlers"]
    assert (told["handler"], told["reason"], told["waiting"]) == (
        "tests.remember",
        "their API is down",
        3,
    )
    line = f"tests.remember is paused for create * since {mapping_since(mapping)} by ann"
    assert f"{line} (their API is down): 3 waiting" in run("cdc_status").out


def mapping_since(mapping):
    return f"{HandlerMapping.objects.get(pk=mapping.pk).paused_at:%Y-%m-%d %H:%M:%S}"


def test_applying_the_file_neither_pauses_nor_resumes(tmp_path):
    file = ConfigurationFile(tmp_path / "cdc.yaml")
    text = CONNECTION + "listeners:\n  - name: one\n    connection: prod\n    handlers:\n"
    text += "      - {on: update, handler: tests.remember}\n"
    file.apply(text)
    pause(HandlerMapping.objects.get(handler="tests.remember"))

    assert "= nothing to change" in file.apply(text).out
    assert "max_attempts" in file.apply(text.replace("}", ", max_attempts: 3}")).out
    assert HandlerMapping.objects.get(handler="tests.remember").paused_at

    other = file.apply(text.replace("tests.remember", "tests.skip"))
    assert "(paused by ann)" in other.out
    assert HandlerMapping.objects.get(handler="tests.skip").paused_at

    gone = file.apply(text.replace("tests.remember", "tests.skip").replace("update", "create"))
    assert "not in the file; --prune removes it" in gone.out
    gone = file.apply(text.replace("update", "create"), "--prune")
    assert "- handler of one, update *: tests.skip (paused by ann)" in gone.out
