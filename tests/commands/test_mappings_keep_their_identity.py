"""A mapping keeps its row and its waiting deliveries when its handler or options change."""

import pytest
from django.core.management import CommandError
from django.utils import timezone

from consumer import relay
from handlers.models import Delivery, HandlerMapping
from listeners.models import Listener
from tests.commands.running import CONNECTION, ConfigurationFile, Output, record
from tests.sample_data import change

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

UNKNOWN = "--allow-unknown-handlers"


@pytest.fixture
def apply(transactional_db, tmp_path):
    """Applies a file with one listener that has these handlers."""
    file = ConfigurationFile(tmp_path / "cdc.yaml")

    def apply_handlers(*handlers: str, options: tuple[str, ...] = ()) -> Output:
        listed = "".join(f"      - {handler}\n" for handler in handlers)
        text = "listeners:\n  - connection: prod\n    handlers:\n" + (listed or "      []\n")
        return file.apply(CONNECTION + text, *options)

    return apply_handlers


def refusal(apply, *handlers: str) -> list[str]:
    with pytest.raises(CommandError) as refused:
        apply(*handlers)
    return [line.partition("cdc.yaml:")[2] for line in str(refused.value).splitlines()[1:]]


def rows():
    """Return each mapping row's event, entity and handler or task."""
    mappings = HandlerMapping.objects.exclude(handler="", task="").order_by("id")
    return {one.pk: (one.on, one.entity, one.handler or one.task) for one in mappings}


def record_changes(number: int) -> None:
    record(Listener.objects.get(), *(change(records=[f"001{n}"]) for n in range(number)))


def deliveries():
    return list(Delivery.objects.order_by("id").values_list("handler", "state"))


def test_what_waits_moves_to_the_corrected_handler(apply):
    apply("{on: create, entity: Account, handler: tests.rememmber}", options=(UNKNOWN,))
    [row] = rows()
    record_changes(3)
    corrected = "{on: create, entity: Account, handler: tests.remember}"

    dry = apply(corrected, options=("--dry-run",))
    assert deliveries() == [("tests.rememmber", "ready")] * 3
    output = apply(corrected)

    line = (
        "~ handler of salesforceListener, create Account: tests.remember: handler "
        "tests.rememmber → tests.remember (3 waiting deliveries move to tests.remember)"
    )
    assert output.lines == [line]
    assert dry.lines == [line, "dry run: nothing was changed"]
    assert rows() == {row: ("create", "Account", "tests.remember")}
    assert deliveries() == [("tests.remember", "ready")] * 3


def test_another_queue_takes_what_waits_along(apply):
    apply("{on: create, handler: tests.remember, queue: crmm}")
    record_changes(1)

    output = apply("{on: create, handler: tests.remember, queue: crm}")

    assert "(1 waiting delivery moves to tests.remember, queue crm)" in output.out
    assert list(Delivery.objects.values_list("queue", "state")) == [("crm", "ready")]


def test_options_that_change_move_nothing(apply):
    apply("{on: create, handler: tests.remember}")
    record_changes(1)
    before = deliveries()

    assert "waiting" not in apply("{on: create, handler: tests.remember, max_attempts: 3}").out

    assert deliveries() == before


def test_the_same_handler_keeps_its_row_and_the_rest_follow_by_position(apply):
    apply(
        "{on: create, handler: tests.remember}",
        "{on: create, handler: tests.skip}",
        "{on: create, handler: tests.fail}",
    )
    first, second, third = rows()

    apply(
        "{on: create, handler: tests.say}",
        "{on: create, handler: tests.repeat}",
        "{on: create, handler: tests.skip}",
    )

    assert rows() == {
        first: ("create", "*", "tests.say"),
        second: ("create", "*", "tests.skip"),
        third: ("create", "*", "tests.repeat"),
    }


def test_where_numbers_differ_the_file_is_refused_and_asks_for_names(apply):
    apply("{on: create, handler: tests.remember}", "{on: create, handler: tests.skip}")
    before = rows()

    [problem] = refusal(apply, "{on: create, handler: tests.say}")

    assert problem.startswith("10: handlers: it is unclear which of these create * handlers")
    assert "the file has tests.say, the database has tests.remember, tests.skip" in problem
    assert "name:" in problem
    assert rows() == before


def test_a_new_entry_with_a_name_leaves_no_question(apply):
    apply("{on: create, handler: tests.remember}")
    [row] = rows()

    assert refusal(apply, "{on: create, handler: tests.say}", "{on: create, handler: tests.skip}")
    apply("{on: create, handler: tests.say}", "{name: new, on: create, handler: tests.skip}")

    assert rows()[row] == ("create", "*", "tests.say")
    assert HandlerMapping.objects.get(name="new").pk != row


def test_additions_and_removals_alone_are_no_question(apply):
    apply("{on: create, handler: tests.remember}")
    apply(
        "{on: create, handler: tests.skip}",
        "{on: create, handler: tests.say}",
        "{on: create, handler: tests.remember}",
    )
    assert len(rows()) == 3

    output = apply("{on: create, handler: tests.say}")

    assert [line.partition(":")[0] for line in output.lines] == [
        "= nothing to change",
        "kept",
        "kept",
    ]


def test_a_mapping_with_a_name_is_found_after_any_other_change(apply):
    apply(
        "{name: accounts, on: create, entity: Account, handler: tests.rememmber}",
        options=(UNKNOWN,),
    )
    [row] = rows()
    record_changes(2)

    output = apply(
        "{on: update, handler: tests.skip}",
        "{name: accounts, on: create, entity: '*', handler: tests.remember}",
        "{on: create, entity: Account, handler: tests.say}",
    )

    assert "entity Account → *, handler tests.rememmber → tests.remember" in output.out
    assert rows()[row] == ("create", "*", "tests.remember")
    assert deliveries() == [("tests.remember", "ready")] * 2


def test_a_name_that_was_left_out_is_taken_back_from_the_same_mapping(apply):
    apply("{name: accounts, on: create, handler: tests.remember}")
    [row] = rows()

    output = apply("{on: create, handler: tests.remember}")

    assert output.lines == [
        "~ handler of salesforceListener, create *: tests.remember: name accounts → none"
    ]
    assert [*rows()] == [row]


def test_a_name_stands_in_the_file_once(apply):
    problems = refusal(
        apply,
        "{name: one, on: create, handler: tests.remember}",
        "{name: one, on: update, handler: tests.remember}",
    )

    assert problems == ["11: duplicate handler one, first in line 10; choose another name"]


def test_what_is_not_in_the_file_stays_active_and_is_listed(apply):
    apply("{on: create, handler: tests.remember}", "{on: update, handler: tests.skip}")
    record_changes(2)
    before = rows()

    output = apply("{on: update, handler: tests.skip}")

    assert output.lines == [
        "= nothing to change",
        "kept: handler of salesforceListener, create *: tests.remember: not in the file; "
        "--prune removes it and skips 2 waiting deliveries",
    ]
    assert rows() == before


def test_prune_says_how_many_deliveries_it_skips(apply):
    apply("{on: create, handler: tests.remember}", "{on: update, handler: tests.skip}")
    record_changes(2)

    dry = apply("{on: update, handler: tests.skip}", options=("--prune", "--dry-run"))
    output = apply("{on: update, handler: tests.skip}", options=("--prune",))

    removed = (
        "- handler of salesforceListener, create *: tests.remember "
        "(2 waiting deliveries will be skipped)"
    )
    assert dry.lines[0] == output.lines[0] == removed
    relay.sweep(timezone.now())
    assert deliveries() == [("tests.remember", "skipped")] * 2


def test_a_handler_that_is_taken_out_leaves_what_waits_to_it(apply):
    apply("{on: create, handler: tests.remember}")
    record_changes(1)
    before = deliveries()

    output = apply("{on: create}")

    assert "(1 waiting delivery keeps its current handler)" in output.out
    assert deliveries() == before


def test_an_empty_mapping_takes_the_first_handler_of_its_kind(apply):
    apply("{on: create}")
    row = HandlerMapping.objects.get(on="create").pk

    apply("{on: create, handler: tests.remember}")

    assert [*rows()] == [row]


def test_listeners_and_connections_that_are_not_in_the_file_are_listed(apply, listener):
    output = apply("{on: create, handler: tests.remember}")

    assert output.lines[-2:] == [
        f"kept: listener {listener.name}: not in the file; --prune removes it",
        f"kept: connection {listener.connection.name}: not in the file; --prune removes it",
    ]
