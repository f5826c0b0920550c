"""Invalid batch sizes, functions and errors of batch handlers are refused."""

import pytest

from console.admin.mappings.form import handler_choices
from handlers import BatchFailed, EventData, Metadata, Retry, Skipped, cdc_handler
from handlers.outbox.message_size import size_limit
from handlers.sdk import registry
from tests.handlers.bundling import record_id
from tests.sample_handlers import batch, read_journal


def an_event(number=1) -> EventData:
    metadata = Metadata(
        "Account", "CREATE", "", "key", 1, 0, None, "", record_id(number), (), None, None, None
    )
    return EventData(number, "here", "", {"Name": ["a", "dict", "has", "no", "hash"]}, metadata)


def test_in_a_test_it_is_called_with_a_list(journal):
    batch([an_event(1), an_event(2)])

    assert [line["id"] for line in read_journal()] == [1, 2]


def test_an_event_is_a_key():
    assert {an_event(1): "a", an_event(2): "b"}[an_event(1)] == "a"


@pytest.mark.parametrize("size", [0, -1, 1001, True, 2.0, "10"])
def test_a_size_that_is_none_is_refused(size):
    with pytest.raises(ValueError, match="give a number from 1 to 1000"):
        cdc_handler(name="tests.never", batch=size)

    assert registry.find("tests.never") is None


async def wait(event): ...


def give(event):
    yield event


async def give_later(event):
    yield event


@pytest.mark.parametrize("function", [wait, give, give_later])
def test_a_function_that_would_never_run_is_refused(function):
    with pytest.raises(TypeError, match=f"{function.__name__} is .* and would never run"):
        cdc_handler(name="tests.never")(function)

    assert registry.find("tests.never") is None


def test_what_is_no_error_is_refused():
    with pytest.raises(TypeError, match="not an exception, a Skipped or a text"):
        BatchFailed({1: None})

    assert BatchFailed({1: "a", an_event(2): Retry(), 3: Skipped("b")}).errors.keys() == {1, 2, 3}


def test_where_handlers_are_listed_it_says_how_many_it_takes():
    choices = dict(handler_choices(""))

    assert choices["tests.batch"] == "tests.batch: Note the events. (up to 10 changes a call)"
    assert choices["tests.remember"] == "tests.remember: Note the event."


@pytest.mark.parametrize(
    ("size", "counted", "allowed", "expected"),
    [
        (1000, 0, 5, 1000),
        (1000, 1, 5, 100),
        (1000, 2, 5, 10),
        (1000, 3, 5, 1),
        (1000, 4, 5, 1),
        (1000, 1, 2, 1),
        (1000, 0, 1, 1000),
        (5, 1, 5, 1),
    ],
)
def test_the_company_shrinks_with_the_attempts(size, counted, allowed, expected):
    handler = registry.Handler("any", lambda events: None, batch=size)

    assert size_limit(handler, counted, allowed) == expected
