"""The members of the org's channels: which entities each carries, and which records of them.

They are part of Setup, which requires a separate permission. A change event is named exactly in a
member's SelectedEntity, or, for a custom object, there is the id of its definition: then the
member's metadata has the name.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from listeners.salesforce.channel import change_event_of, entity_of
from listeners.salesforce.errors import Reaction, RestRefused
from listeners.salesforce.rest.client import RestClient

STANDARD = "ChangeEvents"
EVENT = "ChangeEvent"
#: Lists custom channels. The standard channel is not a row there; only its members are.
CHANNELS_QUERY = (
    "SELECT Id, DeveloperName, NamespacePrefix, MasterLabel FROM PlatformEventChannel "
    "WHERE ChannelType = 'data'"
)
MEMBERS_QUERY = (
    "SELECT Id, DeveloperName, EventChannel, SelectedEntity, FilterExpression "
    "FROM PlatformEventChannelMember"
)
#: Salesforce returns the metadata of one row only.
_METADATA_QUERY = "SELECT Metadata FROM PlatformEventChannelMember WHERE Id = '{row_id}'"
_PLATFORM_EVENT = "__e"
#: Statuses of refusals that concern the user's permissions or the org's edition.
_FOR_GOOD = (400, 403, 404, 405)


@dataclass(frozen=True, slots=True)
class Member:
    """A member of a channel. `selected`: the name of its event, or the id of a definition."""

    row_id: str
    name: str
    channel: str
    selected: str
    filter: str

    def is_named_after(self, event: str) -> bool:
        """Return whether the member's name is the one that Salesforce gives the event's member.

        It joins channel and event, with single underscores: events of two names may share it.
        """
        return self.name == flat(f"{self.channel}_{event}")


def flat(name: str) -> str:
    """Return a name as names of members contain it."""
    return name.replace("__", "_")


def _nothing() -> None:
    """Do nothing before a request."""


@dataclass(slots=True)
class Setup:
    """The channels in the org's Setup: custom ones (name → label), and the members of all.

    `before_request` is called before each request for one member, and may raise to stop.
    """

    rest: RestClient
    labels: Mapping[str, str]
    members: Collection[Member]
    before_request: Callable[[], None] = _nothing
    _events: dict[str, str | None] = field(default_factory=dict)

    @classmethod
    def read(cls, rest: RestClient) -> Setup:
        """Read the Setup. Raises RestRefused if the user may not see it, and what RestClient
        raises."""
        channels = {str(row.get("Id")): row for row in rest.query_setup(CHANNELS_QUERY)}
        names = {row_id: _channel_name(row) for row_id, row in channels.items()}
        labels = {
            names[row_id]: str(row.get("MasterLabel") or "") for row_id, row in channels.items()
        }
        return cls(rest, labels, [_member(row, names) for row in rest.query_setup(MEMBERS_QUERY)])

    def event_of(self, member: Member) -> str | None:
        """Return the exact name of the member's event; None if it cannot be recognized."""
        if member.selected.endswith((EVENT, _PLATFORM_EVENT)):
            return member.selected
        if member.row_id not in self._events:
            self._events[member.row_id] = self._event_by_metadata(member)
        return self._events[member.row_id]

    def carrying(self, event: str, among: Collection[Member]) -> Member | None:
        """Return the member for an event. The likely ones are looked at first: others may need a
        request each."""

        def order(member: Member) -> tuple[bool, bool]:
            return member.selected != event, not member.is_named_after(event)

        ordered = sorted(among, key=order)
        return next((member for member in ordered if self.event_of(member) == event), None)

    def unrecognized(self, among: Collection[Member]) -> list[str]:
        """Return the names of members whose event cannot be recognized."""
        return sorted(member.name for member in among if self.event_of(member) is None)

    def _event_by_metadata(self, member: Member) -> str | None:
        self.before_request()
        try:
            rows = self.rest.query_setup(_METADATA_QUERY.format(row_id=member.row_id))
        except RestRefused as refused:
            if not _is_for_good(refused):
                raise
            return None
        match rows:
            case [{"Metadata": {"selectedEntity": str(name)}}] if name.endswith(
                (EVENT, _PLATFORM_EVENT)
            ):
                return name
        return None


@dataclass(frozen=True, slots=True)
class Coverage:
    """Whether a channel carries an entity; None if that is not known, for the reason `unknown`.

    `filter`: the expression that an entity's records must meet, if the channel has one.
    """

    is_carried: bool | None
    filter: str = ""
    unknown: str = ""


@dataclass
class ChannelMembers:
    """The members of one channel, read from the org's Setup when they are first needed.

    `before_request` is called before each request for one member, and may raise to stop.
    """

    rest: RestClient
    channel: str
    before_request: Callable[[], None] = _nothing

    def coverage(self, entity: str) -> Coverage:
        """Return whether the channel carries the entity, and with which filter.

        The channel of one entity has no members: it carries that entity as soon as any channel
        selects it, and no filter. Raises what RestClient raises, but for a refusal for good.
        """
        single = entity_of(self.channel)
        if single is not None:
            return Coverage(single == entity)
        if isinstance(self._setup, str):
            return Coverage(None, unknown=self._setup)
        name = self.channel.removeprefix("/data/")
        members = [member for member in self._setup.members if member.channel == name]
        found = self._setup.carrying(change_event_of(entity), members)
        if found is not None:
            return Coverage(True, found.filter)
        if not members:
            return Coverage(None, unknown="this user sees no member of the channel")
        if strange := self._setup.unrecognized(members):
            text = f"members whose entity is not recognized: {', '.join(strange)}"
            return Coverage(None, unknown=f"the channel has {text}")
        return Coverage(False)

    @cached_property
    def _setup(self) -> Setup | str:
        """The Setup, or why the user may not see it."""
        try:
            setup = Setup.read(self.rest)
        except RestRefused as refused:
            if not _is_for_good(refused):
                raise
            return (
                "this user cannot see the members of channels, which requires the permission View "
                f"Setup and Configuration ({code_of(refused)})"
            )
        setup.before_request = self.before_request
        return setup


def coverage_of(rest: RestClient, channel: str, entity: str) -> Coverage:
    """Return whether the channel receives changes of the entity, and with which filter.

    Raises any error of the login or the REST client but a refusal for good.
    """
    if entity_of(channel) is None:
        return ChannelMembers(rest, channel).coverage(entity)
    return Coverage(_is_selected(rest, entity))


def _is_selected(rest: RestClient, entity: str) -> bool | None:
    """Return whether any channel selects the entity, which is enough for the channel of the entity;
    None if that cannot be seen."""
    try:
        setup = Setup.read(rest)
    except RestRefused as refused:
        if not _is_for_good(refused):
            raise
        return None
    if setup.carrying(change_event_of(entity), setup.members) is not None:
        return True
    return None if not setup.members or setup.unrecognized(setup.members) else False


def _is_for_good(refused: RestRefused) -> bool:
    """Return whether the same request would be refused again."""
    return refused.status in _FOR_GOOD and refused.reaction is not Reaction.QUOTA


def code_of(refused: RestRefused) -> str:
    return refused.error_code or f"HTTP {refused.status}"


def _member(row: Mapping[str, Any], names: Mapping[str, str]) -> Member:
    channel = str(row.get("EventChannel"))
    return Member(
        row_id=str(row.get("Id")),
        name=str(row.get("DeveloperName") or ""),
        channel=names.get(channel, channel),  # a row has a channel's id; the standard one's name
        selected=str(row.get("SelectedEntity") or ""),
        filter=str(row.get("FilterExpression") or "").strip(),
    )


def _channel_name(row: Mapping[str, Any]) -> str:
    namespace = row.get("NamespacePrefix")
    return f"{f'{namespace}__' if namespace else ''}{row['DeveloperName']}__chn"
