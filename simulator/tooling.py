"""`…/tooling/query`: the custom channels of the org, and what is selected for each channel.

The channel of all entities has members but no row of its own. A custom object's change event is
named by the id of its definition, as Salesforce does; its name is left in DeveloperName, in which
double underscores are single ones.
"""

from collections.abc import Callable, Iterator

from simulator.catalogue import CUSTOM_SUFFIX, Entity
from simulator.channels import ALL
from simulator.channels import CUSTOM_SUFFIX as CHANNEL_SUFFIX
from simulator.ids import POD, base62, with_checksum
from simulator.org import Org
from simulator.records import JsonObject
from simulator.representation import chosen_fields
from simulator.rest_errors import RestError
from simulator.soql import SoqlError, located, parse
from simulator.soql_run import with_names
from simulator.soql_where import holds

CHANNEL, MEMBER = "PlatformEventChannel", "PlatformEventChannelMember"
FIELDS = {
    CHANNEL: ("Id", "DeveloperName", "NamespacePrefix", "MasterLabel", "ChannelType"),
    MEMBER: ("Id", "DeveloperName", "NamespacePrefix", "EventChannel", "SelectedEntity"),
}
PREFIXES = {CHANNEL: "0YL", MEMBER: "0v8", "CustomObject": "01I"}
STANDARD = ALL.removeprefix("/data/")


class Tooling:
    """The Tooling API's queries, for one API version; raises RestError."""

    def __init__(self, org: Org, version: str) -> None:
        self._org = org
        self._version = version

    def query(self, text: str) -> JsonObject:
        """`GET …/tooling/query?q=…`."""
        try:
            query = parse(text)
        except SoqlError as error:
            raise RestError("MALFORMED_QUERY", str(error)) from None
        kind = next((one for one in FIELDS if one.casefold() == query.entity.casefold()), None)
        if kind is None:
            message = f"sObject type '{query.entity}' is not supported."
            raise RestError("INVALID_TYPE", located(text, text.find(query.entity), message))
        query = with_names(query, _spelling(kind, text))
        found = [row for row in self._rows(kind) if holds(query.where, row)]
        for order in reversed(query.order):
            found.sort(key=lambda row: str(row[order.name] or ""), reverse=order.descending)
        found = found[query.offset : None if query.limit is None else query.offset + query.limit]
        if not query.names:
            return {"size": len(found), "totalSize": len(found), "done": True, "records": []}
        rows = [chosen_fields(row, query.names) for row in found]
        answer = {"size": len(rows), "totalSize": len(rows), "done": True, "queryLocator": None}
        return {**answer, "entityTypeName": kind, "records": rows}

    def _rows(self, kind: str) -> Iterator[JsonObject]:
        rows = self._channels() if kind == CHANNEL else self._members()
        for row in rows:
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
        for number, (channel, told, entity) in enumerate(members, 1):
            yield {
                "Id": _id(MEMBER, number),
                "DeveloperName": f"{channel}_{entity.change_event}".replace("__", "_"),
                "NamespacePrefix": None,
                "EventChannel": told,
                "SelectedEntity": self._told(entity),
            }

    def _told(self, entity: Entity) -> str:
        if not entity.name.endswith(CUSTOM_SUFFIX):
            return entity.change_event
        return _id("CustomObject", list(self._org.catalogue.entities).index(entity.name) + 1)


def _bare(path: str) -> str:
    return path.removeprefix("/data/").removesuffix(CHANNEL_SUFFIX)


def _id(kind: str, number: int) -> str:
    return with_checksum(PREFIXES[kind] + POD + base62(number, 9))


def _spelling(kind: str, text: str) -> Callable[[str], str]:
    def canonical(name: str) -> str:
        for known in FIELDS[kind]:
            if known.casefold() == name.casefold():
                return known
        message = f"No such column '{name}' on entity '{kind}'."
        raise RestError("INVALID_FIELD", located(text, text.find(name), message))

    return canonical
