"""Answers and events that cannot be decoded are quarantined raw, separately for each listener."""

import pytest
from django.utils import timezone

from audit.models import Quarantined
from consumer.ingest import quarantine
from consumer.ingest.transaction import ingest, quarantine_answer
from listeners.models import Listener
from tests.sample_data import change, lease_of, received

pytestmark = pytest.mark.django_db(transaction=True)


def kept(listener):
    found = Quarantined.objects.filter(listener=listener).order_by("id")
    return list(found.values_list("raw", flat=True))


def keep_answers(listener, *texts):
    lease = lease_of(listener)
    for text in texts:
        quarantine_answer(listener, lease, text, "no JSON", timezone.now())


def test_the_same_text_is_kept_once_for_each_listener(make_listener):
    one, other = make_listener(), make_listener()

    keep_answers(one, "<html>", "<html>")
    keep_answers(other, "<html>")

    assert (kept(one), kept(other)) == (["<html>"], ["<html>"])


def test_the_newest_answers_of_a_listener_are_kept_and_nothing_of_another(
    make_listener, monkeypatch
):
    monkeypatch.setattr(quarantine, "MOST_ANSWERS", 3)
    quiet, noisy = make_listener(), make_listener()
    unreadable = {"channel": "/data/ChangeEvents", "data": {}}
    ingest(noisy, lease_of(noisy), received(unreadable))
    [event] = kept(noisy)
    keep_answers(quiet, "kept")

    keep_answers(noisy, "1", "2", "3", "4", "5")

    assert kept(quiet) == ["kept"]
    assert kept(noisy) == [event, "3", "4", "5"]


def test_a_long_answer_is_cut_and_an_event_is_kept_whole(listener, monkeypatch):
    monkeypatch.setattr(quarantine, "ANSWER_HEAD", 10)
    ingest(listener, lease_of(listener), received({"channel": "x" * 50}))

    keep_answers(listener, "y" * 50)

    event, answer = kept(listener)
    assert "x" * 50 in event
    assert answer == "y" * 10


@pytest.mark.parametrize("place", [0, 1])
def test_a_gap_is_read_at_once_beside_any_other_message(make_listener, place):
    listener = make_listener(gap_policy=Listener.GapPolicy.FETCH)
    messages = [{"channel": "/data/ChangeEvents", "data": {}}]
    messages.insert(place, change("GAP_UPDATE"))

    result = ingest(listener, lease_of(listener), received(*messages))

    assert (result.entries, result.quarantined, result.reads_planned) == (1, 1, True)
