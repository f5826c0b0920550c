"""Channel names, and the events that each channel carries."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from simulator.org.catalogue import Catalogue
from simulator.org.events import HEADER
from simulator.org.records import JsonObject

ALL = "/data/ChangeEvents"
CUSTOM_SUFFIX = "__chn"
ENRICHED_TYPES = ("UPDATE", "DELETE")
#: The types of events with data.
CHANGED_TYPES = ("CREATE", "UPDATE", "DELETE", "UNDELETE")


class SubscriptionRefusedError(Exception):
    """A refused subscription; the text is the Bayeux error string."""


@dataclass(frozen=True, slots=True)
class Member:
    """The enriched fields and the filter of an entity in a custom channel.

    enriched  fields that updates and deletions carry, changed or not, with their present values
    filter    the text of the filter, `filtered` the fields that it names, and `admits` the filter
              itself, which takes values by field name
    """

    enriched: tuple[str, ...] = ()
    filter: str = ""
    filtered: tuple[str, ...] = ()
    admits: Callable[[JsonObject], bool] = lambda values: True

    def parts(
        self, payload: JsonObject, fields_of: Callable[[str], JsonObject]
    ) -> Iterator[JsonObject]:
        """Yield the payloads that are delivered for an event's payload.

        An enriched event of several records is split into one for each of them. The fields of a
        filter are enriched too. Events without data pass every filter. `fields_of` returns the
        present fields of a record.
        """
        given = payload.get(HEADER)
        header: JsonObject = given if isinstance(given, dict) else {}
        kind, record_ids = header.get("changeType"), header.get("recordIds") or ["*"]
        if kind not in CHANGED_TYPES or record_ids[0].endswith("*"):
            yield payload
            return
        wanted = (*self.enriched, *self.filtered) if kind in ENRICHED_TYPES else ()
        for record_id in record_ids if wanted else record_ids[:1]:
            part = payload
            if wanted:
                present = fields_of(record_id)
                added = {name: present[name] for name in wanted if name in present}
                part = {**added, **payload, HEADER: {**header, "recordIds": [record_id]}}
            if self.admits(dict(_named(part))):
                yield part


def _named(payload: JsonObject, prefix: str = "") -> Iterator[tuple[str, object]]:
    """Yield each value under its name, like `BillingAddress.City` inside compound fields."""
    for name, value in payload.items():
        yield prefix + name, value
        if isinstance(value, dict):
            yield from _named(value, f"{prefix}{name}.")


@dataclass(slots=True)
class Channels:
    """The channels of the org: standard ones by name, custom ones by definition."""

    catalogue: Catalogue
    custom: dict[str, frozenset[str]] = field(default_factory=dict)
    #: The members with enriched fields or a filter, by path and entity.
    members: dict[tuple[str, str], Member] = field(default_factory=dict)

    def define(
        self, name: str, entities: Iterable[str], members: Mapping[str, Member] | None = None
    ) -> str:
        """Add or replace a custom channel, and return its path. Raises LookupError, ValueError."""
        if not name.endswith(CUSTOM_SUFFIX):
            raise ValueError(f"a custom channel's name ends with {CUSTOM_SUFFIX}: {name!r}")
        path = "/data/" + name.removeprefix("/data/")
        names = frozenset(self.catalogue.get(entity).name for entity in entities)
        for entity in members or {}:
            if entity not in names:
                raise ValueError(f"{entity!r} is not an object of the channel {path}")
        self.custom[path] = names
        for entity in self.catalogue.entities:
            self.members.pop((path, entity), None)
        self.members |= {(path, entity): member for entity, member in (members or {}).items()}
        return path

    def check(self, channel: str) -> None:
        """Raise SubscriptionRefusedError unless the user may subscribe."""
        if channel.startswith(("/meta/", "/service/")) or "*" in channel:
            raise SubscriptionRefusedError("403::Restricted channel")
        if not channel.startswith(("/data/", "/topic/", "/event/")):
            raise SubscriptionRefusedError(f"403::Cannot create channel {{{channel}}}")
        if channel == ALL or channel in self.custom:
            return
        entity = self.catalogue.by_change_event(channel.removeprefix("/data/"))
        if entity is None or not entity.selected:
            raise SubscriptionRefusedError(
                f"400::The channel you requested to subscribe to doesn't exist {{{channel}}}"
            )
        if not entity.visible:
            raise SubscriptionRefusedError(
                "403::User not allowed to subscribe CDC without View All Data permissions"
            )

    def carries(self, channel: str, entity_name: str) -> bool:
        """Return whether the channel carries events of this entity.

        Entities that the user may not see are silently left out. Unknown entities, which only a raw
        event can have, are sent to every subscriber of the channel of all entities.
        """
        entity = self.catalogue.entities.get(entity_name)
        if entity is not None and not entity.visible:
            return False
        if channel == ALL:
            return True
        if channel in self.custom:
            return entity_name in self.custom[channel]
        return entity is not None and channel == "/data/" + entity.change_event
