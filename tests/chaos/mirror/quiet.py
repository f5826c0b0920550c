"""Waits until the product has no work left, by raw SQL."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping

from tests.chaos.mirror.copies import COPIES
from tests.chaos.mirror.database import Database, Errors

LOOK_SECONDS = 0.5
_OPEN: Mapping[str, str] = {
    "deliveries": "SELECT count(*) FROM handlers_delivery WHERE state IN "
    "('blocked', 'ready', 'queued', 'running', 'retrying')",
    "dead letters": "SELECT count(*) FROM handlers_delivery WHERE state = 'dead'",
    "dirty records": "SELECT count(*) FROM mirror_dirtyrow",
    "mirrors that are not in sync": "SELECT count(*) FROM mirror_mirror WHERE phase <> 'in_sync'",
    "mirrors to search for gaps": "SELECT count(*) FROM mirror_mirror WHERE scanned_entry_id < "
    "(SELECT max(id) FROM audit_auditlogentry)",
    "lost events without a sweep": "SELECT count(*) FROM audit_incident WHERE kind = 'replay_lost' "
    "AND opened_at > (SELECT max(load_started_at) FROM mirror_mirror) AND NOT EXISTS (SELECT 1 "
    "FROM mirror_mirrorrun WHERE kind = 'sweep' AND created_at >= opened_at)",
    "redeliveries": "SELECT count(*) FROM handlers_redelivery WHERE state IN "
    "('waiting', 'running')",
}
_DELETIONS = (
    "SELECT max(id) FROM audit_auditlogentry WHERE change_type IN ('DELETE', 'GAP_DELETE') "
    "AND entity_name IN ('Account', 'Contact')"
)
_RUNS = "SELECT id, kind FROM mirror_mirrorrun WHERE state IN ('waiting', 'running') ORDER BY id"


def wait(database: Database, marks: Mapping[str, str], patience: float) -> str:
    """Wait until the marks are there and nothing is open. Returns the open work once nothing has
    moved for `patience` seconds, or an empty text."""
    before, since = "", time.monotonic()
    while left := _left(database, marks):
        if left != before:
            before, since = left, time.monotonic()
        if time.monotonic() - since > patience:
            return f"{left}, and nothing has moved for {patience:g} s"
        time.sleep(LOOK_SECONDS)
    return ""


def _left(database: Database, marks: Mapping[str, str]) -> str:
    try:
        found = [
            f"no row of {copy.entity} {marks[copy.entity]}"
            for copy in COPIES
            if not database.number(
                f"SELECT count(*) FROM {copy.table} WHERE salesforce_id = '{marks[copy.entity]}'"
            )
        ]
        counts = {name: database.number(query) for name, query in _OPEN.items()}
        found += [f"{count} {name}" for name, count in counts.items() if count]
        found += [f"run {pk} ({kind})" for pk, kind in database.rows(_RUNS)]
        found += [f"{name} is not compared" for name in _uncompared(database)]
        found += [f"merged parents of {name} to find" for name in _unsearched(database)]
    except Errors as error:
        return str(error)
    return ", ".join(found)


def _uncompared(database: Database) -> list[str]:
    names = []
    for (text,) in database.rows("SELECT field_changes FROM mirror_mirror"):
        changes = text if isinstance(text, dict) else json.loads(text or "{}")
        names += [name for name, change in changes.items() if not change["compared"]]
    return names


def _unsearched(database: Database) -> list[str]:
    last = database.number(_DELETIONS)
    found = database.rows("SELECT model, merges_searched FROM mirror_mirror")
    searched = {
        model: ids if isinstance(ids, dict) else json.loads(ids or "{}") for model, ids in found
    }
    return [name for name in ("crm.Contact",) if min(searched[name].values()) < last]
