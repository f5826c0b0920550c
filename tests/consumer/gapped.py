"""Helpers of tests of gap events: rows in the database, requests to the org, and unseen records."""

from audit.models import AuditLogEntry
from handlers.models import Delivery


def entries(**fields):
    return list(AuditLogEntry.objects.filter(**fields).order_by("id"))


def deliveries(**fields):
    return list(Delivery.objects.filter(**fields).order_by("id"))


def composites(org):
    return [one for one in org.api_requests() if "/composite/" in one["path"]]


def unseen_create(org, **fields) -> str:
    """Create a record that only a gap event reports, and return its id."""
    gap = {"op": "gap", "entity": "Account", "change_type": "GAP_CREATE", "apply": True}
    return org.change({**gap, "fields": fields})["record_ids"][0]
