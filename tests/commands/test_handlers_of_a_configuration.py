import re

import pytest

from handlers.models import Destination, HandlerMapping
from listeners.models import Listener
from tests.commands.running import CONNECTION, Output

pytestmark = pytest.mark.slow


@pytest.fixture
def apply(file):
    """Applies a file with one listener that has these handlers."""

    def apply_handlers(*handlers: str, options: tuple[str, ...] = ()) -> Output:
        listed = "".join(f"      - {handler}\n" for handler in handlers)
        text = "listeners:\n  - connection: prod\n    handlers:\n" + (listed or "      []\n")
        output: Output = file.apply(CONNECTION + text, *options)
        return output

    return apply_handlers


def rows():
    mappings = HandlerMapping.objects.order_by("id")
    return {mapping.pk: (mapping.on, mapping.entity, mapping.handler) for mapping in mappings}


def test_an_unchanged_mapping_keeps_its_row_while_others_come_and_go(apply):
    apply("{on: create, handler: tests.remember}", "{on: create, handler: tests.skip}")
    kept = HandlerMapping.objects.get(handler="tests.remember").pk

    output = apply(
        "{on: create, entity: Case, handler: tests.fail}",
        "{on: create, handler: tests.remember}",
        options=("--prune",),
    )

    assert output.lines == [
        "- handler of salesforceListener, create *: tests.skip",
        "+ handler of salesforceListener, create Case: tests.fail",
    ]
    assert rows()[kept] == ("create", "*", "tests.remember")


def test_a_changed_attribute_updates_the_row(apply):
    apply("{on: update, handler: tests.remember, changed_fields: [Phone]}")
    before = rows()

    output = apply("{on: update, handler: tests.remember, queue: crm, options: {seconds: 1}}")

    assert output.lines == [
        "~ handler of salesforceListener, update *: tests.remember: "
        "changed_fields [Phone] → none, queue none → crm, options: changed"
    ]
    assert rows() == before


@pytest.mark.parametrize(
    ("target", "options"),
    [
        (
            "handler: tests.remember",
            "name: crm, changed_fields: [Phone], condition: {field: Phone, exists: true}, "
            "ignore_origins: [crm], ignore_users: [005000000000001AAA], on_dead: halt, queue: crm, "
            "max_attempts: 3, options: {url: x}",
        ),
        ("handler: tests.remember", "ordering: unordered"),
        (
            "task: crm.sync",
            "destination: shop, report_timeout: 60, on_unknown: dead, options: {priority: 1}",
        ),
        ("task: crm.sync", "track: false"),
    ],
)
def test_each_option_that_is_new_is_in_the_diff(apply, target, options):
    Destination.objects.create(name="shop", broker="redis://localhost:1")
    known = "--allow-unknown-handlers"
    apply(f"{{on: update, {target}}}", options=(known,))
    wanted = f"{{on: update, {target}, {options}}}"

    dry = apply(wanted, options=(known, "--dry-run"))
    output = apply(wanted, options=(known,))

    _, _, changes = output.lines[0].partition(f"{target.partition(': ')[2]}: ")
    keys = re.findall(r"(\w+): ", options.replace("{field: Phone, exists: true}", ""))
    for key in set(keys) - {"url", "priority"}:
        assert f"{key} " in changes or f"{key}: changed" in changes
    assert dry.lines[0] == output.lines[0]


def test_two_mappings_to_one_handler_are_told_apart_by_their_order(apply):
    apply(
        "{on: update, handler: tests.remember, changed_fields: [Phone]}",
        "{on: update, handler: tests.remember, changed_fields: [Name]}",
    )
    before = rows()

    output = apply(
        "{on: update, handler: tests.remember, changed_fields: [Phone]}",
        "{on: update, handler: tests.remember, changed_fields: [Fax]}",
    )

    assert output.lines == [
        "~ handler of salesforceListener, update *: tests.remember: changed_fields [Name] → [Fax]"
    ]
    assert rows() == before


def test_a_kind_without_a_mapping_keeps_an_empty_one(apply):
    apply("{on: create, handler: tests.remember}")
    empty = set(HandlerMapping.objects.filter(handler="").values_list("pk", flat=True))

    output = apply(options=("--prune",))

    assert output.lines == [
        "- handler of salesforceListener, create *: tests.remember",
        "+ handler of salesforceListener, create *: recorded only",
    ]
    assert empty < set(rows())
    assert sorted(on for on, *_ in rows().values()) == sorted(HandlerMapping.On.values)


def test_a_task_takes_the_place_of_a_handler(apply):
    output = apply("{on: delete, entity: Account, task: elsewhere.sync}")

    mapping = HandlerMapping.objects.get(on="delete")
    assert (mapping.task, mapping.handler) == ("elsewhere.sync", "")
    assert "+ handler of salesforceListener, delete Account: task elsewhere.sync" in output.lines


def test_a_listener_whose_handlers_are_not_mentioned_keeps_them(apply, file):
    apply("{on: create, handler: tests.remember}")
    before = rows()

    output = file.apply(CONNECTION + "listeners:\n  - connection: prod\n")

    assert output.lines == ["= nothing to change"]
    assert rows() == before


def test_true_and_one_are_two_different_options(apply):
    apply("{on: create, handler: tests.remember, options: {deep: [1, {flag: 1}], none: null}}")

    output = apply(
        "{on: create, handler: tests.remember, options: {deep: [1, {flag: true}], none: null}}"
    )

    assert output.lines == [
        "~ handler of salesforceListener, create *: tests.remember: options: changed"
    ]
    options = HandlerMapping.objects.get(on="create").options
    assert options == {"deep": [1, {"flag": True}], "none": None}


def test_changing_handlers_does_not_restart_the_listener(apply):
    apply("{on: create, handler: tests.remember}")
    before = Listener.objects.get().updated_at

    apply("{on: create, handler: tests.skip}")

    assert Listener.objects.get().updated_at == before
