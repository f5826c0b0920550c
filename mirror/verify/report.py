"""Ends a verification or a repair: its result, the mirror's counts, and the incident."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from audit.models import Incident, Trouble
from listeners.clock import database_clock
from mirror import repairs
from mirror.models import Mirror
from mirror.problems import REFUSED, refusal
from mirror.runs import Finished
from mirror.schema_changes import mark_compared
from mirror.verify.buckets import Bucket
from mirror.verify.session import MOST_PENDING, MOST_STORED, UNEXPLAINED, Session

#: Depths that see every kind of difference, and may therefore close an incident.
_DEEP = ("sample", "full")
_ACCEPT = (
    "Check that the connection leads to the right org, and that its user still sees all records. "
    "If the records were deleted, mark their rows as deleted: manage.py mirror repair {model} "
    "--accept-deletions --wait. Then compare everything: manage.py mirror verify {model} --wait. "
    "The incident closes when that finds no difference."
)
_COMPARE = (
    "Look at the differences on the mirror's page, check that the connection's user still sees all "
    "records and fields, and that nothing else writes to the table. Then compare everything: "
    "manage.py mirror verify {model} --wait. The incident closes when that or a scheduled "
    "verification of fields finds no difference."
)
_UNREADABLE = ("record was", "records were", "not compared: Salesforce refuses to read them.")
_PENDING = (
    "record has",
    "records have",
    "changes that have not arrived yet. Check that the listener receives and that workers run, "
    "then verify again.",
)
_UNCONFIRMED = (
    "other record",
    "other records",
    f"had changes that had not arrived yet, and a run checks {MOST_PENDING:,} of them again. "
    "Verify again when the changes have arrived.",
)
_UNSTORED = (
    "other record differs and was",
    "other records differ and were",
    f"not repaired. A run records at most {MOST_STORED:,} differences: correct the cause of those, "
    "then verify again.",
)
_OPEN = ("difference is", "differences are", "not repaired.")
_CLOSED = "A later verification found no difference."


def verified(session: Session) -> Finished:
    """Return the result of a verification, after the incident is opened or closed."""
    run, mirror = session.run, session.mirror
    depth = run.options.get("depth") or "full"
    now = database_clock.now()
    is_partial = bool(run.options.get("fields"))
    session.counts["rows"] = session.comparison.here.total().rows
    there = session.comparison.there.count_or_none(Bucket())
    session.counts["rows_in_salesforce"] = (
        there.rows if there else session.mirror.rows_in_salesforce or 0
    )
    with transaction.atomic(durable=True):
        _keep_counts(session, now, is_verified=not is_partial)
        if depth == "full":
            mark_compared(mirror, run.options.get("fields"), run.started_at)
        finished = _finished(session)
        if depth != "counts" and not is_partial and not session.counts[REFUSED]:
            repairs.note(mirror, run, session.counts)
        unexplained = sum(session.counts[f"reason_{reason.value}"] for reason in UNEXPLAINED)
        if unexplained or session.counts[REFUSED]:
            _open(session, unexplained, now)
            finished = Finished(False, finished.report, finished.error)
        elif finished.is_right and depth in _DEEP and not is_partial:
            Incident.objects.close(
                mirror.listener_id,
                Incident.Kind.MIRROR_DIFFERS,
                now,
                key=mirror.model,
                note=_CLOSED,
            )
    return finished


def repaired(session: Session) -> Finished:
    """Return the result of a repair: right if no difference is left."""
    return _finished(session)


def _keep_counts(session: Session, now: datetime, *, is_verified: bool) -> None:
    counted = {
        "rows": session.counts["rows"],
        "rows_in_salesforce": session.counts["rows_in_salesforce"],
        "counted_at": now,
    }
    if is_verified:
        counted["last_verified_at"] = now
    Mirror.objects.filter(pk=session.mirror.pk).update(**counted)


def _finished(session: Session) -> Finished:
    left = session.mirror.differences.filter(repaired_at=None).count()
    session.counts["open"] = left
    session.counts["pending"] = len(session.pending)
    found = (
        (session.counts["unreadable"], _UNREADABLE),
        (len(session.pending), _PENDING),
        (session.counts["unconfirmed"], _UNCONFIRMED),
        (left, _OPEN),
        (session.counts["unstored"], _UNSTORED),
    )
    errors = [_sentence(count, *texts) for count, texts in found if count]
    if refused := session.counts[REFUSED]:
        errors.insert(0, f"{refusal(session.mirror.model, refused)}.")
    report = {name: count for name, count in session.counts.items() if count}
    return Finished(not errors, report, " ".join(errors))


def _sentence(count: int, one: str, many: str, rest: str) -> str:
    return f"{count:,} {one if count == 1 else many} {rest}"


def _open(session: Session, unexplained: int, now: datetime) -> None:
    mirror, run = session.mirror, session.run
    refused = session.counts[REFUSED]
    what = (
        f"{unexplained:,} unexplained differences"
        if unexplained != 1
        else "1 unexplained difference"
    )
    if refused:
        what = f"{refused:,} records are not in Salesforce, and their rows were kept"
    trouble = Trouble(
        Incident.Kind.MIRROR_DIFFERS,
        mirror.model,
        f"{mirror.model} differs from {mirror.salesforce_object} in Salesforce: {what} "
        f"(verification {run.pk}).",
        (_ACCEPT if refused else _COMPARE).format(model=mirror.model),
        action="The verification reads records that differ again, and applies what it read.",
        window_start=mirror.last_verified_at or mirror.in_sync_since or now,
        window_end=now,
        count=max(unexplained, 1),
    )
    incident = Incident.objects.report(mirror.listener_id, trouble, now)
    # An incident that was open may have the remedy of other differences.
    Incident.objects.filter(pk=incident.pk).update(remedy=trouble.remedy)
