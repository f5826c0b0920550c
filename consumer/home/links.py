"""Where the numbers lead: the lists, filtered."""

from __future__ import annotations

from datetime import datetime

from django.urls import reverse

from audit.admin_links import listed, received


def entries(since: datetime, until: datetime | None = None) -> str:
    return listed("audit_auditlogentry", **received("from", since), **received("to", until))


def deliveries(state: str, listener: str = "") -> str:
    return listed("handlers_delivery", state=state, listener=listener)


def dead_letters() -> str:
    return reverse("admin:handlers_delivery_dead_letters")


def incidents(listener_id: int | None = None) -> str:
    return listed("audit_incident", state="open", listener__id__exact=listener_id)


def incident(pk: int) -> str:
    return reverse("admin:audit_incident_change", args=[pk])


def listeners() -> str:
    return listed("listeners_listener")


def listener(pk: int) -> str:
    return reverse("admin:listeners_listener_change", args=[pk])


def mappings() -> str:
    return listed("handlers_handlermapping")


def workers() -> str:
    return listed("handlers_worker")
