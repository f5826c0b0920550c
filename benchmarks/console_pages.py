"""The pages that are measured, by name."""

import random
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from audit.models import AuditLogEntry, Incident, OperatorAction
from benchmarks.console_api import api_pages
from benchmarks.console_data import newest, size
from benchmarks.console_rows import DAYS
from benchmarks.console_timing import Page, at
from handlers.models import Delivery, Redelivery
from listeners.models import Listener

ADMIN = "/admin/"
LOG = "/admin/audit/auditlogentry/"
DELIVERIES = "/admin/handlers/delivery/"
INCIDENTS = "/admin/audit/incident/"
ACTIONS = "/admin/audit/operatoraction/"
LISTENERS = "/admin/listeners/listener/"
MAPPINGS = "/admin/handlers/handlermapping/"

_LOG = {
    "list": {},
    "listener, busy": {"listener": "prod"},
    "listener, quiet": {"listener": "seldom"},
    "listener, idle": {"listener": "idle"},
    "entity, common": {"entity": "Account"},
    "entity, rare": {"entity": "Rare__c"},
    "entity, unknown": {"entity": "Nothing__c"},
    "change type, common": {"change_type": "UPDATE"},
    "change type, seldom": {"change_type": "UNDELETE"},
    "change type, rare": {"change_type": "GAP_UPDATE"},
    "change type, unknown": {"change_type": "GAP_OVERFLOW"},
    "source, stream": {"source": "stream"},
    "source, reconcile": {"source": "reconcile"},
    "source, gap (none)": {"source": "gap"},
    **{f"state, {state}": {"state": state} for state in Delivery.State.values},
    "handler, common": {"handler": "crm.sync"},
    "handler, rare": {"handler": "rare.handler"},
    "handler, unknown": {"handler": "nobody.knows"},
    "handler and state": {"handler": "crm.sync", "state": "dead"},
    "rare handler and state": {"handler": "rare.handler", "state": "succeeded"},
    "listener, entity, type": {"listener": "seldom", "entity": "Account", "change_type": "DELETE"},
    "idle listener and state": {"listener": "idle", "state": "dead"},
}
_DELIVERIES = {
    "list": {},
    **{f"state, {state}": {"state": state} for state in Delivery.State.values},
    "handler, common": {"handler": "crm.sync"},
    "handler, rare": {"handler": "rare.handler"},
    "handler, unknown": {"handler": "nobody.knows"},
    "handler and dead": {"handler": "crm.sync", "state": "dead"},
    "handler and none dead": {"handler": "handlers.log_change", "state": "dead"},
    "listener, busy": {"listener": "prod"},
    "listener, quiet": {"listener": "seldom"},
    "listener, idle": {"listener": "idle"},
    "listener and dead": {"listener": "prod", "state": "dead"},
    "quiet listener and dead": {"listener": "seldom", "state": "dead"},
    "idle listener and retrying": {"listener": "idle", "state": "retrying"},
    "listener, handler, state": {"listener": "org050", "handler": "crm.sync", "state": "dead"},
}
_INCIDENTS = {
    "list": {},
    "open": {"state": "open"},
    "closed": {"state": "closed"},
    "kind": {"kind__exact": Incident.Kind.OUTAGE},
}
_ACTIONS = {
    "list": {},
    "action": {"action__exact": OperatorAction.Action.STOP},
    "who": {"who": "user7"},
    "through": {"through__exact": "api"},
    "search": {"q": "listener7"},
    "search, nothing": {"q": "nobody"},
}
#: A handler mapping's form, changed and not saved.
_MAPPING = {
    "on": "update",
    "entity": "Account",
    "changed_fields": "Phone",
    "condition": '{"field": "Phone", "equals": "1"}',
    "handler": "handlers.log_change",
    "ordering": "per_record",
    "on_dead": "continue",
    "options": "{}",
}


def pages() -> dict[str, Page]:
    return dict([*_home(), *_log(), *_deliveries(), *_listening(), *_others(), *api_pages()])


def _home() -> Iterator[tuple[str, Page]]:
    yield "home", at(ADMIN)
    yield "home, its refreshed part", at(f"{ADMIN}home/")


def _log() -> Iterator[tuple[str, Page]]:
    yield from _lists("audit log", LOG, _LOG)
    searches = {
        "user and entity": f"user:{user(3)} entity:Contact",
        "user": user(5),
        "rare user": user(999),
        "common beginning": "001",
    }
    yield from _lists("audit log", LOG, {f"search, {n}": {"q": q} for n, q in searches.items()})
    yield "audit log: search, record", lambda: f"{LOG}?q={_entry().record_id}"
    yield "audit log: search, record's 15", lambda: f"{LOG}?q={_entry().record_id[:15]}"
    yield "audit log: search, beginning", lambda: f"{LOG}?q={_entry().record_id[:13]}"
    yield "audit log: search, transaction", lambda: f"{LOG}?q={_entry().transaction_key}"
    yield "audit log: deep", lambda: f"{LOG}?before={some()}"
    yield "audit log: entity, deep", lambda: f"{LOG}?entity=Account&before={some()}"
    yield "audit log: day of receipt", lambda: f"{LOG}?{day('received_at')}"
    yield "audit log: day of commit", lambda: f"{LOG}?{day('commit_timestamp')}"
    yield "audit log: day and rare entity", lambda: f"{LOG}?entity=Rare__c&{day('received_at')}"
    yield "audit log: day and dead", lambda: f"{LOG}?state=dead&{day('received_at')}"
    yield "audit log: export as CSV, first bytes", at(f"{LOG}export/csv/")
    yield "audit log: export, filtered", at(f"{LOG}export/jsonl/?entity=Rare__c")
    yield "entry", lambda: f"{LOG}{some()}/change/"
    yield "entry of a busy record", lambda: f"{LOG}{_some_busy()}/change/"
    yield "timeline", lambda: f"{LOG}record/{_entry().record_id}/"
    yield "timeline of a busy record", lambda: f"{LOG}record/{_busy()}/"
    yield "timeline, deep", lambda: f"{LOG}record/{_busy()}/?before={some()}"


def _deliveries() -> Iterator[tuple[str, Page]]:
    yield from _lists("deliveries", DELIVERIES, _DELIVERIES)
    yield "deliveries: search, record", lambda: f"{DELIVERIES}?q={_entry().record_id}"
    yield "deliveries: search, beginning", lambda: f"{DELIVERIES}?q={_entry().record_id[:13]}"
    yield "deliveries: search, busy record", lambda: f"{DELIVERIES}?q={_busy()}"
    yield "deliveries: deep", lambda: f"{DELIVERIES}?before={some()}"
    yield "deliveries: dead, deep", lambda: f"{DELIVERIES}?state=dead&before={some()}"
    yield "deliveries: day", lambda: f"{DELIVERIES}?{day('created_at')}"
    yield "deliveries: day and dead", lambda: f"{DELIVERIES}?state=dead&{day('created_at')}"
    dead = list(Delivery.objects.filter(state="dead").values_list("pk", "error_group")[:200])
    yield "deliveries: group", lambda: f"{DELIVERIES}?state=dead&group={random.choice(dead)[1]}"
    yield "delivery", lambda: f"{DELIVERIES}{some()}/change/"
    yield "delivery, dead", lambda: f"{DELIVERIES}{random.choice(dead)[0]}/change/"
    yield "dead letters", at(f"{DELIVERIES}dead-letters/")
    yield "retrying", at(f"{DELIVERIES}dead-letters/?state=retrying")


def _listening() -> Iterator[tuple[str, Page]]:
    yield "listeners", at(LISTENERS)
    yield "handler mappings", at(MAPPINGS)
    yield "connections", at(f"{ADMIN}listeners/connection/")
    for name in ("prod", "seldom", "idle"):
        listener = Listener.objects.get(name=name)
        mapping = listener.mappings.get(handler="crm.sync")
        yield f"listener, {name}", at(f"{LISTENERS}{listener.pk}/change/")
        yield f"listener's drawing, {name}", at(f"{LISTENERS}{listener.pk}/drawing/")
        yield f"handler mapping of {name}", at(f"{MAPPINGS}{mapping.pk}/change/")
        yield f"its preview, {name}", _posted(f"{MAPPINGS}{mapping.pk}/preview/", _MAPPING)


def _others() -> Iterator[tuple[str, Page]]:
    yield from _lists("incidents", INCIDENTS, _INCIDENTS)
    incidents = list(Incident.objects.values_list("pk", flat=True)[:200])
    yield "incident", lambda: f"{INCIDENTS}{random.choice(incidents)}/change/"
    yield from _lists("action log", ACTIONS, _ACTIONS)
    yield "workers", at(f"{ADMIN}handlers/worker/")
    yield "work", at(f"{ADMIN}audit/work/overview/")
    yield "redeliveries", at(f"{ADMIN}handlers/redelivery/")
    sent = list(Redelivery.objects.values_list("pk", flat=True))
    yield "redelivery", lambda: f"{ADMIN}handlers/redelivery/{random.choice(sent)}/change/"


def _lists(title: str, address: str, filters: Mapping[str, Any]) -> Iterator[tuple[str, Page]]:
    for name, parameters in filters.items():
        yield f"{title}: {name}", at(f"{address}?{urlencode(parameters)}")


def _posted(address: str, form: dict[str, Any]) -> Page:
    return lambda: (address, form)


def user(number: int) -> str:
    return f"0055g{number:010}AAA"


def some() -> int:
    return random.randrange(1001, size())


def _some_busy() -> int:
    return some() // 100 * 100 + 1


def _entry() -> AuditLogEntry:
    keys = AuditLogEntry.objects.only("record_id", "transaction_key")
    entry: AuditLogEntry = keys.get(pk=some())
    return entry


def _busy() -> str:
    number = random.randrange(5)
    return f"{('001', '003', '006', 'a01')[number % 4]}5g{number:010}AAA"


def day(field: str) -> str:
    that = f"{newest() - timedelta(days=random.randrange(0, DAYS)):%Y-%m-%d}"
    return urlencode({f"{field}_from_0": that, f"{field}_to_0": that})
