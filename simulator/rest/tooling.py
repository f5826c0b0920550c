"""The Tooling API: custom channels, their members, and managed event subscriptions.

The channel of all entities has members but no row of its own. A custom object's change event is
named by the id of its definition, as Salesforce does; its name is left in DeveloperName, in which
double underscores are single ones.
"""

from collections.abc import Iterator

from simulator.org.catalogue import CUSTOM_SUFFIX, Entity
from simulator.org.channels import ALL
from simulator.org.channels import CUSTOM_SUFFIX as CHANNEL_SUFFIX
from simulator.org.ids import POD, base62, with_checksum
from simulator.org.org import Org
from simulator.org.records import JsonObject
from simulator.pubsub.managed import ManagedSubscriptions
from simulator.rest.errors import RestError
from simulator.rest.queries import matching
from simulator.rest.soql import located, parse

CHANNEL, MEMBER = "PlatformEventChannel", "PlatformEventChannelMember"
SUBSCRIPTION = "ManagedEventSubscription"
#: A query of these fields must select a single row.
WHOLE = ("FullName", "Metadata")
FIELDS = {
    CHANNEL: ("Id", "DeveloperName", "NamespacePrefix", "MasterLabel", "ChannelType", *WHOLE),
    MEMBER: ("Id", "DeveloperName", "NamespacePrefix", "EventChannel", "SelectedEntity", *WHOLE),
    SUBSCRIPTION: ("Id", "DeveloperName", "NamespacePrefix", "MasterLabel", *WHOLE),
}
STATES = {"running": "RUN", "stopped": "STOP"}
PREFIXES = {CHANNEL: "0YL", MEMBER: "0v8", "CustomObject": "01I"}
STANDARD = ALL.removeprefix("/data/")


class Tooling:
    """The queries of the Tooling API, for one API version. Methods raise RestError."""

    def __init__(self, org: Org, managed: ManagedSubscriptions, version: str) -> None:
        self._org = org
        self._managed = managed
        self._version = version

    def query(self, text: str) -> JsonObject:
        """`GET …/tooling/query?q=…`."""
        query = parse(text)
        kind = _kind(query.entity)
        if kind is None:
            message = f"sObject type '{query.entity}' is not supported."
            raise RestError("INVALID_TYPE", located(text, text.find(query.entity), message))
        spelt = {name: _spelt(name, kind, text) for name in query.all_names}
        rows = matching(query, self._rows(kind), spelt)
        if not query.names:
            return {"size": len(rows), "totalSize": len(rows), "done": True, "records": []}
        if len(rows) > 1 and any(spelt[name] in WHOLE for name in query.names):
            message = (
                "When retrieving results with Metadata or FullName fields, the query "
                "qualifications must specify no more than one row for retrieval. "
                f"Result size: {len(rows)}"
            )
            raise RestError("MALFORMED_QUERY", message)
        answer = {"size": len(rows), "totalSize": len(rows), "done": True, "queryLocator": None}
        return {**answer, "entityTypeName": kind, "records": rows}

    def row(self, name: str, record_id: str) -> JsonObject:
        """`GET …/tooling/sobjects/{Object}/{Id}`."""
        kind = _kind(name)
        for row in self._rows(kind) if kind else ():
            if record_id in (row["Id"], row["Id"][:15]):
                return row
        raise RestError("NOT_FOUND")

    def _rows(self, kind: str) -> Iterator[JsonObject]:
        kinds = {
            CHANNEL: self._channels,
            MEMBER: self._members,
            SUBSCRIPTION: self._subscriptions,
        }
        for row in kinds[kind]():
            url = f"/services/data/v{self._version}/tooling/sobjects/{kind}/{row['Id']}"
            yield {"attributes": {"type": kind, "url": url}, **row}

    def _channels(self) -> Iterator[JsonObject]:
        for number, path in enumerate(self._org.channels.custom, 1):
            namespace, _, name = _bare(path).rpartition("__")
            yield {
                "Id": _id(CHANNEL, number),
                "DeveloperName": name,
                "NamespacePrefix": namespace or None,
                "MasterLabel": name.replace("_", " "),
                "ChannelType": "data",
                "FullName": path.removeprefix("/data/"),
                "Metadata": {"channelType": "data", "label": name.replace("_", " ")},
            }

    def _members(self) -> Iterator[JsonObject]:
        catalogue = self._org.catalogue
        selected = [entity for entity in catalogue.entities.values() if entity.selected]
        members = [(STANDARD, STANDARD, entity) for entity in selected]
        for number, (path, names) in enumerate(self._org.channels.custom.items(), 1):
            channel = path.removeprefix("/data/")
            members += [
                (channel, _id(CHANNEL, number), catalogue.get(name)) for name in sorted(names)
            ]
        for number, (channel, channel_id, entity) in enumerate(members, 1):
            name = f"{channel}_{entity.change_event}".replace("__", "_")
            yield {
                "Id": _id(MEMBER, number),
                "DeveloperName": name,
                "NamespacePrefix": None,
                "EventChannel": channel_id,
                "SelectedEntity": self._selected_entity(entity),
                "FullName": name,
                "Metadata": {
                    "eventChannel": channel,
                    "selectedEntity": entity.change_event,
                    "enrichedFields": [],
                    "filterExpression": None,
                },
            }

    def _subscriptions(self) -> Iterator[JsonObject]:
        for subscription in self._managed.by_name.values():
            if subscription.state not in STATES:
                continue
            yield {
                "Id": subscription.subscription_id,
                "DeveloperName": subscription.name,
                "NamespacePrefix": None,
                "MasterLabel": subscription.name.replace("_", " "),
                "FullName": subscription.name,
                "Metadata": {
                    "label": subscription.name.replace("_", " "),
                    "topicName": subscription.topic,
                    "defaultReplay": subscription.replay.upper(),
                    "errorRecoveryReplay": subscription.replay.upper(),
                    "state": STATES[subscription.state],
                    "version": float(self._version),
                },
            }

    def _selected_entity(self, entity: Entity) -> str:
        if not entity.name.endswith(CUSTOM_SUFFIX):
            return entity.change_event
        return _id("CustomObject", list(self._org.catalogue.entities).index(entity.name) + 1)


def _kind(name: str) -> str | None:
    """Return the object of this name, ignoring case."""
    return next((kind for kind in FIELDS if kind.casefold() == name.casefold()), None)


def _bare(path: str) -> str:
    return path.removeprefix("/data/").removesuffix(CHANNEL_SUFFIX)


def _id(kind: str, number: int) -> str:
    return with_checksum(PREFIXES[kind] + POD + base62(number, 9))


def _spelt(name: str, kind: str, text: str) -> str:
    for known in FIELDS[kind]:
        if known.casefold() == name.casefold():
            return known
    message = f"No such column '{name}' on entity '{kind}'."
    raise RestError("INVALID_FIELD", located(text, text.find(name), message))
