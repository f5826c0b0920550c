"""Check a mirror before it is added: model → table → listener → object → fields → records."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from django.utils import timezone

from consumer.diagnostics.findings import Finding, Step
from consumer.diagnostics.short_timeouts import listener_with_short_timeouts, with_short_timeouts
from handlers.listener_rest_client import CANNOT_READ, rest_of
from listeners.listener_state import standing_now
from listeners.models import Position
from mirror.load.fields import ReadFields
from mirror.load.reader import RestReader
from mirror.models import Mirror
from mirror.requirements import Refused, check_local, check_org, field_names

#: Fields without a column that a finding names.
_NAMED = 6
#: Fields that every mirrored model keeps in columns of its own, or does not need.
_KEPT_ELSEWHERE = ("Id", "IsDeleted", "LastModifiedDate", "SystemModstamp")


def check_mirror(mirror: Mirror) -> Iterator[Finding]:
    """Yield the findings; a failed one ends the check. Changes nothing, outside any transaction."""
    try:
        columns = check_local(mirror)
        name, table = columns.salesforce_object, columns.model._meta.db_table
        yield Finding(f"model: {columns.label} mirrors {name}")
        yield Finding(f"table: {table} in the database {mirror.database}")
        yield _listening(mirror)
        quick = with_short_timeouts(mirror.listener.connection)
        listener = listener_with_short_timeouts(mirror.listener, quick)
        description = check_org(listener, columns)
        yield Finding(f"object: {name} can be read by the connection's user", step=Step.ORG)
        held = columns.against(field_names(description)).fields
        read = ReadFields.of(description)
        others = [one for one in read.names if one not in {*held, *_KEPT_ELSEWHERE}]
        yield _fields(len(held), others)
        yield _records(RestReader(rest_of(listener), read).count(deleted=False))
    except Refused as refused:
        yield Finding(str(refused), is_failure=True)
    except CANNOT_READ as error:
        yield Finding(f"REST: {error}", is_failure=True, step=Step.ORG)


def _listening(mirror: Mirror) -> Finding:
    stands = standing_now(mirror.listener, timezone.now())
    if mirror.listener.enabled and stands.state == Position.State.RECEIVING:
        return Finding(f"listener: {mirror.listener} is receiving")
    return Finding(
        f"note: listener {mirror.listener} is not receiving ({stands.state}). The first load waits "
        "until it is: start it, and run manage.py run_cdc_listener."
    )


def _fields(held: int, others: Sequence[str]) -> Finding:
    named = ", ".join(others[:_NAMED]) + (", …" if len(others) > _NAMED else "")
    verb = "goes" if len(others) == 1 else "go"
    rest = f"; {len(others)} without a column {verb} to raw: {named}" if others else ""
    return Finding(f"fields: {held} have a column{rest}", step=Step.ORG)


def _records(total: int | None) -> Finding:
    shown = "an unknown number" if total is None else f"{total:,}"
    return Finding(f"records: {shown} to load", step=Step.ORG)
