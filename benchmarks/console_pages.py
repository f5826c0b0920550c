"""The pages that are measured: each a function that makes an address, another one each time."""

import random
from collections.abc import Callable
from datetime import timedelta
from urllib.parse import urlencode

from audit.models import AuditLogEntry
from benchmarks.console_data import BEGAN, DAYS, size

LOG = "/admin/audit/auditlogentry/"
Address = Callable[[], str]


def pages() -> dict[str, Address]:
    fixed = {
        "list": {},
        "listener, busy": {"listener": "prod"},
        "listener, quiet": {"listener": "seldom"},
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
        "state, succeeded": {"state": "succeeded"},
        "state, dead": {"state": "dead"},
        "state, skipped": {"state": "skipped"},
        "state, retrying (none)": {"state": "retrying"},
        "handler, common": {"handler": "crm.sync"},
        "handler, rare": {"handler": "rare.handler"},
        "handler and state": {"handler": "crm.sync", "state": "dead"},
        "listener, entity, type": {
            "listener": "seldom",
            "entity": "Account",
            "change_type": "DELETE",
        },
        "user and entity": {"q": f"user:{user(3)} entity:Contact"},
        "search, user": {"q": user(5)},
        "search, rare user": {"q": user(999)},
        "search, common beginning": {"q": "001"},
    }
    return {
        **{name: _list(parameters) for name, parameters in fixed.items()},
        "list, deep": lambda: f"{LOG}?before={_some()}",
        "entity, deep": lambda: f"{LOG}?entity=Account&before={_some()}",
        "day of receipt": lambda: f"{LOG}?{_day('received_at')}",
        "day of commit": lambda: f"{LOG}?{_day('commit_timestamp')}",
        "day and rare entity": lambda: f"{LOG}?entity=Rare__c&{_day('received_at')}",
        "day and dead": lambda: f"{LOG}?state=dead&{_day('received_at')}",
        "search, record": lambda: f"{LOG}?q={_entry().record_id}",
        "search, record's 15": lambda: f"{LOG}?q={_entry().record_id[:15]}",
        "search, beginning": lambda: f"{LOG}?q={_entry().record_id[:13]}",
        "search, transaction": lambda: f"{LOG}?q={_entry().transaction_key}",
        "entry": lambda: f"{LOG}{_some()}/change/",
        "entry of a busy record": lambda: f"{LOG}{_some() // 100 * 100 + 1}/change/",
        "timeline": lambda: f"{LOG}record/{_entry().record_id}/",
        "timeline of a busy record": lambda: f"{LOG}record/{_busy()}/",
        "timeline, deep": lambda: f"{LOG}record/{_busy()}/?before={_some()}",
    }


def user(number: int) -> str:
    return f"0055g{number:010}AAA"


def _list(parameters: dict[str, str]) -> Address:
    return lambda: f"{LOG}?{urlencode(parameters)}"


def _some() -> int:
    return random.randrange(101, size())


def _entry() -> AuditLogEntry:
    keys = AuditLogEntry.objects.only("record_id", "transaction_key")
    entry: AuditLogEntry = keys.get(pk=_some())
    return entry


def _busy() -> str:
    number = random.randrange(5)
    return f"{('001', '003', '006', 'a01')[number % 4]}5g{number:010}AAA"


def _day(field: str) -> str:
    day = f"{BEGAN + timedelta(days=random.randrange(1, DAYS)):%Y-%m-%d}"
    return urlencode({f"{field}_from_0": day, f"{field}_to_0": day})
