"""Lists the channels of an org: all selected entities, custom channels, and single entities.

The org's list of objects has a change event for each entity that the user may see. Which entities
are selected for Change Data Capture is part of Setup, which requires a separate permission.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum, auto
from typing import Any

from listeners.salesforce.channel import change_event_of, channel_of, entity_of
from listeners.salesforce.errors import RestRefused
from listeners.salesforce.rest.client import RestClient

STANDARD = "ChangeEvents"
_EVENT = "ChangeEvent"
#: Lists custom channels. The standard channel is not a row there; only its members are.
CHANNELS_QUERY = (
    "SELECT Id, DeveloperName, NamespacePrefix, MasterLabel FROM PlatformEventChannel "
    "WHERE ChannelType = 'data'"
)
MEMBERS_QUERY = "SELECT DeveloperName, EventChannel, SelectedEntity FROM PlatformEventChannelMember"


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


@dataclass(frozen=True, slots=True)
class _Setup:
    """The org's Setup: custom channels (name → label), and the members of each channel."""

    labels: Mapping[str, str]
    members: Mapping[str, Sequence[str]]

    @property
    def selected(self) -> set[str]:
        """The events that are members of any channel, standard or custom."""
        return {event for events in self.members.values() for event in events}


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
        notes.append(f"This user may not list the org's objects ({_code(refused)}).")
    events = {name for name in labels if name.endswith(_EVENT)}
    try:
        setup = _setup(rest, events)
    except RestRefused as refused:
        if objects_refused is not None:
            raise objects_refused from None
        notes.append(
            "This user cannot see custom channels or which entities are selected: that requires "
            f"the permission View Setup and Configuration ({_code(refused)})."
        )
        return Offer(
            (_standard_channel(), *_entity_channels(events, labels, Group.UNKNOWN)), tuple(notes)
        )
    selected = setup.selected
    return Offer(
        (
            _standard_channel(_entity_labels(setup.members.get(STANDARD, ()), labels)),
            *_custom_channels(setup, labels),
            *_entity_channels(selected, labels, Group.SELECTED),
            *_entity_channels(events - selected, labels, Group.NOT_SELECTED),
        ),
        tuple(notes),
    )


def is_carried(rest: RestClient, channel: str, entity: str) -> bool | None:
    """Return whether the channel carries changes of the entity; None if the user may not see that.

    Raises any error of the login or the REST client but a refusal.
    """
    event = change_event_of(entity)
    try:
        setup = _setup(rest, [event])
    except RestRefused:
        return None
    if not setup.selected:
        return None
    if entity_of(channel) is not None:  # any selection is enough for the channel of one entity
        return event in setup.selected
    return event in setup.members.get(channel.removeprefix("/data/"), ())


def _code(refused: RestRefused) -> str:
    return refused.error_code or f"HTTP {refused.status}"


def _setup(rest: RestClient, events: Iterable[str]) -> _Setup:
    channels = {str(row.get("Id")): row for row in rest.query_setup(CHANNELS_QUERY)}
    names = {row_id: _channel_name(row) for row_id, row in channels.items()}
    members: dict[str, list[str]] = {}
    for row in rest.query_setup(MEMBERS_QUERY):
        channel = str(row.get("EventChannel"))
        name = names.get(channel, channel)  # rows have a channel's id; the standard one's name
        if event := _event_name(row, name, events):
            members.setdefault(name, []).append(event)
    labels = {names[row_id]: str(row.get("MasterLabel") or "") for row_id, row in channels.items()}
    return _Setup(labels, members)


def _channel_name(row: Mapping[str, Any]) -> str:
    namespace = row.get("NamespacePrefix")
    return f"{f'{namespace}__' if namespace else ''}{row['DeveloperName']}__chn"


def _event_name(member: Mapping[str, Any], channel: str, events: Iterable[str]) -> str:
    """Return the name of the selected event; empty for a platform event.

    For a custom object, SelectedEntity is an id. Its event's name is then the end of the member's
    name, in which double underscores are single ones.
    """
    selected = str(member.get("SelectedEntity"))
    if selected.endswith(_EVENT):
        return selected
    name = str(member.get("DeveloperName") or "")
    known = {_flat(event): event for event in events if name.endswith(f"_{_flat(event)}")}
    if known:
        return known[max(known, key=len)]
    rest = name.removeprefix(f"{_flat(channel)}_")
    return f"{rest.removesuffix(f'_{_EVENT}')}__{_EVENT}" if rest.endswith(f"_{_EVENT}") else ""


def _flat(name: str) -> str:
    return name.replace("__", "_")


def _standard_channel(members: str = "") -> OfferedChannel:
    label = f"All selected entities: {members}" if members else "All selected entities"
    return OfferedChannel(f"/data/{STANDARD}", label, Group.ALL)


def _custom_channels(setup: _Setup, labels: Mapping[str, str]) -> list[OfferedChannel]:
    found = []
    for name, label in sorted(setup.labels.items()):
        members = _entity_labels(setup.members.get(name, ()), labels) or "no entity"
        found += _if_valid(name, f"{label}: {members}" if label else members, Group.CUSTOM)
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
