"""The channels that an org offers: all selected entities, custom channels, and single entities.

The list of objects has a change event for each entity that the user may see. What is selected for
Change Data Capture is configured in Setup, which takes a permission of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum, auto
from typing import Any

from listeners.salesforce.channel import channel_of, entity_of
from listeners.salesforce.errors import RestRefused
from listeners.salesforce.rest.client import RestClient

STANDARD = "ChangeEvents"
_EVENT = "ChangeEvent"
#: The channel of all entities is not among these: it has members only.
CHANNELS_QUERY = (
    "SELECT Id, DeveloperName, NamespacePrefix, MasterLabel FROM PlatformEventChannel "
    "WHERE ChannelType = 'data'"
)
MEMBERS_QUERY = "SELECT DeveloperName, EventChannel, SelectedEntity FROM PlatformEventChannelMember"


class Group(StrEnum):
    ALL = auto()
    CUSTOM = auto()
    SELECTED = auto()
    NOT_SELECTED = auto()
    UNKNOWN = auto()  # single entities, where it is not told which are selected


@dataclass(frozen=True, slots=True)
class OfferedChannel:
    channel: str
    label: str
    group: Group


@dataclass(frozen=True, slots=True)
class Offer:
    channels: tuple[OfferedChannel, ...]
    #: Why there may be more, or less, than is offered.
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Setup:
    """What is configured: custom channels (name → label), and the members of each channel."""

    labels: Mapping[str, str]
    members: Mapping[str, Sequence[str]]

    @property
    def selected(self) -> set[str]:
        """To be in a custom channel is to be selected, too."""
        return {event for events in self.members.values() for event in events}


def offered(rest: RestClient) -> Offer:
    """Raises RestRefused when the user may see nothing of it, and what logins and HTTP raise."""
    notes: list[str] = []
    labels: dict[str, str] = {}
    unseen: RestRefused | None = None
    try:
        labels = {str(one.get("name")): str(one.get("label", "")) for one in rest.sobjects()}
    except RestRefused as refused:
        unseen = refused
        notes.append(f"The org does not list its objects to this user ({_code(refused)}).")
    events = {name for name in labels if name.endswith(_EVENT)}
    try:
        setup = _setup(rest, events)
    except RestRefused as refused:
        if unseen is not None:
            raise unseen from None
        notes.append(
            "Custom channels and which entities are selected are not told to this user: that takes "
            f"the permission View Setup and Configuration ({_code(refused)})."
        )
        return Offer((_all(), *_single(events, labels, Group.UNKNOWN)), tuple(notes))
    selected = setup.selected
    return Offer(
        (
            _all(_words(setup.members.get(STANDARD, ()), labels)),
            *_custom(setup, labels),
            *_single(selected, labels, Group.SELECTED),
            *_single(events - selected, labels, Group.NOT_SELECTED),
        ),
        tuple(notes),
    )


def _code(refused: RestRefused) -> str:
    return refused.error_code or f"HTTP {refused.status}"


def _setup(rest: RestClient, events: Iterable[str]) -> _Setup:
    channels = {str(row.get("Id")): row for row in rest.query_setup(CHANNELS_QUERY)}
    names = {row_id: _name(row) for row_id, row in channels.items()}
    members: dict[str, list[str]] = {}
    for row in rest.query_setup(MEMBERS_QUERY):
        channel = str(row.get("EventChannel"))
        name = names.get(channel, channel)  # told by its id; the standard channel by its name
        if event := _event(row, name, events):
            members.setdefault(name, []).append(event)
    labels = {names[row_id]: str(row.get("MasterLabel") or "") for row_id, row in channels.items()}
    return _Setup(labels, members)


def _name(row: Mapping[str, Any]) -> str:
    namespace = row.get("NamespacePrefix")
    return (
        f"{namespace}__{row['DeveloperName']}__chn" if namespace else f"{row['DeveloperName']}__chn"
    )


def _event(member: Mapping[str, Any], channel: str, events: Iterable[str]) -> str:
    """The name of the selected event; empty for a platform event.

    A custom object's is told by an id; then its name is the end of the member's own, in which
    double underscores are single ones.
    """
    told = str(member.get("SelectedEntity"))
    if told.endswith(_EVENT):
        return told
    name = str(member.get("DeveloperName") or "")
    known = {_flat(event): event for event in events if name.endswith(f"_{_flat(event)}")}
    if known:
        return known[max(known, key=len)]
    rest = name.removeprefix(f"{_flat(channel)}_")
    return f"{rest.removesuffix(f'_{_EVENT}')}__{_EVENT}" if rest.endswith(f"_{_EVENT}") else ""


def _flat(name: str) -> str:
    return name.replace("__", "_")


def _all(members: str = "") -> OfferedChannel:
    label = f"All selected entities: {members}" if members else "All selected entities"
    return OfferedChannel(f"/data/{STANDARD}", label, Group.ALL)


def _custom(setup: _Setup, labels: Mapping[str, str]) -> list[OfferedChannel]:
    found = []
    for name, label in sorted(setup.labels.items()):
        members = _words(setup.members.get(name, ()), labels) or "no entity"
        found += _valid(name, f"{label}: {members}" if label else members, Group.CUSTOM)
    return found


def _single(events: Iterable[str], labels: Mapping[str, str], group: Group) -> list[OfferedChannel]:
    found = [one for event in events for one in _valid(event, _word(event, labels), group)]
    return sorted(found, key=lambda one: (one.label.casefold(), one.channel))


def _valid(name: str, label: str, group: Group) -> list[OfferedChannel]:
    try:
        return [OfferedChannel(channel_of(f"/data/{name}"), label, group)]
    except ValueError:  # an object whose name only looks like that of a change event
        return []


def _words(events: Iterable[str], labels: Mapping[str, str]) -> str:
    return ", ".join(sorted({_word(event, labels) for event in events}, key=str.casefold))


def _word(event: str, labels: Mapping[str, str]) -> str:
    entity = entity_of(f"/data/{event}") or event
    return labels.get(entity) or entity
