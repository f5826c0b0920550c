"""What is left in the database when gap events were heard, and ways to make them."""

from audit.models import AuditLogEntry
from handlers.models import Delivery


def entries(**fields):
    return list(AuditLogEntry.objects.filter(**fields).order_by("id"))


def deliveries(**fields):
    return list(Delivery.objects.filter(**fields).order_by("id"))


def composites(org):
    return [one for one in org.api_requests() if "/composite/" in one["path"]]


def unseen_create(org, **fields) -> str:
    """A record whose creation only a gap event tells of; its id."""
    gap = {"op": "gap", "entity": "Account", "change_type": "GAP_CREATE", "apply": True}
    return org.change({**gap, "fields": fields})["record_ids"][0]
