"""Addresses of the console's pages, and of its lists with filters; the numbers in addresses."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from django.urls import reverse
from django.utils.timezone import localtime


def whole_number(text: str | None) -> int | None:
    """Return the number in a parameter of an address, such as a row's id; None if it is none."""
    is_number = text and text.isascii() and text.isdecimal() and len(text) < 19
    return int(text) if text and is_number else None


def listed(name: str, **parameters: Any) -> str:
    """Return the address of a model's list, without empty parameters; `name` is `app_model`."""
    wanted = {key: value for key, value in parameters.items() if value not in ("", None)}
    query = f"?{urlencode(wanted)}" if wanted else ""
    return reverse(f"admin:{name}_changelist") + query


def entries(since: datetime, until: datetime | None = None, listener: str = "") -> str:
    """Return the address of the audit log, filtered by the time of receipt."""
    window = {}
    for bound, moment in (("from", since), ("to", until)):
        if moment:
            local = localtime(moment)
            window[f"received_at_{bound}_0"] = f"{local:%Y-%m-%d}"
            window[f"received_at_{bound}_1"] = f"{local:%H:%M:%S}"
    return listed("audit_auditlogentry", listener=listener, **window)


def deliveries(state: str, listener: str = "", mapping: int | None = None) -> str:
    # With the listener, finished deliveries of a mapping are found by the index of its entries.
    return listed("handlers_delivery", state=state, listener=listener, mapping=mapping)


def delivery(pk: int) -> str:
    return reverse("admin:handlers_delivery_change", args=[pk])


def dead_letters() -> str:
    return reverse("admin:handlers_delivery_dead_letters")


def incidents(listener_id: int | None = None) -> str:
    return listed("audit_incident", state="open", listener__id__exact=listener_id)


def connection(pk: int) -> str:
    return reverse("admin:listeners_connection_change", args=[pk])


def destination(pk: int) -> str:
    return reverse("admin:handlers_destination_change", args=[pk])


def listeners() -> str:
    return listed("listeners_listener")


def listener(pk: int) -> str:
    return reverse("admin:listeners_listener_change", args=[pk])


def start(listener_id: int) -> str:
    return reverse("admin:listeners_listener_start", args=[listener_id])


def mappings() -> str:
    return listed("handlers_handlermapping")


def mapping(pk: int) -> str:
    return reverse("admin:handlers_handlermapping_change", args=[pk])


def new_mapping(listener_id: int, on: str) -> str:
    query = urlencode({"listener": listener_id, "on": on})
    return f"{reverse('admin:handlers_handlermapping_add')}?{query}"


def workers() -> str:
    return listed("handlers_worker")


def mirrors() -> str:
    return listed("mirror_mirror")


def mirror(pk: int) -> str:
    return reverse("admin:mirror_mirror_change", args=[pk])
