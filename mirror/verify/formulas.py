"""Refreshes the columns of formulas and of other fields whose values change without an event.

Only those columns are written, and only in rows without a later change: a row's version and the
time up to which it is complete stay as they are. Every run first looks for changes of the object's
fields, and whether the channel still carries the object's changes.
"""

from __future__ import annotations

import time
from typing import Any

from listeners.clock import database_clock
from listeners.salesforce.rest.answers import CLOCK_ERROR
from mirror.models import Mirror
from mirror.problems import NOT_CARRIED, not_carried_since
from mirror.runs import Finished, Later, RunClaim
from mirror.schema.carried import not_carried
from mirror.schema_changes import check_schema
from mirror.sweeps import request_sweep
from mirror.verify.pages import read_pages
from mirror.verify.session import Session


def refresh(claim: RunClaim) -> Finished | Later:
    """Refresh the formulas of all rows for a slice of time.

    With the option `schema_only`, only look for changes of the object's fields.
    """
    session = Session(claim)
    check_schema(session.mirror, session.comparison.described, database_clock.now())
    _check_channel(session)
    names = _names(session)
    if names and not claim.job.options.get("schema_only"):
        # Rows with changes since the query began are left alone.
        session.cursor["read_at"] = round(time.time() * 1000) - CLOCK_ERROR
        for page, last in read_pages(session.comparison, session.cursor.get("after", ""), names):
            _refresh(session, page, last)
            if last is not None and (pause := session.pause()):
                return pause
        Mirror.objects.filter(pk=session.mirror.pk).update(
            formulas_refreshed_at=claim.job.started_at
        )
    report = {"compared": claim.job.done, "formulas": session.counts["formulas"]}
    return Finished(not session.remarks.get(NOT_CARRIED), report | session.remarks)


def _check_channel(session: Session) -> None:
    """Note whether the channel carries all changes of the object, if that can be seen. Once it does
    again, request a sweep of the time in which it did not."""
    mirror = session.mirror
    text = not_carried(session.comparison.rest, mirror.listener.channel, mirror.salesforce_object)
    session.counts.pop(NOT_CARRIED, None)  # what an earlier part of the run saw
    if text is None:
        return
    if not text and (since := not_carried_since(mirror)) is not None:
        now = database_clock.now()
        request_sweep(mirror, since, now, "The channel left changes out", with_ids=True)
    session.remarks[NOT_CARRIED] = text
    session.keep()


def _names(session: Session) -> list[str]:
    """Return the fields without events that have a column."""
    comparison = session.comparison
    readable = {*comparison.read_fields.names} & comparison.here.columns.fields.keys()
    return sorted(readable & comparison.rules.uncarried - {"Id"})


def _refresh(session: Session, page: list[dict[str, Any]], last: str | None) -> None:
    checked = session.comparison.differing(page)
    checked.read.read_at = session.cursor["read_at"]
    session.refresh(checked, even_if_different=True)
    session.cursor["after"] = last or ""
    session.keep(done=session.run.done + len(page))
