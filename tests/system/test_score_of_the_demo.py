"""The demo waits until its score is complete."""

import pytest
from django.db import connection

from demo import scoreboard
from tests.handlers.bundling import deliver


@pytest.mark.django_db
def test_a_change_that_is_recorded_while_the_score_is_read_is_waited_for(simulator, listener):
    simulator.create("Account", Name="Acme")
    late = [1]

    def record_then(execute, sql, params, many, context):
        result = execute(sql, params, many, context)
        if late and "handlers_delivery" in sql:
            deliver(listener, "tests.remember", late.pop())
        return result

    with connection.execute_wrapper(record_then):
        score = scoreboard.read(simulator.url)

    assert not late
    assert not score.is_complete
