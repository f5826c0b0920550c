"""Requests sweeps: reads of the records that were modified since a time, after lost changes.

A sweep that has not ended is widened and started over, so that no request is lost.
"""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import Any

from django.db import transaction

from mirror import runs
from mirror.models import Mirror, MirrorRun

#: Keys of `MirrorRun.options`: the beginning of the window, the reasons, the incidents of lost
#: time, and whether records that were permanently deleted are looked for after the sweep.
SINCE, REASONS, INCIDENTS, IDS = "since", "reasons", "incidents", "ids"


def request_sweep(
    mirror: Mirror,
    since: datetime,
    now: datetime,
    reason: str,
    *,
    incident: str | None = None,
    with_ids: bool = False,
) -> MirrorRun:
    """Request a sweep of the records that were modified at `since` or later.

    `with_ids`: look for permanently deleted records afterwards. Inside any transaction: the task
    message is sent after its commit.
    """
    with transaction.atomic():
        Mirror.objects.select_for_update().get(pk=mirror.pk)
        unended = mirror.runs.filter(kind=MirrorRun.Kind.SWEEP, state__in=MirrorRun.UNENDED)
        run = unended.select_for_update().first()
        options = _widened(run.options if run else {}, since, reason, incident, with_ids)
        if run is None:
            run, _ = runs.request(mirror, MirrorRun.Kind.SWEEP, now, options=options)
        else:
            unended.update(
                state=MirrorRun.State.WAITING, claimed_until=None, due_at=now, options=options,
                cursor={}, done=0, total=None, tries=0, error="", waits_for="",
            )  # fmt: skip
        transaction.on_commit(partial(runs.send, run.pk))
    return run


def _widened(
    options: dict[str, Any], since: datetime, reason: str, incident: str | None, with_ids: bool
) -> dict[str, Any]:
    """Return the options of a sweep that includes this request."""
    begins = [since, *(datetime.fromisoformat(text) for text in [options.get(SINCE)] if text)]
    incidents = [*options.get(INCIDENTS, []), *([] if incident is None else [incident])]
    return {
        SINCE: min(begins).isoformat(),
        REASONS: list(dict.fromkeys([*options.get(REASONS, []), reason])),
        INCIDENTS: list(dict.fromkeys(incidents)),
        IDS: with_ids or options.get(IDS, False),
    }
