"""Choose the fields of an object that become columns.

Unknown   the object or a field does not exist, or is hidden from the user; the message suggests
          names
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from difflib import get_close_matches

from listeners.salesforce.errors import RestRefused
from listeners.salesforce.rest.client import RestClient
from mirror.schema.described import COMPOUNDS, NOT_IN_BULK, DescribedField, DescribedObject
from mirror.schema.model_code import Choice
from mirror.schema.naming import NOT_KEPT

#: The model's own columns hold them.
_OWN = frozenset({"Id", "IsDeleted", "LastModifiedDate"})
_HIDDEN = (
    "SELECT QualifiedApiName FROM FieldDefinition "
    "WHERE EntityDefinition.QualifiedApiName = '{name}' LIMIT 2000"
)


class Unknown(ValueError):
    """An object or a field cannot be mirrored. The message says why, and suggests names."""


def described_object(rest: RestClient, name: str) -> DescribedObject:
    """Return an object of the org. Raises Unknown and the exceptions of RestClient."""
    try:
        described = DescribedObject.read(rest.describe(name))
    except RestRefused as refused:
        if refused.status != 404:
            raise
        raise Unknown(_no_object(rest, name)) from None
    if not described.is_queryable:
        raise Unknown(f"{described.name} cannot be queried, so it cannot be mirrored.")
    if "Id" not in described.fields:
        raise Unknown(f"{described.name} has no field Id, so it cannot be mirrored.")
    return described


def choose(
    described: DescribedObject,
    *,
    only: Collection[str] = (),
    exclude: Collection[str] = (),
    hidden: Iterable[str] = (),
) -> Choice:
    """Return the fields to mirror: all that can be kept in step, or `only` these. Raises Unknown.

    `hidden` are fields that the org has and the user may not see.
    """
    _check_names(described, [*only, *exclude])
    wanted = {name.casefold() for name in only}
    unwanted = {name.casefold() for name in exclude}
    chosen: list[DescribedField] = []
    left_out: list[str] = []
    for field in described.fields.values():
        if field.name.casefold() in unwanted or field.name in _OWN:
            continue
        if wanted:
            if field.name.casefold() in wanted:
                chosen.append(_mirrorable(described, field))
        elif field.type in NOT_IN_BULK:
            if field.type not in COMPOUNDS:
                left_out.append(f"{field.name} ({field.type})")
        elif field.name not in NOT_KEPT:
            chosen.append(field)
    return Choice(described, chosen, [*_notes("Not available in bulk", left_out), *_hidden(hidden)])


def hidden_fields(rest: RestClient, described: DescribedObject) -> list[str]:
    """Return the fields that the user may not see; none if the user may not see the Setup."""
    with suppress(RestRefused):
        rows = rest.query_setup(_HIDDEN.format(name=described.name))
        names = {str(row.get("QualifiedApiName")) for row in rows}
        return sorted(names - described.fields.keys() - {"None"})
    return []


def _mirrorable(described: DescribedObject, field: DescribedField) -> DescribedField:
    name = f"{described.name}.{field.name}"
    if field.type in COMPOUNDS:
        raise Unknown(f"{name} is a compound field ({field.type}): name its components instead.")
    if field.type == "base64":
        raise Unknown(f"{name} is a file (base64), which no query returns: leave it out.")
    if field.name in NOT_KEPT:
        raise Unknown(f"{name} changes without an event, so no column can follow it: leave it out.")
    return field


def _check_names(described: DescribedObject, names: Sequence[str]) -> None:
    known = {name.casefold() for name in described.fields}
    for name in names:
        if name.casefold() not in known:
            raise Unknown(
                f"{described.name} has no field {name!r}, or the connection's user may not see it."
                f"{_suggestion(name, described.fields)}"
            )


def _no_object(rest: RestClient, name: str) -> str:
    known = [str(each.get("name")) for each in rest.sobjects()]
    return (
        f"The org has no object {name!r}, or the connection's user may not see it."
        f"{_suggestion(name, known)}"
    )


def _suggestion(name: str, known: Iterable[str]) -> str:
    by_folded = {each.casefold(): each for each in known}
    close = get_close_matches(name.casefold(), by_folded, n=3, cutoff=0.6)
    close += [
        each for each in (f"{name}__c".casefold(),) if each in by_folded and each not in close
    ]
    return f" Did you mean {' or '.join(by_folded[each] for each in close)}?" if close else ""


def _notes(reason: str, names: Sequence[str]) -> list[str]:
    return [f"{reason}: {name}." for name in names]


def _hidden(names: Iterable[str]) -> list[str]:
    return [f"Hidden from the connection's user, who may not read it: {name}." for name in names]
