"""Notices changes of a mirrored object's fields, and follows them up.

    added      a load fills it for existing rows; an incident if the model has no column for it, as
               its values go to `raw`
    changed    an incident; every row's field is compared, since no event may have announced it
    hidden     an incident, if the model has a column for it; the rows keep their values

A hidden field that is shown again counts as added. The incident closes when the model matches the
object again: columns for added fields, none for hidden ones, and changed fields compared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any

from django.db import transaction

from audit.models import Incident, Trouble
from mirror import runs
from mirror.column_holders import columns_for, newcomers
from mirror.models import Mirror, MirrorRun
from mirror.schema.columns import Columns, columns_of
from mirror.schema.compare import can_hold
from mirror.schema.described import NOT_IN_BULK, DescribedObject

#: API name → {"was": type or "", "is": type or "", "at": time, "compared": bool}. `compared`: the
#: field of every row was compared, or loaded, since the change was noticed. An added field that by
#: its name would take over a column has "keeps": the field that keeps the column.
Changes = dict[str, dict[str, Any]]
_CLOSED = "The model matches the object again."


def check_schema(mirror: Mirror, described: DescribedObject, now: datetime) -> None:
    """Compare the object's fields with those known before. Never inside a transaction."""
    types = described.types
    if not mirror.described:
        _save(mirror, described=types, described_at=now)
        return
    columns, kept = columns_for(mirror, types), newcomers(mirror, types)
    fresh = changes_between(mirror.described, types, now)
    for name in kept.keys() & fresh.keys():
        fresh[name]["keeps"] = kept[name]
    known: Changes = {**mirror.field_changes, **fresh}
    left = {
        name: change
        for name, change in known.items()
        if not _is_over(name, change, columns, described)
    }
    with transaction.atomic(durable=True):
        _save(mirror, described=types, described_at=now, field_changes=left)
        lacking = {
            name: change for name, change in left.items() if not _has_place(change, columns, name)
        }
        if fresh and lacking:
            Incident.objects.report(mirror.listener_id, _trouble(mirror, lacking), now)
        elif not lacking:
            Incident.objects.close(
                mirror.listener_id, Incident.Kind.MIRROR_SCHEMA, now, key=mirror.model, note=_CLOSED
            )
        if any(not change["was"] for name, change in fresh.items() if name in left):
            options = {"reason": "new fields"}
            run, is_new = runs.request(mirror, MirrorRun.Kind.LOAD, now, options=options)
            if is_new:
                transaction.on_commit(partial(runs.start, run.pk))


def changes_between(was: Mapping[str, str], now_: Mapping[str, str], at: datetime) -> Changes:
    """Return the fields whose types differ; an empty type stands for a field that is not there."""
    return {
        name: {
            "was": was.get(name, ""),
            "is": now_.get(name, ""),
            "at": at.isoformat(),
            "compared": not now_.get(name),
        }
        for name in was.keys() | now_.keys()
        if was.get(name, "") != now_.get(name, "")
    }


def to_compare(mirror: Mirror) -> list[str]:
    """Return the fields whose type changed and whose values are still to be compared."""
    changes: Changes = mirror.field_changes
    return sorted(
        name for name, change in changes.items() if change["was"] and not change["compared"]
    )


def last_added(mirror: Mirror) -> datetime | None:
    """Return when the last field was added that no load has read yet."""
    changes: Changes = mirror.field_changes
    fresh = (one["at"] for one in changes.values() if not one["was"] and not one["compared"])
    return max(map(datetime.fromisoformat, fresh), default=None)


def mark_loaded(mirror: Mirror, since: datetime | None) -> None:
    """Note that a load which began at `since` filled the fields that were added before.

    Inside the caller's transaction.
    """
    changes: Changes = Mirror.objects.get(pk=mirror.pk).field_changes
    added = [
        name
        for name, change in changes.items()
        if not change["was"] and since is not None and datetime.fromisoformat(change["at"]) <= since
    ]
    if added:
        mark_compared(mirror, added, since)


def mark_compared(mirror: Mirror, names: Sequence[str] | None, since: datetime | None) -> None:
    """Note that a run which began at `since` compared these fields of all rows; None: all fields.

    Inside the caller's transaction.
    """
    changes: Changes = Mirror.objects.select_for_update().get(pk=mirror.pk).field_changes
    for name, change in changes.items():
        is_older = since is not None and datetime.fromisoformat(change["at"]) <= since
        if (names is None and is_older) or (names is not None and name in names):
            change["compared"] = True
    _save(mirror, field_changes=changes)


def _is_over(
    name: str, change: Mapping[str, Any], columns: Columns, described: DescribedObject
) -> bool:
    """Return whether the model matches the object in this field again."""
    if not change["is"]:
        return name in columns.names or not _has_column(name, columns)
    if name not in columns.names:
        return True  # hidden since: that is a change of its own
    if not change["was"] and described.fields[name].type in NOT_IN_BULK:
        return True  # no query returns its values
    column = columns.fields.get(name)
    if not change["compared"]:
        return False
    if not change["was"]:
        return column is not None
    return column is None or can_hold(column, described.fields[name])


def _has_place(change: Mapping[str, Any], columns: Columns, name: str) -> bool:
    """Return whether a field was added that has a column already, which a load fills."""
    return not change["was"] and name in columns.fields


def _has_column(name: str, columns: Columns) -> bool:
    """Return whether a column would hold the field if it were visible."""
    return name in columns_of(columns.model).against([*columns.names, name]).fields


def _save(mirror: Mirror, **changes: Any) -> None:
    Mirror.objects.filter(pk=mirror.pk).update(**changes)
    for name, value in changes.items():
        setattr(mirror, name, value)


def _trouble(mirror: Mirror, changes: Changes) -> Trouble:
    entity, connection = mirror.salesforce_object, mirror.listener.connection
    words = "; ".join(_words(name, change) for name, change in sorted(changes.items()))
    return Trouble(
        Incident.Kind.MIRROR_SCHEMA,
        mirror.model,
        f"The fields of {entity}, which {mirror.model} mirrors, changed: {words}.",
        "Print the change of the model, make it, and migrate: manage.py inspect_salesforce "
        f"{entity} --connection {connection} --diff",
        action="New fields are kept in the column raw, changed ones are compared in every row, and "
        "hidden ones keep their last values.",
        lasts=True,
    )


def _words(name: str, change: Mapping[str, Any]) -> str:
    match change:
        case {"was": "", "keeps": former}:
            return (
                f"{name} was added ({change['is']}), and by its name would have the column of "
                f"{former}, which {former} keeps"
            )
        case {"was": ""}:
            return f"{name} was added ({change['is']})"
        case {"is": ""}:
            return f"{name} is no longer visible to the connection's user"
    return f"{name} changed from {change['was']} to {change['is']}"
