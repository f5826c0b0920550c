"""One comparison: entity by entity, page by page, from where it was left."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence

from audit.models import Reconciliation
from consumer.reconciliation.entities import entities_of
from consumer.reconciliation.evidence import CHUNK, incomplete
from consumer.reconciliation.missing import Supplier
from consumer.reconciliation.progress import Progress
from consumer.reconciliation.readiness import is_receiving
from consumer.reconciliation.rows import ON_ITS_WAY, SECOND, Row, rows
from consumer.reconciliation.rules import Scope, scope_of
from listeners.salesforce.errors import Reaction, RestRefused
from listeners.salesforce.rest import RestClient

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


class NothingToCompare(Exception):
    """The channel carries many entities, and none is known yet: name one with --entity."""

    def __init__(self, channel: str) -> None:
        super().__init__(
            f"{channel} carries many entities, and neither a handler mapping nor a recorded change "
            "names one: name it with reconcile_cdc --entity"
        )


def compare(
    job: Reconciliation,
    rest: RestClient,
    progress: Progress,
    on_page: Callable[[Progress], None],
    *,
    records: bool = True,
) -> None:
    """Compare what is left, and record what is missing unless `records` is False.

    `on_page` is called after each page, and may raise to stop. Entities that Salesforce refuses
    are in `progress.refused` afterwards. Raises NothingToCompare and what RestClient raises. Never
    inside a transaction.
    """
    entities = [job.entity_name] if job.entity_name else entities_of(job.listener)
    if not entities:
        raise NothingToCompare(job.listener.channel)
    scope = scope_of(job)
    progress.entities, progress.since, progress.until = len(entities), scope.since, scope.until
    for entity in entities:
        if entity in progress.done or entity in progress.refused:
            continue
        if not _NAME.fullmatch(entity):  # it becomes a part of the query
            progress.refuse(entity, "that is no entity's name")
            continue
        supplier = Supplier(job, entity, scope.rule, rest, records)
        try:
            _entity(supplier, scope, progress, on_page)
        except RestRefused as refusal:
            if refusal.reaction is not Reaction.CONFIGURATION:
                raise
            progress.refuse(entity, str(refusal))
        on_page(progress)


def _entity(
    supplier: Supplier, scope: Scope, progress: Progress, on_page: Callable[[Progress], None]
) -> None:
    progress.begin(supplier.entity)
    since = scope.since if progress.stamp is None else progress.stamp
    refused: dict[str, str] = {}
    pages = rows(supplier.rest, supplier.entity, since, scope.until, deleted=scope.deleted)
    for page in pages:
        for start in range(0, len(page), CHUNK):
            part = page[start : start + CHUNK]
            found = supplier.supply(_suspects(supplier, part))
            refused |= found.refused
            progress.advance(part, found.missing)
            on_page(progress)
    if refused:
        progress.refuse(supplier.entity, f"{len(refused)} records: {next(iter(refused.values()))}")
    else:
        progress.end(supplier.entity)


def _suspects(supplier: Supplier, page: Sequence[Row]) -> list[Row]:
    """The rows that the log does not account for, though the stream had time to bring them."""
    listener = supplier.job.listener
    suspects = incomplete(listener, supplier.entity, page, supplier.rule)
    if not suspects or not is_receiving(listener.pk):
        return suspects
    wait = max(row.stamp for row in suspects) + SECOND + ON_ITS_WAY - round(time.time() * 1000)
    if wait <= 0:
        return suspects
    time.sleep(min(wait, 2 * ON_ITS_WAY) / 1000)
    return incomplete(listener, supplier.entity, suspects, supplier.rule)
