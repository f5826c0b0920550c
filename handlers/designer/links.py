"""Where the drawing's names and numbers lead."""

from __future__ import annotations

from datetime import datetime
from urllib.parse import urlencode

from django.urls import reverse

from audit.admin_links import listed, received


def connection(pk: int) -> str:
    return reverse("admin:listeners_connection_change", args=[pk])


def start(listener_id: int) -> str:
    return reverse("admin:listeners_listener_start", args=[listener_id])


def entries(listener: str, since: datetime) -> str:
    return listed("audit_auditlogentry", listener=listener, **received("from", since))


def deliveries(state: str, listener: str, mapping_id: int) -> str:
    # With the listener: what has ended is found in the order of its entries.
    return listed("handlers_delivery", state=state, listener=listener, mapping=mapping_id)


def delivery(pk: int) -> str:
    return reverse("admin:handlers_delivery_change", args=[pk])


def mapping(pk: int) -> str:
    return reverse("admin:handlers_handlermapping_change", args=[pk])


def new_mapping(listener_id: int, on: str) -> str:
    query = urlencode({"listener": listener_id, "on": on})
    return f"{reverse('admin:handlers_handlermapping_add')}?{query}"


def workers() -> str:
    return listed("handlers_worker")
