"""A configuration file can set a mapping's condition and the authors that it ignores."""

import pytest
from django.core.management import CommandError

from handlers.models import HandlerMapping
from tests.commands.running import CONNECTION, ConfigurationFile

HANDLERS = "listeners:\n  - connection: prod\n    handlers:\n"
#: The line of the first key of the first handler.
FIRST = (CONNECTION + HANDLERS).count("\n") + 1


@pytest.fixture
def apply(db, tmp_path):
    """Applies a file with one listener that has this handler, and returns the lines of the diff."""
    file = ConfigurationFile(tmp_path / "cdc.yaml")

    def apply_handler(*lines: str) -> list[str]:
        first, *others = lines
        keys = "".join(f"      {line}\n" for line in (f"- {first}", *(f"  {o}" for o in others)))
        return file.apply(CONNECTION + HANDLERS + keys).lines

    return apply_handler


@pytest.fixture
def refusal(apply):
    """Returns the errors of a refused file, without the file's name."""

    def refused(*lines: str) -> list[str]:
        with pytest.raises(CommandError) as error:
            apply(*lines)
        return [line.partition("cdc.yaml:")[2] for line in str(error.value).splitlines()[1:]]

    return refused


ON = ("on: update", "handler: tests.remember")


def mapping() -> HandlerMapping:
    return HandlerMapping.objects.get(on="update")


def test_it_is_read_with_its_types(apply):
    apply(
        *ON,
        "condition:",
        "  all:",
        "    - {field: StageName, changed_to: Closed Won}",
        '    - any: [{field: Amount, in: [1, 1.5, "1", true, null]}, {field: A.B, exists: false}]',
        "    - {field: CloseDate, equals: 2025-11-25}",
        "ignore_origins: [my-app, com/salesforce/api/soap/*]",
        "ignore_users: [005000000000001AAA, 005000000000002]",
    )

    assert mapping().condition == {
        "all": [
            {"field": "StageName", "changed_to": "Closed Won"},
            {
                "any": [
                    {"field": "Amount", "in": [1, 1.5, "1", True, None]},
                    {"field": "A.B", "exists": False},
                ]
            },
            {"field": "CloseDate", "equals": "2025-11-25"},
        ]
    }
    assert mapping().ignore_origins == ["my-app", "com/salesforce/api/soap/*"]
    assert mapping().ignore_users == ["005000000000001AAA", "005000000000002"]


def test_the_environment_may_give_values(apply, monkeypatch):
    monkeypatch.setenv("APP", "my-app")

    apply(*ON, 'condition: {field: Type, equals: "${APP}"}', 'ignore_origins: ["${APP}"]')

    assert mapping().condition == {"field": "Type", "equals": "my-app"}
    assert mapping().ignore_origins == ["my-app"]


def test_what_is_the_same_changes_nothing(apply):
    lines = (*ON, "condition: {field: A, equals: 1}", "ignore_origins: [b]", "ignore_users: []")
    apply(*lines)

    assert apply(*lines) == ["= nothing to change"]


def test_what_is_left_out_is_taken_back(apply):
    apply(*ON, "condition: {field: A, equals: 1}", "ignore_origins: [b]")
    kept = mapping().pk

    [line] = apply(*ON)

    assert "condition" in line
    assert "ignore_origins [b] → none" in line
    assert (mapping().pk, mapping().condition, mapping().ignore_origins) == (kept, {}, [])


def test_one_and_true_are_two_different_conditions(apply):
    apply(*ON, "condition: {field: A, equals: 1}")

    assert apply(*ON, "condition: {field: A, equals: true}") != ["= nothing to change"]
    assert mapping().condition == {"field": "A", "equals": True}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "condition: {all: [{field: A, exists: true}, {equals: 1}]}",
            'condition: condition.all[1]: "equals" needs "field".',
        ),
        (
            "condition: {field: A, equal: 1}",
            'condition: condition: "equal" is not known; did you mean "equals"?',
        ),
        (
            "condition: [A]",
            "condition: give a mapping such as {field: Phone, exists: true}, not a list",
        ),
        ("ignore_origins: my-app", "ignore_origins: give a list such as [my-app], not this text"),
        (
            "ignore_users: [somebody]",
            'ignore_users: "somebody" is no Salesforce id: it has 15 or 18 letters and digits.',
        ),
        (
            'ignore_users: [""]',
            'ignore_users: Give a list of Salesforce user ids, such as ["005000000000001AAA"].',
        ),
    ],
)
def test_what_is_wrong_is_said_at_its_line(refusal, line, message):
    assert refusal(*ON, line) == [f"{FIRST + 2}: {message}"]


def test_a_condition_on_deletes_is_refused(refusal):
    assert refusal("on: delete", "handler: tests.remember", "condition: {field: A, equals: 1}") == [
        f"{FIRST + 2}: condition: A delete has no fields; leave this empty."
    ]
