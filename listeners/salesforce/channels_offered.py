"""Lists the channels of an org: all selected entities, custom channels, and single entities.

The org's list of objects has a change event for each entity that the user may see. Which entities
are selected for Change Data Capture is part of Setup, which requires a separate permission.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum, auto

from listeners.salesforce.channel import channel_of, entity_of
from listeners.salesforce.channel_members import EVENT, STANDARD, Member, Setup, code_of
from listeners.salesforce.errors import RestRefused
from listeners.salesforce.rest.client import RestClient


class Group(StrEnum):
    """The group in which a channel is listed."""

    ALL = auto()
    CUSTOM = auto()
    SELECTED = auto()
    NOT_SELECTED = auto()
    UNKNOWN = auto()  # single entities, if the user may not see which ones are selected


@dataclass(frozen=True, slots=True)
class OfferedChannel:
    channel: str
    label: str
    group: Group


@dataclass(frozen=True, slots=True)
class Offer:
    channels: tuple[OfferedChannel, ...]
    #: Why the list may be incomplete, or contain channels that do not work.
    notes: tuple[str, ...] = ()


def offered(rest: RestClient) -> Offer:
    """Return the channels that the org offers.

    Raises RestRefused if the user may see neither objects nor Setup, and any error of the login or
    the REST client.
    """
    notes: list[str] = []
    labels: dict[str, str] = {}
    objects_refused: RestRefused | None = None
    try:
        labels = {str(row.get("name")): str(row.get("label", "")) for row in rest.sobjects()}
    except RestRefused as refused:
        objects_refused = refused
        notes.append(f"This user may not list the org's objects ({code_of(refused)}).")
    events = {name for name in labels if name.endswith(EVENT)}
    try:
        setup = Setup.read(rest)
        members = _events_by_channel(setup, events)
    except RestRefused as refused:
        if objects_refused is not None:
            raise objects_refused from None
        notes.append(
            "This user cannot see custom channels or which entities are selected: that requires "
            f"the permission View Setup and Configuration ({code_of(refused)})."
        )
        return Offer(
            (_standard_channel(), *_entity_channels(events, labels, Group.UNKNOWN)), tuple(notes)
        )
    selected = {event for found in members.values() for event in found}
    return Offer(
        (
            _standard_channel(_entity_labels(members.get(STANDARD, ()), labels)),
            *_custom_channels(setup.labels, members, labels),
            *_entity_channels(selected, labels, Group.SELECTED),
            *_entity_channels(events - selected, labels, Group.NOT_SELECTED),
        ),
        tuple(notes),
    )


def _events_by_channel(setup: Setup, events: Collection[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for member in setup.members:
        event = _event_name(setup, member, events)
        if event.endswith(EVENT):
            found.setdefault(member.channel, []).append(event)
    return found


def _event_name(setup: Setup, member: Member, events: Collection[str]) -> str:
    """Return the name of a member's event; empty if it cannot be recognized.

    A member that is named after one event of the org is not read.
    """
    if not member.selected.endswith(EVENT):
        named = [event for event in events if member.is_named_after(event)]
        if len(named) == 1:
            return named[0]
    return setup.event_of(member) or ""


def _standard_channel(members: str = "") -> OfferedChannel:
    label = f"All selected entities: {members}" if members else "All selected entities"
    return OfferedChannel(f"/data/{STANDARD}", label, Group.ALL)


def _custom_channels(
    channels: Mapping[str, str], members: Mapping[str, Sequence[str]], labels: Mapping[str, str]
) -> list[OfferedChannel]:
    found = []
    for name, label in sorted(channels.items()):
        entities = _entity_labels(members.get(name, ()), labels) or "no entity"
        found += _if_valid(name, f"{label}: {entities}" if label else entities, Group.CUSTOM)
    return found


def _entity_channels(
    events: Iterable[str], labels: Mapping[str, str], group: Group
) -> list[OfferedChannel]:
    found = [
        channel
        for event in events
        for channel in _if_valid(event, _entity_label(event, labels), group)
    ]
    return sorted(found, key=lambda offered: (offered.label.casefold(), offered.channel))


def _if_valid(name: str, label: str, group: Group) -> list[OfferedChannel]:
    try:
        return [OfferedChannel(channel_of(f"/data/{name}"), label, group)]
    except ValueError:  # an object whose name looks like that of a change event
        return []


def _entity_labels(events: Iterable[str], labels: Mapping[str, str]) -> str:
    return ", ".join(sorted({_entity_label(event, labels) for event in events}, key=str.casefold))


def _entity_label(event: str, labels: Mapping[str, str]) -> str:
    entity = entity_of(f"/data/{event}") or event
    return labels.get(entity) or entity
