"""Channel names, and the events that each channel carries."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from simulator.org.catalogue import Catalogue

ALL = "/data/ChangeEvents"
CUSTOM_SUFFIX = "__chn"


class SubscriptionRefusedError(Exception):
    """A refused subscription; the text is the Bayeux error string."""


@dataclass(slots=True)
class Channels:
    """The channels of the org: standard ones by name, custom ones by definition."""

    catalogue: Catalogue
    custom: dict[str, frozenset[str]] = field(default_factory=dict)
    #: The filter expressions of members, by channel and entity.
    filters: dict[tuple[str, str], str] = field(default_factory=dict)

    def define(
        self, name: str, entities: Iterable[str], filters: Mapping[str, str] | None = None
    ) -> str:
        """Add or replace a custom channel, and return its path. Raises LookupError, ValueError."""
        if not name.endswith(CUSTOM_SUFFIX):
            raise ValueError(f"a custom channel's name ends with {CUSTOM_SUFFIX}: {name!r}")
        path = "/data/" + name.removeprefix("/data/")
        self.custom[path] = frozenset(self.catalogue.get(entity).name for entity in entities)
        for entity in self.custom[path]:
            self.filters.pop((path, entity), None)
        self.filters |= {(path, entity): text for entity, text in (filters or {}).items()}
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
