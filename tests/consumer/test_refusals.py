"""Lasting failures to receive open an incident, which the first successful answer closes."""

import pytest
from django.utils import timezone

from audit.models import Incident
from consumer.stream import refusal_incidents
from consumer.stream.refusal_incidents import Refusals
from listeners.salesforce.errors import AnswerTooLarge, Reaction, StreamRefused, TransportFailed

pytestmark = pytest.mark.django_db
Kind = Incident.Kind
BUSY = StreamRefused("/meta/connect", "503", Reaction.BACK_OFF_LONG, failure_reason="busy")
SILENT = TransportFailed("nothing for 140 s", is_silence=True)
CUT = TransportFailed("cut")


def opened(kind) -> Incident | None:
    return Incident.objects.filter(kind=kind, closed_at=None).first()


def note(noting: Refusals, *errors) -> None:
    for error in errors:
        noting.note(error, timezone.now())


def test_a_busy_server_is_an_incident_from_the_third_time_in_a_row_on(listener):
    noting = Refusals(listener)
    note(noting, BUSY, BUSY, CUT, BUSY, BUSY)
    assert not opened(Kind.BACK_OFF)
    note(noting, BUSY, BUSY)
    assert "4 times in a row" in opened(Kind.BACK_OFF).summary
    noting.received(timezone.now())
    assert not opened(Kind.BACK_OFF)
    note(noting, BUSY)
    assert not opened(Kind.BACK_OFF)


def test_the_incident_of_too_large_answers_names_the_host_and_the_limit(listener):
    why = "org.example answered HTTP 200 with more than 32 MiB, the limit for change events"
    note(Refusals(listener), *[AnswerTooLarge(why)] * 3)
    assert why in opened(Kind.BACK_OFF).summary


def test_or_once_it_has_lasted(listener, monkeypatch):
    monkeypatch.setattr(refusal_incidents, "BACK_OFF_SECONDS", -1.0)
    note(Refusals(listener), BUSY)
    assert opened(Kind.BACK_OFF)


def test_three_silences_are_an_incident_that_one_answer_does_not_end(listener):
    noting = Refusals(listener)
    note(noting, SILENT, CUT, SILENT)
    noting.received(timezone.now())
    assert not opened(Kind.STALL)
    note(noting, SILENT)
    assert "fell silent 3 times" in opened(Kind.STALL).summary
    noting.received(timezone.now())
    assert opened(Kind.STALL)


def test_silences_that_are_far_apart_are_not(listener, monkeypatch):
    monkeypatch.setattr(refusal_incidents, "STALL_SECONDS", 0.0)
    note(Refusals(listener), SILENT, SILENT, SILENT, SILENT)
    assert not opened(Kind.STALL)


def test_the_incident_of_an_earlier_process_ends_too(listener):
    quota = StreamRefused("/meta/subscribe", "403", Reaction.QUOTA, failure_reason="daily limit")
    note(Refusals(listener), quota)
    assert opened(Kind.QUOTA)
    Refusals(listener).received(timezone.now())
    assert "Receiving again since" in Incident.objects.get().note


def test_a_server_without_replay_is_an_incident_and_the_listener_continues(listener):
    noting = Refusals(listener)
    for _ in range(2):
        noting.opened(has_replay=False, now=timezone.now())
    incident = opened(Kind.CONFIGURATION)
    assert (incident.key, incident.count) == ("replay", 1)
    assert "keeps receiving" in incident.action
    noting.opened(has_replay=True, now=timezone.now())
    assert not opened(Kind.CONFIGURATION)
