"""Where the drawing's names and numbers lead."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from django.urls import reverse
from django.utils.timezone import localtime


def connection(pk: int) -> str:
    return reverse("admin:listeners_connection_change", args=[pk])


def start(listener_id: int) -> str:
    return reverse("admin:listeners_listener_start", args=[listener_id])


def entries(listener: str, since: datetime) -> str:
    local = localtime(since)
    return _list(
        "audit_auditlogentry",
        listener=listener,
        received_at_from_0=f"{local:%Y-%m-%d}",
        received_at_from_1=f"{local:%H:%M:%S}",
    )


def deliveries(state: str, listener: str, mapping_id: int) -> str:
    # With the listener: what has ended is found in the order of its entries.
    return _list("handlers_delivery", state=state, listener=listener, mapping=mapping_id)


def delivery(pk: int) -> str:
    return reverse("admin:handlers_delivery_change", args=[pk])


def mapping(pk: int) -> str:
    return reverse("admin:handlers_handlermapping_change", args=[pk])


def new_mapping(listener_id: int, on: str) -> str:
    query = urlencode({"listener": listener_id, "on": on})
    return f"{reverse('admin:handlers_handlermapping_add')}?{query}"


def workers() -> str:
    return _list("handlers_worker")


def _list(name: str, **parameters: Any) -> str:
    query = f"?{urlencode(parameters)}" if parameters else ""
    return reverse(f"admin:{name}_changelist") + query
