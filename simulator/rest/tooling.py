"""The Tooling API: custom channels, their members, managed event subscriptions, and the fields of
objects.

The channel of all entities has members but no row of its own. A custom object's change event is
named by the id of its definition, as Salesforce does; its name is left in DeveloperName, in which
double underscores are single ones. Members have filter expressions since API version 56.
"""

from collections.abc import Iterator

from simulator.org.catalogue import CUSTOM_SUFFIX, Catalogue, Entity
from simulator.org.channels import ALL, Member
from simulator.org.channels import CUSTOM_SUFFIX as CHANNEL_SUFFIX
from simulator.org.description import all_definitions
from simulator.org.ids import POD, base62, with_checksum
from simulator.org.records import JsonObject
from simulator.rest.errors import RestError
from simulator.rest.queries import matching
from simulator.rest.request import RestAnswer, RestRequest
from simulator.rest.soql import parse
from simulator.rest.soql_tokens import located

CHANNEL, MEMBER = "PlatformEventChannel", "PlatformEventChannelMember"
SUBSCRIPTION, FIELD = "ManagedEventSubscription", "FieldDefinition"
#: A query of these fields must select a single row.
WHOLE = ("FullName", "Metadata")
FIELDS = {
    CHANNEL: ("Id", "DeveloperName", "NamespacePrefix", "MasterLabel", "ChannelType", *WHOLE),
    MEMBER: (
        *("Id", "DeveloperName", "NamespacePrefix", "EventChannel", "SelectedEntity"),
        *("FilterExpression", *WHOLE),
    ),
    SUBSCRIPTION: ("Id", "DeveloperName", "NamespacePrefix", "MasterLabel", *WHOLE),
    FIELD: ("Id", "DurableId", "QualifiedApiName", "DataType", "EntityDefinition.QualifiedApiName"),
}
#: The first API version of a field.
SINCE = {"FilterExpression": 56}
STATES = {"running": "RUN", "stopped": "STOP"}
PREFIXES = {CHANNEL: "0YL", MEMBER: "0v8", "CustomObject": "01I"}
STANDARD = ALL.removeprefix("/data/")


def query(request: RestRequest) -> RestAnswer:
    """`GET …/tooling/query?q=…`."""
    _check_access(request)
    text = request.query.get("q", "")
    query = parse(text)
    kind = _kind(query.entity)
    if kind is None:
        message = f"sObject type '{query.entity}' is not supported."
        raise RestError("INVALID_TYPE", located(text, text.find(query.entity), message))
    spelt = {name: _spelt(name, kind, text, request.version) for name in query.all_names}
    rows = matching(query, _rows(request, kind), spelt)
    answer: JsonObject = {"size": len(rows), "totalSize": len(rows), "done": True}
    if not query.columns:
        return RestAnswer({**answer, "records": []})
    if len(rows) > 1 and any(spelt[name] in WHOLE for name in query.names):
        message = (
            "When retrieving results with Metadata or FullName fields, the query "
            "qualifications must specify no more than one row for retrieval. "
            f"Result size: {len(rows)}"
        )
        raise RestError("MALFORMED_QUERY", message)
    return RestAnswer({**answer, "queryLocator": None, "entityTypeName": kind, "records": rows})


def row(request: RestRequest) -> RestAnswer:
    """`GET …/tooling/sobjects/{Object}/{Id}`."""
    _check_access(request)
    *_, name, record_id = request.path
    kind = _kind(name)
    for row in _rows(request, kind) if kind else ():
        if record_id in (row["Id"], row["Id"][:15]):
            return RestAnswer(row)
    raise RestError("NOT_FOUND")


def _check_access(request: RestRequest) -> None:
    if not request.sim.access.view_setup:
        raise RestError("INSUFFICIENT_ACCESS")


def _rows(request: RestRequest, kind: str) -> Iterator[JsonObject]:
    rows = {CHANNEL: _channels, MEMBER: _members, SUBSCRIPTION: _subscriptions, FIELD: _fields}[
        kind
    ]
    for row in rows(request):
        url = f"/services/data/v{request.version}/tooling/sobjects/{kind}/{row['Id']}"
        yield {"attributes": {"type": kind, "url": url}, **row}


def _channels(request: RestRequest) -> Iterator[JsonObject]:
    for number, path in enumerate(request.sim.org.channels.custom, 1):
        namespace, _, name = (
            path.removeprefix("/data/").removesuffix(CHANNEL_SUFFIX).rpartition("__")
        )
        yield {
            "Id": _id(CHANNEL, number),
            "DeveloperName": name,
            "NamespacePrefix": namespace or None,
            "MasterLabel": name.replace("_", " "),
            "ChannelType": "data",
            "FullName": path.removeprefix("/data/"),
            "Metadata": {"channelType": "data", "label": name.replace("_", " ")},
        }


def _members(request: RestRequest) -> Iterator[JsonObject]:
    catalogue = request.sim.org.catalogue
    selected = [entity for entity in catalogue.entities.values() if entity.selected]
    channels = request.sim.org.channels
    members = [(STANDARD, STANDARD, entity) for entity in selected]
    for number, (path, names) in enumerate(channels.custom.items(), 1):
        channel = path.removeprefix("/data/")
        members += [(channel, _id(CHANNEL, number), catalogue.get(name)) for name in sorted(names)]
    for number, (channel, channel_id, entity) in enumerate(members, 1):
        name = f"{channel}_{entity.change_event}".replace("__", "_")
        defined = channels.members.get((f"/data/{channel}", entity.name), Member())
        yield {
            "Id": _id(MEMBER, number),
            "DeveloperName": name,
            "NamespacePrefix": None,
            "EventChannel": channel_id,
            "SelectedEntity": _selected_entity(catalogue, entity),
            "FilterExpression": defined.filter or None,
            "FullName": name,
            "Metadata": {
                "eventChannel": channel,
                "selectedEntity": entity.change_event,
                "enrichedFields": [{"name": field} for field in defined.enriched],
                "filterExpression": defined.filter or None,
            },
        }


def _subscriptions(request: RestRequest) -> Iterator[JsonObject]:
    for subscription in request.sim.pubsub.managed.by_name.values():
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
                "version": float(request.version),
            },
        }


def _fields(request: RestRequest) -> Iterator[JsonObject]:
    """Yield the fields of every object, also those that the integration user may not see."""
    for entity in request.sim.org.catalogue.entities.values():
        for name, field in all_definitions(entity).items():
            durable = f"{entity.name}.{name}"
            yield {
                "Id": durable,
                "DurableId": durable,
                "QualifiedApiName": name,
                "DataType": field.type,
                "EntityDefinition.QualifiedApiName": entity.name,
            }


def _selected_entity(catalogue: Catalogue, entity: Entity) -> str:
    if not entity.name.endswith(CUSTOM_SUFFIX):
        return entity.change_event
    return _id("CustomObject", list(catalogue.entities).index(entity.name) + 1)


def _kind(name: str) -> str | None:
    """Return the object of this name, ignoring case."""
    return next((kind for kind in FIELDS if kind.casefold() == name.casefold()), None)


def _id(kind: str, number: int) -> str:
    return with_checksum(PREFIXES[kind] + POD + base62(number, 9))


def _spelt(name: str, kind: str, text: str, version: str) -> str:
    for known in FIELDS[kind]:
        if known.casefold() == name.casefold() and float(version) >= SINCE.get(known, 0):
            return known
    message = f"No such column '{name}' on entity '{kind}'."
    raise RestError("INVALID_FIELD", located(text, text.find(name), message))
