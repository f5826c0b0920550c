"""Where the numbers lead: the lists, filtered."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from django.urls import reverse
from django.utils.timezone import localtime


def entries(since: datetime, until: datetime | None = None) -> str:
    return _list("audit_auditlogentry", **_bound("from", since), **_bound("to", until))


def deliveries(state: str, listener: str = "") -> str:
    wanted = {"state": state, "listener": listener}
    return _list("handlers_delivery", **{name: value for name, value in wanted.items() if value})


def dead_letters() -> str:
    return reverse("admin:handlers_delivery_dead_letters")


def incidents(listener_id: int | None = None) -> str:
    mine = {} if listener_id is None else {"listener__id__exact": listener_id}
    return _list("audit_incident", state="open", **mine)


def incident(pk: int) -> str:
    return reverse("admin:audit_incident_change", args=[pk])


def listeners() -> str:
    return _list("listeners_listener")


def listener(pk: int) -> str:
    return reverse("admin:listeners_listener_change", args=[pk])


def mappings() -> str:
    return _list("handlers_handlermapping")


def workers() -> str:
    return _list("handlers_worker")


def _list(name: str, **parameters: Any) -> str:
    query = f"?{urlencode(parameters)}" if parameters else ""
    return reverse(f"admin:{name}_changelist") + query


def _bound(bound: str, moment: datetime | None) -> dict[str, str]:
    if moment is None:
        return {}
    local = localtime(moment)
    return {
        f"received_at_{bound}_0": f"{local:%Y-%m-%d}",
        f"received_at_{bound}_1": f"{local:%H:%M:%S}",
    }
