"""External tasks in a configuration file: destination, tracking, and the check of their names."""

import pytest
from django.core.management import CommandError

from handlers.models import Destination, HandlerMapping
from tests.commands.running import CONNECTION, Output, record
from tests.remote_worker import remote_worker
from tests.sample_data import change
from tests.servers import RedisServer

pytestmark = pytest.mark.slow


@pytest.fixture
def apply(file):
    """Applies a file with one listener that has these handlers."""

    def apply_handlers(*handlers: str, options: tuple[str, ...] = ()) -> Output:
        listed = "".join(f"      - {handler}\n" for handler in handlers)
        text = f"listeners:\n  - connection: prod\n    handlers:\n{listed}"
        output: Output = file.apply(CONNECTION + text, *options)
        return output

    return apply_handlers


@pytest.fixture
def shop_broker(tmp_path):
    with RedisServer(tmp_path) as server:
        yield server


@pytest.fixture
def shop(db, shop_broker):
    return Destination.objects.create(name="shop", broker=shop_broker.url)


def tasks():
    rows = HandlerMapping.objects.exclude(task="").order_by("id")
    names = ("pk", "task", "destination__name", "track", "report_timeout", "on_unknown")
    return list(rows.values_list(*names))


def test_settings_of_a_task_are_stored_and_its_mapping_keeps_its_identity(apply, shop):
    apply("{on: create, task: shop.sync, destination: shop, report_timeout: 60, on_unknown: dead}")
    [(pk, *stored)] = tasks()
    assert stored == ["shop.sync", "shop", True, 60, "dead"]
    record(HandlerMapping.objects.get(pk=pk).listener, change())

    moved = apply("{on: create, task: shop.sync, track: false}")

    assert moved.lines == [
        "~ handler of salesforceListener, create *: task shop.sync: track true → false, "
        "report_timeout 60 → 3600, on_unknown dead → retry, destination shop → none "
        "(1 waiting delivery moves to shop.sync)",
        "kept: destination shop: not in the file; --prune removes it",
    ]
    assert tasks() == [(pk, "shop.sync", None, False, 3600, "retry")]


def test_a_task_that_no_worker_of_the_queue_has_is_refused(
    apply, shop, shop_broker, answered_surveys
):
    line = "{on: create, task: shop.sinc, destination: shop}"
    with remote_worker(shop_broker.url, "shop.sync"):
        with pytest.raises(CommandError) as refused:
            apply(line)
        allowed = apply(line, options=("--allow-unknown-handlers",))
        right = apply("{on: create, task: shop.sync, destination: shop}")

    assert "task: No worker of the queue celery has registered the task shop.sinc" in str(
        refused.value
    )
    assert "Did you mean shop.sync?" in str(refused.value)
    assert "--allow-unknown-handlers accepts tasks" in str(refused.value)
    assert "Did you mean shop.sync?" in allowed.err
    assert right.err == ""
    assert [row[1] for row in tasks()] == ["shop.sync"]


@pytest.mark.parametrize("destination", ["shop", "null"])
def test_a_task_without_an_answering_worker_is_a_warning_once(apply, shop, destination):
    line = f"{{on: create, task: shop.sync, destination: {destination}}}"
    first = apply(line)
    again = apply(line)

    assert "task: The task shop.sync could not be checked" in first.err
    assert again.err == ""
    assert again.lines[0] == "= nothing to change"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            "{on: create, task: a, destination: shopp}",
            "no destination 'shopp'; did you mean 'shop'",
        ),
        ("{on: create, task: a, destination: [x]}", "destination: give text"),
        ("{on: create, handler: tests.remember, destination: shop}", "Only a task has a"),
        ("{on: create, handler: tests.remember, track: false}", "track: Only a task can be"),
        ("{on: create, task: a, track: false, report_timeout: 60}", "report_timeout: A task"),
        ("{on: create, task: a, track: maybe}", "track: write true or false"),
        ("{on: create, task: a, on_unknown: halt}", "on_unknown: 'halt' is not valid"),
        ("{on: create, task: a, options: {expires: 0}}", "options: expires: Give seconds"),
        ("{on: create, task: a, tracked: false}", "did you mean 'track'?"),
    ],
)
def test_invalid_settings_are_refused_at_their_line(apply, shop, line, said):
    with pytest.raises(CommandError) as refused:
        apply(line)

    assert said in str(refused.value)
    assert tasks() == []
