"""Commands report their progress on standard error."""

import io
import logging

import pytest
from django.core.management.base import OutputWrapper

from audit.db.row_count import TookTooLong, Total, time_limit, total_of
from audit.jobs.eta import Pace
from audit.models import AuditLogEntry
from consumer.management import progress
from consumer.management.progress import Meter
from tests.commands.running import record
from tests.sample_data import change

ABOUT = Total(9000, is_estimate=True)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("pace", "words"),
    [
        (Pace(500, Total(2000), 10.0), "500 of 2,000, 25 %, 50/s, 30 s left"),
        (Pace(500, ABOUT, 1.0), "500 of about 9,000, 5 %, 500/s, about 17 s left"),
        (Pace(9001, ABOUT, 1.0), "9,001 of about 9,000, 99 %, 9,001/s"),
        (Pace(500, Total(None), 10.0), "500, 50/s"),
        (Pace(0, Total(10**6), 0.0), "0 of 1,000,000, 0 %"),
        (Pace(1, Total(10_001), 1.0), "1 of 10,001, 0 %, 1/s, 2.8 h left"),
    ],
)
def test_a_pace_in_words(pace, words):
    assert str(pace) == words


def test_on_a_terminal_one_line_is_rewritten_and_taken_away(monkeypatch):
    monkeypatch.setattr(progress, "ON_TERMINAL", 0.0)
    terminal = Terminal()

    with Meter(OutputWrapper(terminal), "export", Total(4)) as meter:
        meter.advance()
        meter.advance(2)

    assert "export: 3 of 4, 75 %" in terminal.getvalue()
    assert "\n" not in terminal.getvalue()
    assert terminal.getvalue().endswith("\r\x1b[K")


def test_elsewhere_a_line_in_the_log_says_it_now_and_then(monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    stream = io.StringIO()
    with Meter(OutputWrapper(stream), "export", Total(4)) as meter:
        meter.advance()
        assert not caplog.records
        monkeypatch.setattr(progress, "IN_LOG", 0.0)
        meter.at(3, about="Contact")

    [said] = [one.msg for one in caplog.records]
    assert {**said, "logger": "", "level": "", "timestamp": ""} == {
        "event": "progress", "work": "export", "done": 3, "total": "4", "percent": 75,
        "about": "Contact", "logger": "", "level": "", "timestamp": "",
    }  # fmt: skip
    assert stream.getvalue() == ""


@pytest.mark.django_db(transaction=True)
def test_a_count_that_takes_too_long_is_given_up_and_the_connection_is_as_before(
    listener, patient_counts
):
    record(listener, *(change(records=[f"001{number}"]) for number in range(3)))
    everything = AuditLogEntry.objects.all()
    assert total_of(everything) == Total(3)
    digits = "SELECT COUNT(*) AS n FROM (WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 "
    slow = digits + "FROM t WHERE n < 100000000) SELECT n FROM t) AS counted"

    with pytest.raises(TookTooLong), time_limit(0.05):
        list(everything.model.objects.raw(f"SELECT 1 AS id WHERE 0 < ({slow})"))

    assert everything.count() == 3
