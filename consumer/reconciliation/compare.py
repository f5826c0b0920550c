"""Run one comparison: entity by entity, page by page, from its stored progress.

For each entity, first compare the records that changed in Salesforce with the audit log, then look
up in Salesforce the records that exist according to the log.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence

from audit.models import Reconciliation
from consumer.reconciliation.backfill import Backfill, PartResult
from consumer.reconciliation.deletions import ManyGone, look_up, refuse_if_many
from consumer.reconciliation.evidence import CHUNK
from consumer.reconciliation.judge import Judge, Judgement
from consumer.reconciliation.membership import is_admitted
from consumer.reconciliation.progress import Progress
from consumer.reconciliation.salesforce_rows import ON_ITS_WAY, SECOND, Row, rows
from consumer.reconciliation.schedule import is_receiving
from consumer.reconciliation.scope import Scope, entities_of, scope_of
from handlers.listener_rest_client import rest_of
from listeners.salesforce.channel_members import ChannelMembers
from listeners.salesforce.errors import Reaction, RestRefused, SalesforceError
from listeners.salesforce.rest.client import RestClient

OnPage = Callable[[Progress], None]
Renew = Callable[[], None]

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


#: A comparison stops when this part of the org's daily API requests is used.
SPARED = 0.9


class RequestsUsedUp(SalesforceError):
    """The org's daily API requests are nearly used up. The comparison continues when some are free
    again."""

    def __init__(self, used: int, allowed: int) -> None:
        super().__init__(
            f"the comparison stopped: {used:,} of the org's {allowed:,} daily API requests are "
            f"used, and the last {1 - SPARED:.0%} are reserved for the org's other users",
            reaction=Reaction.QUOTA,
        )


class NothingToCompare(Exception):
    """The channel carries many entities, and none is known yet. Name one with --entity."""

    def __init__(self, channel: str) -> None:
        super().__init__(
            f"{channel} carries many entities, and no handler mapping or recorded change names "
            "one. Name an entity with reconcile_cdc --entity"
        )


class NotCarried(Exception):
    """The channel carries none of the entities. Name one that it carries, or extend the channel."""

    def __init__(self, progress: Progress) -> None:
        reasons = (f"{entity}: {why}" for entity, why in sorted(progress.left_out.items()))
        super().__init__(f"nothing was compared: {'; '.join(reasons)}")
        self.progress = progress


def _no_claim() -> None:
    """Do nothing: a comparison that only counts has no claim to renew."""


def compare(
    job: Reconciliation,
    progress: Progress,
    on_page: OnPage,
    *,
    renew: Renew = _no_claim,
    records: bool = True,
    accepts_deletions: bool = False,
) -> None:
    """Compare the remaining entities, and record missing changes unless `records` is False.

    `on_page` is called after each page, and may raise to stop; `renew` is called between the reads
    of a page or of the channel's members, which may take minutes together. Entities that Salesforce
    refuses, or that need a decision of an operator, are in `progress.refused` afterwards; those
    that the channel does not carry in `progress.left_out`, where another slice finds them. Raises
    NothingToCompare, NotCarried and CANNOT_READ. Never inside a transaction.
    """
    entities = [job.entity_name] if job.entity_name else entities_of(job.listener)
    if not entities:
        raise NothingToCompare(job.listener.channel)
    scope, rest = scope_of(job), rest_of(job.listener)

    def before_request() -> None:
        spare_requests(rest)
        renew()

    members = ChannelMembers(rest, job.listener.channel, before_request)
    progress.entities, progress.since, progress.until = len(entities), scope.since, scope.until
    for entity in entities:
        if progress.is_ended(entity):
            continue
        if not _NAME.fullmatch(entity):  # it becomes a part of the query
            progress.refuse(entity, "this is not a valid entity name")
            continue
        if not (progress.is_begun_in_doubt(entity) or is_admitted(job, members, entity, progress)):
            continue
        judge = Judge(job, entity, scope.rule, rest)
        backfill = Backfill(job, entity, judge, rest, records, accepts_deletions)
        try:
            _entity(backfill, scope, progress, on_page, renew)
        except RestRefused as refusal:
            if refusal.reaction is not Reaction.CONFIGURATION:
                raise
            progress.refuse(entity, str(refusal))
        except ManyGone as many:
            progress.refuse(entity, str(many))
        on_page(progress)
    if not progress.done and not progress.refused:
        raise NotCarried(progress)


def _entity(
    backfill: Backfill, scope: Scope, progress: Progress, on_page: OnPage, renew: Renew
) -> None:
    """Compare one entity: first the changed records, then the records that exist by the log."""
    progress.begin(backfill.entity)
    if progress.looked_up_to is None:
        _changed_records(backfill, scope, progress, on_page, renew)
        progress.begin_look_up()
    _known_records(backfill, scope, progress, on_page)
    progress.end(backfill.entity)


def _changed_records(
    backfill: Backfill, scope: Scope, progress: Progress, on_page: OnPage, renew: Renew
) -> None:
    """Compare the records that last changed in the window."""
    since = scope.since if progress.stamp is None else progress.stamp
    pages = rows(backfill.rest, backfill.entity, since, scope.until, deleted=scope.deleted)
    for page in pages:
        if not page:  # a server that ignores the query's condition may return many of them
            spare_requests(backfill.rest)
            renew()
        for start in range(0, len(page), CHUNK):
            part = page[start : start + CHUNK]
            spare_requests(backfill.rest)
            progress.advance(part, _compare_part(backfill, part, renew))
            on_page(progress)


def _compare_part(backfill: Backfill, part: Sequence[Row], renew: Renew) -> PartResult:
    """Compare some records. `renew` is called between reads, which may take minutes if Salesforce
    refuses to read the records together."""
    found = backfill.judged(part)
    suspects = found.judgement.missing(part)
    if suspects:
        renew()
    if suspects and _wait_for_the_stream(backfill, found.judgement, suspects):
        # Judged without the lock first: on a busy entity most of them have arrived by now.
        found.add(backfill.judged(suspects))
        suspects = found.judgement.missing(suspects)
        renew()
    found.add(backfill.fill(suspects, renew))
    return found


def _wait_for_the_stream(backfill: Backfill, judgement: Judgement, suspects: Sequence[Row]) -> bool:
    """Wait until the stream has had time to bring the newest of these changes; return whether it
    was necessary to wait."""
    if not is_receiving(backfill.job.listener_id):
        return False
    newest = max(judgement.stamps[row.record_id] for row in suspects)
    wait = newest + SECOND + ON_ITS_WAY - round(time.time() * 1000)
    if wait <= 0:
        return False
    time.sleep(min(wait, 2 * ON_ITS_WAY) / 1000)
    return True


def _known_records(backfill: Backfill, scope: Scope, progress: Progress, on_page: OnPage) -> None:
    """Look up the records that exist according to the log, and record missing deletions.

    All records are looked up before any record without a trace counts as deleted: many of them
    suggest another reason.
    """
    _look_up_all(backfill, scope, progress, on_page)
    figures = progress.figures[backfill.entity]
    if figures.gone and backfill.is_cautious and progress.counted_gone is None:
        refuse_if_many(backfill, figures.gone, figures.looked_up)
        progress.look_up_again()
        _look_up_all(backfill, scope, progress, on_page)


def _look_up_all(backfill: Backfill, scope: Scope, progress: Progress, on_page: OnPage) -> None:
    while not progress.is_looked_up:
        spare_requests(backfill.rest)
        behind = progress.looked_up_to or 0
        progress.look_up(look_up(backfill, behind, scope.until, progress.counted_gone))
        on_page(progress)


def spare_requests(rest: RestClient) -> None:
    """Stop before the comparison uses up the org's daily API requests. Raises RequestsUsedUp."""
    if rest.usage is not None and rest.usage[0] > SPARED * rest.usage[1]:
        raise RequestsUsedUp(*rest.usage)
