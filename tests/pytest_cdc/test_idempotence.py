"""A change is delivered twice, and what the second time does is told."""

import pytest

from tests.pytest_cdc.handlers import CALLS, as_told, groups, write


def test_an_idempotent_handler_passes(cdc_event, cdc_deliver):
    event = cdc_event("Account", "update", changed={"Name": "New"})

    delivered = cdc_deliver.assert_idempotent(
        event, to=as_told, seen=lambda: {one.id for one in CALLS}
    )

    assert delivered.outcomes == ["succeeded"] * 2
    assert [(one.id, one.attempt) for one in CALLS] == [(event.id, 1), (event.id, 2)]


def test_of_another_it_is_shown_what_the_second_time_did(cdc_event, cdc_deliver):
    event = cdc_event("Account")

    with pytest.raises(AssertionError) as failed:
        cdc_deliver.assert_idempotent(
            event, to=as_told, seen=lambda: [one.attempt for one in CALLS]
        )

    assert "the second time changes something" in str(failed.value)
    assert str(failed.value).endswith(" 1\n+2")


def test_or_that_it_fails_the_second_time(cdc_event, cdc_deliver):
    event = cdc_event("Account", changed={"Name": "-a"})

    with pytest.raises(AssertionError, match=r"the second time fails: .*IntegrityError"):
        cdc_deliver.assert_idempotent(event, to=write, seen=groups)


def test_or_that_it_fails_at_once(cdc_event, cdc_deliver):
    event = cdc_event("Account", changed={"Do": "fail"})

    with pytest.raises(AssertionError, match=r"not even the first time: .*no such account"):
        cdc_deliver.assert_idempotent(event, to=as_told, seen=groups)
