"""Destinations of a configuration file."""

import pytest
from django.utils import timezone

from audit.models import OperatorAction
from handlers.mappings import soft_delete
from handlers.models import Destination, HandlerMapping
from tests.commands.running import CONNECTION

SHOP = """destinations:
  - {name: shop, broker: "redis://:hush@localhost:6379/0"}
"""
LISTENER = f"""{CONNECTION}
listeners:
  - name: crm
    connection: prod
"""
HANDLER = """    handlers:
      - {on: update, entity: Account, task: shop.sync, destination: shop, report_timeout: 60}
"""
BOTH = f"{LISTENER}{HANDLER}{SHOP}"
AT = len(LISTENER.splitlines())


def test_it_is_stored_before_the_mapping_that_uses_it(file):
    output = file.apply(BOTH, "--allow-unknown-handlers")

    assert "+ destination shop" in output.lines
    assert "hush" not in output.out
    mapping = HandlerMapping.objects.get(task="shop.sync")
    assert (mapping.destination.name, mapping.track, mapping.report_timeout) == ("shop", True, 60)
    assert mapping.destination.broker.reveal() == "redis://:hush@localhost:6379/0"
    assert OperatorAction.objects.filter(action="add", object_type="destination").count() == 1
    assert file.apply(BOTH, "--allow-unknown-handlers").lines == ["= nothing to change"]


def test_a_change_is_shown_without_the_secret(file):
    file.apply(SHOP)

    output = file.apply(SHOP.replace("hush", "other"), "--dry-run")

    assert output.lines == [
        "~ destination shop: broker: changed",
        "dry run: nothing was changed",
    ]
    assert Destination.objects.get().broker.reveal() == "redis://:hush@localhost:6379/0"


def test_a_mapping_moves_to_another_destination_of_the_same_file(file):
    file.apply(BOTH, "--allow-unknown-handlers")

    output = file.apply(
        BOTH.replace("destination: shop", "destination: store")
        + '  - {name: store, broker: "amqp://localhost"}\n',
        "--allow-unknown-handlers",
    )

    assert any("destination shop → store" in line for line in output.lines)
    assert HandlerMapping.objects.get(task="shop.sync").destination.name == "store"


STORE = BOTH.replace("name: shop", "name: store").replace("destination: shop", "destination: store")


def test_it_is_removed_in_the_run_that_moves_its_mappings_away(file):
    file.apply(BOTH, "--allow-unknown-handlers")

    moved = file.apply(STORE, "--prune", "--allow-unknown-handlers")

    assert "- destination shop" in moved.lines
    assert [destination.name for destination in Destination.objects.all()] == ["store"]


def test_it_is_kept_until_deliveries_of_removed_mappings_are_skipped(file):
    file.apply(BOTH, "--allow-unknown-handlers")

    without = f"{LISTENER}    handlers: []\n"
    kept = file.apply(without, "--prune").err
    assert "is kept: used by crm, onUpdate Account: shop.sync; apply the file again" in kept

    soft_delete.skip_waiting(timezone.now())

    assert file.apply(without, "--prune").lines == ["- destination shop"]


def test_it_is_removed_only_with_prune_and_only_when_nothing_uses_it(file):
    file.apply(BOTH, "--allow-unknown-handlers")

    kept = file.apply(LISTENER, "--prune")
    assert "destination shop is kept: used by crm, onUpdate Account: shop.sync" in kept.err

    HandlerMapping.objects.update(task="", destination=None)
    assert "kept: destination shop: not in the file; --prune removes it" in file.apply(LISTENER).out
    assert file.apply(LISTENER, "--prune").lines == ["- destination shop"]
    assert not Destination.objects.exists()


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        (f"{LISTENER}{HANDLER}", AT + 2, "destination: there is no destination 'shop'"),
        ("destinations:\n  - {name: shop}\n", 2, "broker is missing: Enter the broker's URL"),
        ("destinations:\n  - {broker: x}\n", 2, "a destination needs a name"),
        (SHOP.replace("name:", "url: x, name:"), 2, "a destination has no key 'url'"),
        (SHOP.replace("redis:", "http:"), 2, "must start with redis://"),
        (SHOP.replace("shop", "a shop"), 2, "name: Use letters"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(refusal, text, line, message):
    found = refusal(text)

    assert f"{line}: " in found[0]
    assert message in "\n".join(found)
    assert "hush" not in "\n".join(found)
