"""Mappings of one handler are told apart by their options when the file changes."""

import pytest
from django.core.management import CommandError
from django.utils import timezone

from consumer import relay
from handlers.models import Delivery, HandlerMapping
from listeners.models import Listener
from tests.commands.running import CONNECTION, ConfigurationFile, Output, record
from tests.sample_data import change

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

DESTINATIONS = """\
destinations:
  - {name: shop, broker: "redis://localhost:1/0"}
  - {name: billing, broker: "redis://localhost:1/1"}
"""
REMEMBER = "on: create, entity: Account, handler: tests.remember"
SHOP = f"{{{REMEMBER}, queue: shop}}"
BILLING = f"{{{REMEMBER}, queue: billing}}"


@pytest.fixture
def apply(transactional_db, tmp_path):
    """Applies a file with two destinations and one listener that has these handlers."""
    file = ConfigurationFile(tmp_path / "cdc.yaml")

    def apply_handlers(*handlers: str, options: tuple[str, ...] = ()) -> Output:
        listed = "".join(f"      - {handler}\n" for handler in handlers)
        text = f"listeners:\n  - connection: prod\n    handlers:\n{listed}"
        known = "--allow-unknown-handlers"  # tasks are not looked up
        return file.apply(DESTINATIONS + CONNECTION + text, known, *options)

    return apply_handlers


FIRST_LINE = len((DESTINATIONS + CONNECTION).splitlines()) + 4


def refusal(apply, *handlers: str) -> list[str]:
    with pytest.raises(CommandError) as refused:
        apply(*handlers)
    return [line.partition("cdc.yaml:")[2] for line in str(refused.value).splitlines()[1:]]


def record_change() -> None:
    record(Listener.objects.get(), change())


def waiting() -> dict[str, int]:
    """Return the mapping of each queue's waiting delivery."""
    rows = Delivery.objects.filter(state__in=Delivery.WAITING)
    return dict(rows.values_list("queue", "mapping_id"))


def ids(field: str = "queue") -> dict[str, int]:
    """Return the id of each mapping by one of its fields."""
    mappings = HandlerMapping.objects.exclude(handler="", task="")
    return dict(mappings.values_list(field, "pk"))


def test_the_first_of_two_is_removed_and_the_other_keeps_what_waits(apply):
    apply(SHOP, BILLING)
    before = ids()
    record_change()

    kept = apply(BILLING)
    assert kept.lines == [
        "= nothing to change",
        "kept: handler of salesforceListener, create Account: tests.remember: not in the file; "
        "--prune removes it and skips 1 waiting delivery",
    ]
    apply(BILLING, options=("--prune",))

    assert ids() == {"billing": before["billing"]}
    relay.sweep(timezone.now())
    assert Delivery.objects.get(queue="shop").state == "skipped"
    assert waiting() == ids()


def test_another_one_is_added_before_the_first(apply):
    apply(SHOP)
    before = ids()
    record_change()

    output = apply(BILLING, SHOP)

    assert output.lines == [
        "+ handler of salesforceListener, create Account: tests.remember",
    ]
    assert ids()["shop"] == before["shop"]
    assert waiting() == before


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (
            "handler: tests.remember, options: {url: a}",
            "handler: tests.remember, options: {url: b}",
        ),
        ("handler: tests.remember, queue: a", "handler: tests.remember"),
        ("handler: tests.remember", "handler: tests.remember, max_attempts: 3"),
        ("handler: tests.remember", "handler: tests.remember, ignore_origins: [a]"),
        (
            "handler: tests.remember, condition: {field: Phone, exists: true}",
            "handler: tests.remember, condition: {field: Name, exists: true}",
        ),
        ("task: crm.sync, destination: shop", "task: crm.sync, destination: billing"),
        ("task: crm.sync, destination: shop", "task: crm.sync"),
        ("task: crm.sync", "task: crm.sync, track: false"),
    ],
)
def test_the_order_in_the_file_does_not_matter(apply, one, other):
    one, other = (f"{{on: create, entity: Account, {options}}}" for options in (one, other))
    apply(one, other)

    assert apply(other, one).lines == ["= nothing to change"]
    assert apply(other).lines[0] == apply(one).lines[0] == "= nothing to change"


def test_a_task_of_two_destinations_keeps_what_waits_where_one_is_removed(apply):
    task = "on: create, entity: Account, task: crm.sync"
    apply(f"{{{task}, destination: shop}}", f"{{{task}, destination: billing}}")
    before = ids("destination__name")
    record_change()

    output = apply(f"{{{task}, destination: billing, max_attempts: 3}}")

    assert output.lines[0] == (
        "~ handler of salesforceListener, create Account: task crm.sync: max_attempts none → 3"
    )
    assert ids("destination__name") == before
    waiting = Delivery.objects.filter(state__in=Delivery.WAITING)
    assert set(waiting.values_list("mapping_id", flat=True)) == set(before.values())


def test_both_are_reordered_and_changed(apply):
    apply(SHOP, BILLING)
    before = ids()
    record_change()

    apply(*(f"{{{REMEMBER}, queue: {queue}, max_attempts: 3}}" for queue in ("billing", "shop")))

    assert ids() == before
    assert waiting() == before
    assert set(HandlerMapping.objects.filter(on="create").values_list("max_attempts")) == {(3,)}


def test_the_one_that_is_not_equal_is_the_one_that_changed(apply):
    apply(SHOP, BILLING)
    before = ids()
    record_change()

    output = apply(f"{{{REMEMBER}, queue: crm}}", SHOP)

    assert output.lines == [
        "~ handler of salesforceListener, create Account: tests.remember: queue billing → crm "
        "(1 waiting delivery moves to tests.remember, queue crm)"
    ]
    assert ids() == {"shop": before["shop"], "crm": before["billing"]}
    assert waiting() == ids()


def test_it_is_refused_where_either_of_two_may_have_changed(apply):
    apply(SHOP, BILLING)
    before = ids()
    record_change()

    [problem] = refusal(apply, f"{{{REMEMBER}, queue: crm}}")

    assert problem.startswith(
        f"{FIRST_LINE}: handlers: it is unclear which entry of the file is which stored mapping: "
        f"1 entry (line {FIRST_LINE}) and 2 mappings of create Account to tests.remember differ in "
        "queue."
    )
    assert "Give each new entry of the file a unique name: key." in problem
    assert ids() == before
    assert waiting() == before


def test_it_is_refused_where_both_may_be_the_other(apply):
    apply(f"{{{REMEMBER}, queue: shop}}", f"{{{REMEMBER}, queue: billing}}")

    problems = refusal(apply, f"{{{REMEMBER}, queue: a}}", f"{{{REMEMBER}, queue: b}}")

    assert len(problems) == 1
    assert f"2 entries (line {FIRST_LINE}, {FIRST_LINE + 1}) and 2 mappings" in problems[0]


def test_a_name_says_which_entry_is_new(apply):
    apply(SHOP)
    before = ids()
    record_change()
    first, second = (f"{REMEMBER}, queue: {queue}" for queue in ("a", "b"))
    assert refusal(apply, f"{{{first}}}", f"{{{second}}}")

    apply(f"{{name: new, {first}}}", f"{{{second}}}")

    assert ids()["b"] == before["shop"]
    assert waiting() == {"b": before["shop"]}


def test_new_names_alone_keep_the_stored_ones(apply):
    apply(SHOP, BILLING)
    before = ids()
    record_change()

    output = apply(*(f"{{name: {name}, {REMEMBER}, queue: {name}}}" for name in ("crm", "erp")))

    assert [line[0] for line in output.lines] == ["+", "+", "k", "k"]
    assert ids().items() > before.items()
    assert waiting() == before


def test_names_are_given_to_stored_ones_and_then_they_change(apply):
    apply(SHOP, BILLING)
    before = ids()

    apply(f"{{name: b, {REMEMBER}, queue: billing}}", f"{{name: s, {REMEMBER}, queue: shop}}")
    assert ids() == before
    apply(f"{{name: b, {REMEMBER}, queue: bb}}", f"{{name: s, {REMEMBER}, queue: ss}}")

    assert ids() == {"ss": before["shop"], "bb": before["billing"]}


def test_another_name_with_other_options_is_another_mapping(apply):
    apply(f"{{name: shop, {REMEMBER}, queue: shop}}")
    before = ids()
    record_change()

    output = apply(f"{{name: billing, {REMEMBER}, queue: billing}}")

    assert [line[0] for line in output.lines] == ["+", "k"]
    assert ids()["shop"] == before["shop"]
    assert waiting() == before


def test_another_name_alone_renames_the_mapping(apply):
    apply(f"{{name: shop, {REMEMBER}, queue: shop}}")
    before = ids()

    output = apply(f"{{name: store, {REMEMBER}, queue: shop}}")

    assert output.lines == [
        "~ handler of salesforceListener, create Account: tests.remember: name shop → store"
    ]
    assert ids() == before


def test_one_of_two_equal_ones_changes(apply):
    apply(SHOP, SHOP)

    output = apply(f"{{{REMEMBER}, queue: shop, max_attempts: 3}}")

    assert [line[0] for line in output.lines] == ["~", "k"]


def test_a_paused_one_and_an_equal_one_are_not_interchangeable(apply):
    apply(SHOP, SHOP)
    paused = HandlerMapping.objects.filter(queue="shop").latest("pk")
    HandlerMapping.objects.filter(pk=paused.pk).update(paused_at=timezone.now(), paused_by="me")

    [problem] = refusal(apply, f"{{{REMEMBER}, queue: shop, max_attempts: 3}}")

    assert "2 mappings of create Account to tests.remember differ in max_attempts" in problem


def test_of_two_equal_ones_the_one_that_runs_stays(apply):
    apply(SHOP, SHOP)
    paused = HandlerMapping.objects.filter(queue="shop").earliest("pk")
    HandlerMapping.objects.filter(pk=paused.pk).update(paused_at=timezone.now(), paused_by="me")

    apply(SHOP, options=("--prune",))

    assert HandlerMapping.objects.get(queue="shop").paused_at is None


def test_an_invalid_value_is_the_only_problem(apply):
    apply(SHOP, BILLING)

    problems = refusal(apply, f"{{{REMEMBER}, queue: crm, max_attempts: many}}")

    assert len(problems) == 1
    assert "max_attempts" in problems[0]
