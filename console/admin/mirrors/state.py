"""The status, runs and differences that a mirror's page shows."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from django.db.models import Q
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.utils.text import Truncator

from audit.log.masking import Sight
from audit.models import Incident
from console import links
from console.job_items import item_of
from console.labels import label
from console.navigation import may_see
from handlers.reporting import queue_coverage
from handlers.sdk.registry import queue_of
from mirror import runs
from mirror.models import Difference, Mirror, MirrorRun
from mirror.problems import refused_deletions
from mirror.status import ATTENTION, MirrorStatus, open_differences, status_of

#: The most runs and differences that the page shows; links lead to the others.
RUNS, DIFFERENCES = 8, 20
_LONGEST = 120
#: Runs to show: hourly checks of the object's fields would hide the others.
_SHOWN = Q(options__schema_only__isnull=True) | Q(state=MirrorRun.State.FAILED)
_VARIANTS = {"in_sync": "success", "loading": "info", "catching_up": "info", ATTENTION: "danger"}
_NAMES = {**dict(Mirror.Phase.choices), ATTENTION: "Needs attention"}


def count(number: int | None) -> str:
    return "-" if number is None else f"{number:,}"


def state_label(status: MirrorStatus) -> SafeString:
    """Return the state, while a mirror is loading with its progress."""
    text, variant = _NAMES[status.state], _VARIANTS.get(status.state, "")
    percent = status.progress.pace.percent if status.progress else None
    if status.state == Mirror.Phase.LOADING and percent is not None:
        text = f"{text} {percent} %"
    return label(text, variant, title=status.reason)


def mirror_state(
    mirror: Mirror, now: datetime, request: HttpRequest, *, operates: bool
) -> dict[str, Any]:
    """Return the context of the page's parts."""
    status = status_of(mirror, now)
    rows = mirror.runs.select_related("mirror__listener")
    unended = list(rows.filter(state__in=MirrorRun.UNENDED))
    ended = list(rows.exclude(state__in=MirrorRun.UNENDED).filter(_SHOWN)[:RUNS])
    sight = Sight.in_console(request.user)
    differing = list(open_differences(mirror)[:DIFFERENCES])
    return {
        "mirror": mirror,
        "status": status,
        "state_name": _NAMES[status.state],
        "state_variant": _VARIANTS.get(status.state, ""),
        "rows_here": count(status.rows),
        "rows_there": count(status.rows_in_salesforce),
        "listener_href": links.listener(mirror.listener_id),
        "running": [(item_of(run, now), run.pk) for run in unended],
        "ended": [item_of(run, now) for run in ended],
        "no_worker": _no_worker() if unended else "",
        "differing": [_shown(difference, mirror, sight) for difference in differing],
        "more_differences": max(0, status.differences - len(differing)),
        "differences_href": links.listed("mirror_difference", mirror__id__exact=mirror.pk)
        if may_see(request, "mirror", "difference")
        else "",
        "can_operate": operates,
        "may_accept_deletions": bool(refused_deletions(mirror)),
        "incidents": _incidents(mirror) if may_see(request, "audit", "incident") else (),
        "entries_href": links.listed("audit_auditlogentry", entity=mirror.salesforce_object)
        if may_see(request, "audit", "auditlogentry")
        else "",
    }


def _incidents(mirror: Mirror) -> list[Incident]:
    """Return the open incidents of the mirror."""
    kinds = (Incident.Kind.MIRROR_DIFFERS, Incident.Kind.MIRROR_SCHEMA)
    found = Incident.objects.filter(listener=mirror.listener_id, kind__in=kinds, closed_at=None)
    return list(found.filter(key=mirror.model).order_by("id"))


def _no_worker() -> str:
    queue = queue_of(runs.TASK, "")
    if queue in queue_coverage.queues_heard(queue_coverage.seen()):
        return ""
    start = "celery -A cdcproject worker"
    return f"No worker consumes the queue {queue}, so nothing runs. Start one: {start}"


def _shown(difference: Difference, mirror: Mirror, sight: Sight) -> dict[str, Any]:
    about = (mirror.listener, mirror.salesforce_object, difference.field)
    return {
        "record_id": difference.record_id,
        "field": difference.field or "whole record",
        "here": text_of(sight.value(difference.here, *about)),
        "there": text_of(sight.value(difference.there, *about)),
        "reason": difference.get_reason_display(),
        "is_bad": difference.reason == Difference.Reason.UNEXPLAINED,
        "found_at": difference.found_at,
    }


def text_of(value: Any) -> str:
    """Return a value as text, shortened; `none` for a missing one."""
    if value is None:
        return "none"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return Truncator(text).chars(_LONGEST)
